"""What Arm's compiler for the Ethos-U makes of a file: which ops the NPU takes, and its estimate of time and memory."""

from __future__ import annotations

import csv
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.cpu_limit import run_limited
from effnet_lab.litert import read_graph, read_info
from effnet_lab.litert.flatbuffer import decode, pack, parse, read_bytes
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import scratch_folder, write_atomically

LIMIT_S = 900  # of processor time
SHIPPED = "Arm/vela.ini"  # the configurations that come with the compiler
_SHARED, _DEDICATED = ("Shared_Sram", "Sram_Only"), ("Dedicated_Sram", "Sram_Only", "Shared_Sram")
_SIZED = ("Dedicated_Sram_384KB", "Dedicated_Sram_256KB", "Dedicated_Sram_512KB", *_DEDICATED)
_U55 = ("Ethos_U55_High_End_Embedded", "Ethos_U55_Deep_Embedded")
_U65 = ("Ethos_U65_High_End", "Ethos_U65_Mid_End", "Ethos_U65_Client_Server")
_SYSTEMS: dict[str, dict[str, tuple[str, ...]]] = {  # what Vela ships for each family; the first is the default
    "u55": dict.fromkeys(_U55, _SHARED),
    "u65": dict.fromkeys(_U65, _SIZED) | {"Ethos_U65_Embedded": _SHARED},
}
# The i.MX 93 has a U65-256; no shipped configuration bears its name, the default is the closest.
ACCELERATORS: dict[str, dict[str, tuple[str, ...]]] = {
    f"ethos-{family}-{macs}": _SYSTEMS[family]
    for family, sizes in (("u55", (32, 64, 128, 256)), ("u65", (256, 512)))
    for macs in sizes
}
_SPLIT = re.compile(r"(CPU|NPU) operators = (\d+)")
_WARNING = re.compile(r"Warning[^\n]*operator: (\w+), ofm: '([^\n]*)'\nReason: (.+?)(?:\n\s*\n|\Z)", re.DOTALL)
_BREAKS = frozenset(",\"'\n\r")
_RENAMED = "effnet_lab_tensor_"
_TENSOR = r" \([^)]*\)"  # in Vela's reasons
_KIB = 1024
_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """One file compiled for one NPU."""

    table: pd.DataFrame  # ETHOSU frame, one row
    layers: pd.DataFrame  # ETHOSU_LAYERS frame, one row per op of the compiled network
    fallbacks: tuple[str, ...]  # a sentence for each reason why ops stay on the CPU; `layers` has every op
    content: bytes  # the .tflite file with the NPU's command stream; no PC runs it


def ethosu(
    model: Path | str,
    accelerator: str = "ethos-u65-256",
    *,
    system_config: str | None = None,
    memory_mode: str | None = None,
    out: Path | str | None = None,
) -> Compiled:
    """Compile a file with Vela and read its reports.

    Times and cycles are the compiler's estimate of the NPU's part; what it leaves to the CPU costs nothing in them, so with
    ``cpu_ops`` they are a lower bound. A file of which the NPU takes nothing has NaN.

    Parameters
    ----------
    model : path
        A .tflite file; int8 and int16x8 are what the NPU computes in. `effnet_lab.ethosu` takes any network: what is no such
        file is compiled as float32, all of it for the CPU.
    accelerator : str
        One of `ACCELERATORS`: ethos-u55-32 to -256, ethos-u65-256 (as in the i.MX 93) and -512.
    system_config, memory_mode : str, optional
        Of those that Vela ships: clock and bandwidths, and where weights and activations lie.
    out : path, optional
        Where the compiled file goes.

    Raises
    ------
    UserError
        If a name is unknown, or the compiler ends without a file.

    References
    ----------
    ethos-u-vela 5.2, PERFORMANCE.md and OPTIONS.md.
    """
    systems = lookup("accelerator", accelerator, ACCELERATORS)
    system = system_config or next(iter(systems))
    modes = lookup(f"system configuration of {accelerator}", system, systems)
    mode = memory_mode or modes[0]
    lookup(f"memory mode of {system}", mode, dict.fromkeys(modes))
    key = read_info(model).key
    with scratch_folder() as folder:
        said = _compile(model, folder, accelerator, system, mode)
        (summary,) = csv.DictReader(_found(folder, "*_summary_*.csv", said).read_text(encoding="utf-8").splitlines())
        rows = list(csv.DictReader(_found(folder, "*_per-layer.csv", said).read_text(encoding="utf-8").splitlines()))
        content = _found(folder, "*_vela.tflite", said).read_bytes()
    layers = _layers(model, key | {"accelerator": accelerator}, rows, float(summary["core_clock"]), said)
    place = {"accelerator": accelerator, "system_config": system, "memory_mode": mode}
    if out is not None:
        write_atomically(Path(out), content)
    return Compiled(
        table=frames.build(frames.ETHOSU, [{**key, **place, **_row(summary, _counts(layers, said))}]),
        layers=layers,
        fallbacks=tuple(_fallbacks(layers[layers["runs_on"] == "CPU"])),
        content=content,
    )


def _fallbacks(left: pd.DataFrame) -> Iterator[str]:
    """A reason is said once, with the first op that it holds for, and without the tensor that it names."""
    for why, ops in left.groupby(left["reason"].str.replace(_TENSOR, "", regex=True), sort=False):
        more = f" and {len(ops) - 1:,} more run" if len(ops) > 1 else " runs"
        yield f"{ops['op'].iloc[0]} of the layer {ops['layer'].iloc[0]!r}{more} on the CPU: {why}"


