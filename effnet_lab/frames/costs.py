"""Tables about time and memory."""

from __future__ import annotations

from effnet_lab.frames.tables import MODEL_FILE, Frame

LATENCY = Frame(  # one row per file; relative_p50 is CPU time against the reference row of the same run
    name="latency",
    keys=(*MODEL_FILE, "threads", "reference"),
    first=("model", "scheme", "p50_ms", "relative_p50", "verdict"),
    values=(
        "host", "batch", "kernels", "delegate", "n_warmup", "n_runs",
        "p50_ms", "p50_lo_ms", "p50_hi_ms", "p90_ms", "p90_lo_ms", "p90_hi_ms", "p99_ms", "p99_lo_ms", "p99_hi_ms",
        "cpu_p50_ms", "cpu_p50_lo_ms", "cpu_p50_hi_ms", "cpu_p90_ms", "cpu_p90_lo_ms", "cpu_p90_hi_ms",
        "cpu_p99_ms", "cpu_p99_lo_ms", "cpu_p99_hi_ms",
        "relative_p50", "relative_p50_lo", "relative_p50_hi", "guard", "verdict",
    ),
)  # fmt: skip
# One row per op; delegate is "" for the interpreter's own kernel.
DELEGATION = Frame(name="delegation", keys=(*MODEL_FILE, "layer_index"), values=("layer", "op", "type", "delegate"))
PROFILE = Frame(  # one row per operator that was run, in their order; layer is "" where it stands for none
    name="profile",
    keys=(*MODEL_FILE, "run_index"),
    first=("layer", "operator", "uninterrupted_ms", "share", "delegate"),
    values=("layer", "op", "operator", "delegate", "n_runs", "uninterrupted_ms", "share"),
)
# One row per file.
MEMORY = Frame(
    name="memory",
    keys=MODEL_FILE,
    first=("model", "scheme", "size_bytes", "peak_activation_bytes", "arena_bytes"),
    values=("size_bytes", "peak_activation_bytes", "arena_bytes", "params", "madds"),
)
FOOTPRINT = Frame(  # one row per file on a microcontroller; the arena is measured, planned is the specification's estimate
    name="footprint",
    keys=MODEL_FILE,
    first=("model", "scheme", "flash_bytes", "arena_bytes", "arena_source", "arena_head_bytes"),
    values=(
        "size_bytes", "flash_bytes", "weight_bytes", "graph_bytes", "arena_bytes", "arena_head_bytes", "arena_tail_bytes",
        "arena_source", "peak_activation_bytes", "planned_bytes", "planned_head_bytes",
    ),
)  # fmt: skip
BOARDS = Frame(  # one row per microcontroller board
    name="boards",
    keys=("board",),
    values=("processor", "board_flash_bytes", "board_ram_bytes", "source"),
)
ARENA = Frame(  # one row per computed tensor: its place, and the first and last op that need it
    name="arena",
    keys=(*MODEL_FILE, "tensor_index"),
    values=("layer", "first_op", "last_op", "offset_bytes", "size_bytes"),
)
HIGH_WATER = Frame(  # one row per op: what is alive while it runs
    name="high_water",
    keys=(*MODEL_FILE, "layer_index"),
    values=("layer", "op", "n_alive", "alive_bytes", "high_water_bytes"),
)
ETHOSU = Frame(  # one row per file and NPU; bytes moved per inference, cycles and time are the compiler's estimate
    name="ethosu",
    keys=(*MODEL_FILE, "accelerator", "system_config", "memory_mode"),
    first=("model", "scheme", "accelerator", "npu_ops", "cpu_ops", "inference_ms"),
    values=(
        "npu_ops", "cpu_ops", "madds", "cycles", "npu_cycles", "inference_ms", "sram_used_bytes", "dram_used_bytes",
        "flash_used_bytes", "sram_traffic_bytes", "dram_traffic_bytes", "flash_traffic_bytes",
    ),
)  # fmt: skip
ETHOSU_LAYERS = Frame(  # one row per op that the compiler made; runs_on is "NPU" or "CPU", reason says why the CPU
    name="ethosu_layers",
    keys=(*MODEL_FILE, "accelerator", "run_index"),
    first=("layer", "op", "runs_on", "cycles", "estimated_ms", "share", "reason"),
    values=(
        "layer", "op", "npu_op", "runs_on", "cycles", "npu_cycles", "sram_cycles", "dram_cycles", "estimated_ms", "share",
        "madds", "utilisation", "sram_used_bytes", "reason",
    ),
)  # fmt: skip
TRADEOFFS = Frame(  # accuracy, latency and memory of one file in one row
    name="tradeoffs",
    keys=MODEL_FILE,
    first=("model", "scheme", "top1", "p50_ms", "size_bytes", "arena_bytes"),
    values=(
        "n_images", "top1", "top1_lo", "top1_hi", "p50_ms", "p50_lo_ms", "p50_hi_ms", "relative_p50",
        "relative_p50_lo", "relative_p50_hi", "size_bytes", "peak_activation_bytes", "arena_bytes", "params", "madds",
    ),
)  # fmt: skip
RIVALS = Frame(  # one row per network and scheme; random weights, so every accuracy is published; published_ms: Pixel 4
    name="rivals",
    keys=MODEL_FILE,
    first=("model", "scheme", "p50_ms", "published_top1", "published_ms"),
    values=(
        "size_px", "size_bytes", "host", "threads", "n_runs", "p50_ms", "p50_lo_ms", "p50_hi_ms",
        "relative_p50", "relative_p50_lo", "relative_p50_hi", "guard",
        "published_top1", "published_source", "published_conditions",
        "published_ms", "published_ms_source", "published_ms_conditions",
    ),
)  # fmt: skip
