"""The columns of every table that crosses a border: between rooms, into a CSV, into a baseline.

Units stand in the names (``_ms _bytes _db _px``), fractions lie in [0, 1], counts are raw integers, and what was not
measured is NaN (JSON ``null``), never 0. A *row* is one observation; `keys` are the columns that tell rows apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

MODEL_FILE = ("model", "scheme", "backend")  # which network, quantized how, by which back end: one .tflite file


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Name, column order and key columns of one kind of table."""

    name: str
    keys: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Key columns, then value columns, in the order of every file."""
        return self.keys + self.values


VARIANTS = Frame(  # one row per named specification
    name="variants",
    keys=("model",),
    values=(
        "width", "depth", "resolution_px", "params", "madds", "peak_activation_bytes", "flash_bytes",
        "published_params", "published_madds", "published_top1", "published_int8_top1",
    ),
)  # fmt: skip
COUNTS = Frame(  # one row per layer, from the specification alone
    name="counts",
    keys=("model", "layer_index", "layer"),
    values=("op", "out_side_px", "out_channels", "params", "madds", "activation_bytes", "weight_bytes"),
)
CANDIDATES = Frame(  # one row per specification that meets the budgets, best first
    name="candidates",
    keys=("width", "depth", "resolution_px"),
    values=("phi", "params", "madds", "peak_activation_bytes", "flash_bytes"),
)
LAYER_ERROR = Frame(  # one row per op output of the quantized graph, in forward order; what was not asked for is NaN
    name="layer_error",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    values=(
        "op", "data", "n_images", "kernels", "scale", "zero_point",
        # accumulated: this activation in the whole quantized graph against the float graph
        "sqnr_accumulated_db", "mse", "cosine", "max_error", "bias", "rmse_over_scale", "effective_bits",
        # local: the op alone in integers, fed with the float graph's inputs
        "sqnr_local_db", "local_mse", "local_bias", "local_rmse_over_scale",
        # effect: the logits when this op alone is quantized
        "sqnr_effect_db", "effect_changed_top1", "sqnr_effect_weights_db", "sqnr_effect_activations_db",
        "weight_sqnr_db", "weight_worst_channel_sqnr_db", "granularity",
        "float_min", "float_max", "saturation_share", "n_channels", "n_dead_channels",
    ),
)  # fmt: skip
HISTOGRAM = Frame(  # one row per bin of one layer's output; precision is "float" or "quantized"
    name="histogram",
    keys=(*MODEL_FILE, "layer_index", "layer", "precision", "bin_left"),
    values=("bin_right", "count"),
)
# What `analysis.verdicts` says of a layer; the order is that of tables and legends.
VERDICT_NAMES = (
    "healthy", "clipped", "wasted range", "outlier channel", "dead", "bimodal", "unlike residual", "upstream",
)  # fmt: skip
VERDICTS = Frame(  # one row per layer of the quantized graph; evidence_value is a number, evidence_unit says of what
    name="verdicts",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    values=(
        "op", "verdict", "bits_lost", "evidence_value", "evidence_unit", "culprit", "sentence", "remedy", "notes",
        "sqnr_accumulated_db", "sqnr_local_db",
    ),
)  # fmt: skip
EVIDENCE = Frame(  # behind a verdict; part: "grid", "values" (counted on it), range of a "channel", "kernel", "input"
    name="evidence",
    keys=(*MODEL_FILE, "layer_index", "layer", "part", "position"),
    values=("low", "high", "count"),
)
ACCURACY = Frame(  # one row per file and data set; the interval is Wilson's, 95 %
    name="accuracy",
    keys=(*MODEL_FILE, "data"),
    values=("n_images", "top1", "top1_lo", "top1_hi", "top5", "calibration_error"),
)
PER_CLASS = Frame(  # one row per class; top1 is the share of its images that were recognised
    name="per_class",
    keys=(*MODEL_FILE, "data", "label"),
    values=("n_images", "top1", "top1_lo", "top1_hi", "precision", "taken_for", "n_taken_for"),
)
# One row per true and predicted class that occur together.
CONFUSION = Frame(name="confusion", keys=(*MODEL_FILE, "data", "label", "predicted"), values=("n_images",))
RELIABILITY = Frame(  # one row per bin of confidence, the probability of the first class
    name="reliability",
    keys=(*MODEL_FILE, "data", "confidence_left"),
    values=("confidence_right", "n_images", "confidence", "top1", "top1_lo", "top1_hi"),
)
COMPARISON = Frame(  # one row per pair of files on the same images; difference is this file's top-1 less the other's
    name="comparison",
    keys=(*MODEL_FILE, "against", "data"),
    values=(
        "n_images", "agreement", "top1", "against_top1", "difference", "difference_lo", "difference_hi",
        "n_only_this", "n_only_other", "p_value", "n_images_needed",
    ),
)  # fmt: skip
LATENCY = Frame(  # one row per file; relative_p50 is CPU time against the reference row of the same run
    name="latency",
    keys=(*MODEL_FILE, "threads", "reference"),
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
    values=("layer", "op", "operator", "delegate", "n_runs", "uninterrupted_ms", "share"),
)
# One row per file.
MEMORY = Frame(
    name="memory", keys=MODEL_FILE, values=("size_bytes", "peak_activation_bytes", "arena_bytes", "params", "madds")
)
FOOTPRINT = Frame(  # one row per file on a microcontroller; the arena is measured, planned is the specification's estimate
    name="footprint",
    keys=MODEL_FILE,
    values=(
        "size_bytes", "flash_bytes", "weight_bytes", "graph_bytes", "arena_bytes", "arena_head_bytes", "arena_tail_bytes",
        "peak_activation_bytes", "planned_bytes", "planned_head_bytes",
    ),
)  # fmt: skip
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
    values=(
        "npu_ops", "cpu_ops", "madds", "cycles", "npu_cycles", "inference_ms", "sram_used_bytes", "dram_used_bytes",
        "flash_used_bytes", "sram_traffic_bytes", "dram_traffic_bytes", "flash_traffic_bytes",
    ),
)  # fmt: skip
ETHOSU_LAYERS = Frame(  # one row per op that the compiler made; runs_on is "NPU" or "CPU", reason says why the CPU
    name="ethosu_layers",
    keys=(*MODEL_FILE, "accelerator", "run_index"),
    values=(
        "layer", "op", "npu_op", "runs_on", "cycles", "npu_cycles", "sram_cycles", "dram_cycles", "estimated_ms", "share",
        "madds", "utilisation", "sram_used_bytes", "reason",
    ),
)  # fmt: skip
TRADEOFFS = Frame(  # accuracy, latency and memory of one file in one row
    name="tradeoffs",
    keys=MODEL_FILE,
    values=(
        "n_images", "top1", "top1_lo", "top1_hi", "p50_ms", "p50_lo_ms", "p50_hi_ms", "relative_p50",
        "relative_p50_lo", "relative_p50_hi", "size_bytes", "peak_activation_bytes", "arena_bytes", "params", "madds",
    ),
)  # fmt: skip
RIVALS = Frame(  # one row per network and scheme; random weights, so every accuracy is published; published_ms: Pixel 4
    name="rivals",
    keys=MODEL_FILE,
    values=(
        "size_px", "size_bytes", "host", "threads", "n_runs", "p50_ms", "p50_lo_ms", "p50_hi_ms",
        "relative_p50", "relative_p50_lo", "relative_p50_hi", "guard",
        "published_top1", "published_source", "published_conditions",
        "published_ms", "published_ms_source", "published_ms_conditions",
    ),
)  # fmt: skip
PUBLISHED = Frame(  # somebody else's numbers; every row names its source
    name="published",
    keys=("model", "quantity", "source"),
    values=("value", "unit", "rounded_to", "conditions"),
)
# A number of ours against a published one; tolerance is relative; because: what it is instead.
MEASURED = Frame(name="measured", keys=("model", "quantity", "rule"), values=("value", "tolerance", "because"))
CLAIMS = Frame(  # one row per published number; ours is by the rule, the explanation says what the verdict rests on
    name="claims",
    keys=("model", "quantity", "source"),
    values=("value", "unit", "conditions", "rule", "ours", "verdict", "explanation"),
)
CLASSIFICATION = Frame(  # one row per picture and rank, best first; score is a probability
    name="classification",
    keys=(*MODEL_FILE, "file", "rank"),
    values=("class_index", "label", "score"),
)
AUDIT = Frame(  # one row per preprocessing tried; mark A is the best, B the stated one; p_value against the best
    name="audit",
    keys=(*MODEL_FILE, "data", "normalisation", "crop", "interpolation", "channels", "label_offset"),
    values=("rank", "mark", "n_images", "top1", "top1_lo", "top1_hi", "p_value", "tied"),
)
INTEGER = Frame(  # one row per op whose integer arithmetic was recomputed; n_different counts unequal output codes
    name="integer",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    values=(
        "op", "kernels", "n_values", "n_different", "accumulator_min", "accumulator_max", "multiplier_max", "rounding",
    ),
)  # fmt: skip
INTEGER_STEPS = Frame(  # one row per step from the codes to one output value; `at` is its position, "y,x,channel"
    name="integer_steps",
    keys=(*MODEL_FILE, "layer", "at", "kernels", "step"),
    values=("op", "quantity", "value", "how"),
)
FINDINGS = Frame(  # one row per finding of the lint, gravest first; layer is empty where the whole file is meant
    name="findings",
    keys=(*MODEL_FILE, "id", "layer_index", "layer"),
    values=("severity", "op", "evidence", "remedy"),
)
REPAIR = Frame(  # one row per quantized file; steps are its repairs, difference is its top-1 less the unrepaired file's
    name="repair",
    keys=(*MODEL_FILE, "steps", "data"),
    values=("n_images", "top1", "top1_lo", "top1_hi", "difference", "difference_lo", "difference_hi", "p_value"),
)
CHANNEL_RANGES = Frame(  # one row per output channel of a float kernel; share is its largest weight over the tensor's
    name="channel_ranges",
    keys=("model", "steps", "layer_index", "layer", "channel"),
    values=("op", "range", "share", "bits_left"),
)
ACTIVATION_STYLE = Frame(  # one row per network, granularity of the weights and factor on its calibrated ranges
    name="activation_style",
    keys=("model", "granularity", "widening"),
    values=(
        "activation", "squeeze_excite", "n_images", "float_top1", "float_top1_lo", "float_top1_hi",
        "int8_top1", "int8_top1_lo", "int8_top1_hi", "difference", "difference_lo", "difference_hi", "p_value",
        "widest_layer", "range_min", "range_max",  # of the activations, real units, after widening
    ),
)  # fmt: skip
RANGES = Frame(  # one row per layer: its range by two calibrations; width_ratio is this one's width over the other's
    name="ranges",
    keys=("data", "against", "method", "layer_index", "layer"),
    values=("n_images", "against_n_images", "low", "high", "against_low", "against_high", "width_ratio"),
)
CALIBRATION_RANGES = Frame(  # one row per draw of images and layer; width over that of min-max with all images
    name="calibration_ranges",
    keys=("model", "method", "n_calibration", "draw", "layer_index", "layer"),
    values=("drawn", "low", "high", "relative_width"),
)
CALIBRATION_ACCURACY = Frame(  # one row per file: method and draw; difference and p_value against min-max with all images
    name="calibration_accuracy",
    keys=(*MODEL_FILE, "data", "method", "n_calibration", "draw"),
    values=("drawn", "n_images", "top1", "top1_lo", "top1_hi", "difference", "difference_lo", "difference_hi", "p_value"),
)  # fmt: skip
# One row per epoch of training.
HISTORY = Frame(name="history", keys=("model", "epoch"), values=("loss", "train_top1", "validation_top1"))

FRAMES = {
    frame.name: frame
    for frame in (
        VARIANTS, COUNTS, CANDIDATES, LAYER_ERROR, HISTOGRAM, VERDICTS, EVIDENCE, ACCURACY, PER_CLASS, CONFUSION,
        RELIABILITY, COMPARISON, LATENCY, DELEGATION, PROFILE, MEMORY, FOOTPRINT, ARENA, HIGH_WATER, ETHOSU,
        ETHOSU_LAYERS, TRADEOFFS, RIVALS, PUBLISHED, MEASURED, CLAIMS, CLASSIFICATION, AUDIT, INTEGER, INTEGER_STEPS,
        FINDINGS, REPAIR, CHANNEL_RANGES, ACTIVATION_STYLE, RANGES, CALIBRATION_RANGES, CALIBRATION_ACCURACY, HISTORY,
    )
}  # fmt: skip

# What `record` adds to every row: where the number came from.
PROVENANCE = ("notebook", "profile", "effnet_lab", "tensorflow", "litert", "quantizer")


def build(frame: Frame, rows: list[dict]) -> pd.DataFrame:
    """Rows to a table with the frame's columns in their order, also when there are none."""
    return require(pd.DataFrame(rows, columns=list(frame.columns)), frame, caller="build")


def require(table: pd.DataFrame, frame: Frame, *, caller: str) -> pd.DataFrame:
    """Return the table, or say which columns are missing and which key stands twice.

    Raises
    ------
    ValueError
        If a column of the frame is absent or two rows share the frame's key.
    """
    missing = [column for column in frame.columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{caller} needs a {frame.name} frame. Missing columns: {', '.join(missing)}. Got: {', '.join(table.columns)}."
        )
    twice = table.duplicated(list(frame.keys))
    if twice.any():
        key = table.loc[twice, list(frame.keys)].iloc[0].to_dict()
        raise ValueError(f"{caller}: two rows of the {frame.name} frame have the key {key}.")
    return table