def _counts(layers: pd.DataFrame, said: str) -> dict[str, int]:
    """Ops on either side as the table of layers lists them, so that both tables agree.

    Of a network that it splits into several programs Vela lists the last one only; its own total is taken then.
    """
    total = {target: int(count) for target, count in _SPLIT.findall(said)}
    listed = {target: int((layers["runs_on"] == target).sum()) for target in ("NPU", "CPU")}
    return total if total["NPU"] and not listed["NPU"] else listed


def _compile(model: Path | str, folder: Path, accelerator: str, system: str, mode: str) -> str:
    """Run Vela in a process of its own, some files end it; what it printed."""
    file = folder / "model.tflite"
    file.write_bytes(_plainly_named(read_bytes(model)))
    command = [
        sys.executable, "-m", "ethosu.vela", str(file), "--output-dir", str(folder), "--config", SHIPPED, "--accelerator-config",
        accelerator, "--system-config", system, "--memory-mode", mode, "--verbose-performance",
    ]  # fmt: skip
    code, said = run_limited(command, LIMIT_S, cwd=folder)
    if code is None:
        raise UserError(f"Vela did not finish {model} within {LIMIT_S} s of processor time.")
    if code < 0:
        scheme = read_info(model).scheme
        why = " Weights of 4 bits do that to it." if "wi4" in scheme else ""
        name = signal.Signals(-code).name
        raise UserError(f"Vela was ended by {name} on {model} ({scheme}).{why} Export the network as int8.")
    if code:
        last = (said.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"Vela refuses {model}: {last}")
    return said


def _plainly_named(content: bytes) -> bytes:
    """The file as Vela can list it: its reports are lines and CSV, and know no quotes."""
    tree = parse(content)
    tensors = tree.subgraphs[0].tensors
    if not any(set(decode(tensor.name)) & _BREAKS for tensor in tensors):
        return content
    for i, tensor in enumerate(tensors):
        tensor.name = f"{_RENAMED}{i}_"
    return pack(tree)


def _found(folder: Path, pattern: str, said: str) -> Path:
    for path in folder.glob(pattern):
        return path
    last = (said.strip().splitlines() or ["nothing"])[-1]
    raise UserError(f"Vela wrote no {pattern.strip('*_')}. It said: {last}")


def _row(summary: dict[str, str], ops: dict[str, int]) -> dict[str, float]:
    """The summary's numbers in bytes and milliseconds; its memory is in KiB, its time in seconds."""
    row: dict[str, float] = {"npu_ops": ops["NPU"], "cpu_ops": ops["CPU"], "madds": int(summary["nn_macs"])}

    def total(area: str, pattern: str) -> float:
        return sum(float(summary[pattern.format(name)] or 0) for name in area.split())

    numbers = {
        "cycles": float(summary["cycles_total"]),
        "npu_cycles": float(summary["cycles_npu"]),
        "inference_ms": float(summary["inference_time"]) * 1e3,
    }
    for area, names in (("sram", "sram"), ("dram", "dram"), ("flash", "on_chip_flash off_chip_flash")):
        numbers[f"{area}_used_bytes"] = total(names, "{}_memory_used") * _KIB
        numbers[f"{area}_traffic_bytes"] = total(names, "{}_total_bytes")
    return row | (numbers if ops["NPU"] else dict.fromkeys(numbers, _NAN))


def _layers(
    model: Path | str, key: dict[str, str], rows: list[dict[str, str]], clock_hz: float, said: str
) -> pd.DataFrame:
    reasons = {output: " ".join(why.split()) for _, output, why in _WARNING.findall(said)}
    graph = read_graph(model)
    kinds, names = {name: op.kind for name, op in graph.produced.items() if name}, layer_names(graph)
    for name, op in graph.produced.items():  # of a file that `_plainly_named` has changed
        plain = f"{_RENAMED}{op.outputs[0]}_"
        kinds[plain], names[plain] = op.kind, names.get(name, name)
    total = sum(float(row["Op Cycles"]) for row in rows)
    out = []
    for i, row in enumerate(rows):
        # an op that Vela made of another has the name of that one's output, and a suffix
        output = max((name for name in kinds if row["Name"].startswith(name)), key=len, default=row["Name"])
        cycles = float(row["Op Cycles"])
        numbers = {
            "cycles": cycles,
            "npu_cycles": float(row["NPU"]),
            "sram_cycles": float(row["SRAM AC"]),
            "dram_cycles": float(row["DRAM AC"]),
            "estimated_ms": cycles / clock_hz * 1e3,
            "share": cycles / total if total else _NAN,
            "madds": int(row["MAC Count"]),
            "utilisation": float(row["Util% (MAC)"]) / 100,
            "sram_used_bytes": float(row["Staging Usage"]),
        }
        place = {"run_index": i, "layer": names.get(output, output), "op": kinds.get(output, row["Original Operator"])}
        npu = row["Target"] == "NPU"
        reason = "" if npu else reasons.get(output, "Vela gives no reason")
        out.append(
            key
            | place
            | {"npu_op": row["NNG Operator"] if npu else "", "runs_on": row["Target"], "reason": reason}
            | (numbers if npu else dict.fromkeys(numbers, _NAN))
        )
    return frames.build(frames.ETHOSU_LAYERS, out)
