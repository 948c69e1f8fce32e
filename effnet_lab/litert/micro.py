"""TensorFlow Lite Micro: what its allocator takes for a file, and what its kernels answer.

The runtime ends the process on some files, so each question is a process of its own.
"""

from __future__ import annotations

import importlib.util
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.cpu_limit import run_limited
from effnet_lab.litert.flatbuffer import read_bytes
from effnet_lab.litert.graph import Graph, read_graph
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.names import UserError
from effnet_lab.paths import scratch_folder

LIMIT_S = 120  # of processor time
MISSING = "tflite-micro has no wheel for this platform"
_SPARE_BYTES = 8 << 20  # for what the arena holds besides tensors; the first attempt has to fit
_CHILD = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro.runtime import Interpreter
model, arena, codes, answer = sys.argv[1:]
micro = Interpreter.from_file(model, arena_size=int(arena))
micro.print_allocations()
if codes:
    micro.set_input(np.load(codes), 0)
    micro.invoke()
    np.save(answer, micro.get_output(0))
"""
_TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_PART = re.compile(r"\] '(.+?)' used (\d+) bytes")
_NO_KERNEL = re.compile(r"(?:Didn't find op for builtin opcode '|Failed to get registration from op code )(\w+)")
_NOT_PREPARED = re.compile(r"(?:(.*)\n)?.*Node (\w+) \(number (\d+)f?\) failed to (?:prepare|invoke)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """What the recording allocator says of a file, bytes on this 64-bit host."""

    total_bytes: int  # the whole arena
    head_bytes: int  # activations and scratch buffers, at planned offsets
    tail_bytes: int  # structs that live as long as the interpreter
    parts: Mapping[str, int]  # of the tail, by the allocator's own names


class MicroRefusedError(UserError):
    """TensorFlow Lite Micro does not run a file."""

    def __init__(self, text: str, tensor: str = "") -> None:
        super().__init__(text)
        self.tensor = tensor  # what the op that it does not run computes; "" where it names none


def installed() -> bool:
    """Whether the runtime is there: its wheels are for Linux on x86-64 only."""
    return importlib.util.find_spec("tflite_micro") is not None


def allocate(model: Path | str | bytes) -> Allocation:
    """Let TensorFlow Lite Micro allocate a file's tensors.

    Raises
    ------
    MicroRefusedError
        If it has no kernel for an op, or refuses one: with the op, the layer, and the reason that it gives.
    """
    said, _ = _ask(model, None)
    found = {name: int(size) for name, size in _TOTAL.findall(said)}
    return Allocation(
        total_bytes=found["total"],
        head_bytes=found["head"],
        tail_bytes=found["tail"],
        parts={name: int(size) for name, size in _PART.findall(said)},
    )


def run_micro(model: Path | str | bytes, codes: NDArray[Any]) -> NDArray[Any]:
    """Output of the reference kernels of TensorFlow Lite Micro for one input, both as the file's own codes."""
    answer = _ask(model, codes)[1]
    assert answer is not None  # it was given an input
    return answer


def _ask(model: Path | str | bytes, codes: NDArray[Any] | None) -> tuple[str, NDArray[Any] | None]:
    """What the runtime printed, and the answer if it was given an input."""
    if not installed():
        raise UserError(f"{MISSING}; what it would answer is not known here.")
    content, graph = read_bytes(model), read_graph(model)
    arena = sum(tensor.size_bytes for tensor in graph.tensors if tensor.data is None) + len(content) + _SPARE_BYTES
    arena = -(-arena // 64) * 64  # an arena with a crooked end loses some bytes at its tail
    with scratch_folder() as folder:
        file, given, answer = (folder / name for name in ("model.tflite", "codes.npy", "answer.npy"))
        file.write_bytes(content)
        if codes is not None:
            np.save(given, codes)
        command = [
            sys.executable,
            "-c",
            _CHILD,
            str(file),
            str(arena),
            "" if codes is None else str(given),
            str(answer),
        ]
        code, said = run_limited(command, LIMIT_S)
        if code is None:
            raise UserError(f"TensorFlow Lite Micro did not finish within {LIMIT_S} s of processor time.")
        if code or not _TOTAL.search(said):
            raise _refusal(said, code, graph)
        return said, np.load(answer) if codes is not None else None


def _refusal(said: str, code: int, graph: Graph) -> MicroRefusedError:
    runtime = "TensorFlow Lite Micro"
    advice = "LiteRT may run it." if graph.scheme.startswith("static_wi8") else "Export the network as int8."
    if missing := _NO_KERNEL.findall(said):
        return MicroRefusedError(
            f"{runtime} has no kernel for {', '.join(dict.fromkeys(missing))}, in any kind of numbers."
        )
    if found := _NOT_PREPARED.search(said):
        why, kind, number = found.groups()
        why = re.sub(r"^\S+\.(?:cc|h):?(?:\d+)?\s*", "", (why or "").strip()).rstrip(".") or "it does not say why"
        op = graph.ops[int(number)] if int(number) < len(graph.ops) else None
        if op is not None and any(graph.tensors[i].dtype == np.uint8 for i in op.inputs):
            why, advice = "its kernels take no uint8", "Export the network as int8; LiteRT runs it as it is."
        outputs = () if op is None else op.outputs
        output = graph.tensors[outputs[0]].name if outputs else f"#{number}"
        layer = layer_names(graph).get(output, output)[:60]
        return MicroRefusedError(f"{runtime} refuses {kind} of the layer {layer!r}: {why}. {advice}", output)
    last = (said.strip().splitlines() or ["nothing"])[-1]
    how = signal.Signals(-code).name if code < 0 else f"code {code}"
    return MicroRefusedError(f"{runtime} ended with {how}. It said: {last[:120].rstrip('.')}. {advice}")
