"""Time of every op of a .tflite file, from the profiler inside the LiteRT library.

The Python interface does not reach it, so the library's C interface is called; and because a mistake there ends the
process, it is called in a process of its own: ``python -m effnet_lab.litert.profiler MODEL RUNS`` prints JSON.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import ai_edge_litert
import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert.flatbuffer import read_bytes
from effnet_lab.names import UserError

N_WARMUP = 5
PAUSE_S = 0.002  # who comes from a pause is not interrupted soon, and not always in the same operator
DELEGATED = "Delegate/"
# node type, then seven columns of numbers, and at the end where it ran and its index there; the second column of numbers
# after the start is this run's time in ms
_LINE = re.compile(r"^\s*(\S.*?)\s+[\d.]+\s+([\d.]+)\s+[\d.]+\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+\d+\s+\[(\w+)\]:\d+\s*$")
_CPU = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfiledOp:
    """One thing that the library ran: an op of the graph, or an operator that XNNPACK has put in its place."""

    name: str  # CONV_2D, "Convolution (NHWC, QC8) IGEMM", ...
    delegated: bool
    ms: NDArray  # (runs,)


def profile(model: Path | str, n_runs: int = 30) -> list[ProfiledOp]:
    """Run a file with the profiler on, batch 1, one thread, XNNPACK where it applies; nodes in the order they ran.

    Raises
    ------
    UserError
        If the file cannot be run.
    """
    if n_runs < 1:
        raise UserError(f"A profile needs at least 1 run. Got {n_runs}.")
    read_bytes(model)  # says in one line what is wrong with the path
    command = [sys.executable, "-m", "effnet_lab.litert.profiler", str(model), str(n_runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or [f"exit code {done.returncode}"]
        raise UserError(f"LiteRT cannot profile {str(model)!r}: {said[-1]}")
    return [
        ProfiledOp(name=node["name"], delegated=node["delegated"], ms=np.array(node["ms"]))
        for node in json.loads(done.stdout)
    ]


class _Library:
    """The C interface: every call returns 0, or the process ends with what failed."""

    def __init__(self) -> None:
        self._dll = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))

    def __getattr__(self, name: str):
        function = getattr(self._dll, f"LiteRt{name}")
        function.restype = ctypes.c_int

        def call(*args) -> None:
            if status := function(*args):
                sys.exit(f"ERROR: LiteRt{name} gave status {status}")

        return call

    def make(self, name: str, *args) -> ctypes.c_void_p:
        """Result of a function that writes a handle to its last argument."""
        handle = ctypes.c_void_p()
        getattr(self, name)(*args, ctypes.byref(handle))
        return handle


def _compile(library: _Library, path: str) -> tuple[ctypes.c_void_p, list[ctypes.c_void_p]]:
    """The compiled model with profiling on, and a buffer for its input and output each."""
    environment = library.make("CreateEnvironment", 0, None)
    model = library.make("CreateModelFromFile", environment, ctypes.c_char_p(path.encode()))
    options = library.make("CreateOptions")
    library.SetOptionsHardwareAccelerators(options, ctypes.c_int(_CPU))
    libc = ctypes.CDLL(None)
    libc.strdup.restype = ctypes.c_void_p  # the library frees it
    text = ctypes.c_void_p(libc.strdup(b"enable_profiling = true\n"))
    free = ctypes.cast(libc.free, ctypes.c_void_p)
    library.AddOpaqueOptions(
        options, library.make("CreateOpaqueOptions", ctypes.c_char_p(b"runtime_options_string"), text, free)
    )
    compiled = library.make("CreateCompiledModel", environment, model, options)
    signature, first = library.make("GetModelSignature", model, ctypes.c_size_t(0)), ctypes.c_size_t(0)
    buffers = []
    for end in ("Input", "Output"):
        tensor = library.make(f"GetSignature{end}TensorByIndex", signature, first)
        kind = ctypes.create_string_buffer(512)  # room for the library's structure, which holds the shape
        library.GetRankedTensorType(tensor, kind)
        needs = library.make(f"GetCompiledModel{end}BufferRequirements", compiled, first, first)
        buffers.append(library.make("CreateManagedTensorBufferFromRequirements", environment, kind, needs))
    return compiled, buffers


def _main(path: str, n_runs: int) -> None:
    library, one = _Library(), ctypes.c_size_t(1)
    compiled, (source, result) = _compile(library, path)
    profiler = library.make("CompiledModelGetProfiler", compiled)
    runs = []
    for i in range(-N_WARMUP, n_runs):
        time.sleep(PAUSE_S)
        library.ResetProfiler(profiler)
        library.StartProfiler(profiler)
        ends = ctypes.byref(source), one, ctypes.byref(result)
        library.RunCompiledModel(compiled, ctypes.c_size_t(0), one, *ends)
        library.StopProfiler(profiler)
        if i >= 0:
            summary = ctypes.c_char_p()
            library.GetProfileSummary(profiler, compiled, ctypes.byref(summary))
            runs.append(parse_summary(summary.value.decode()))
    names = runs[0]
    nodes = [
        {"name": name, "delegated": delegated, "ms": [run[i][2] for run in runs]}
        for i, (name, delegated, _ms) in enumerate(names)
    ]
    print(json.dumps(nodes))  # noqa: T201  the answer of this process


def parse_summary(text: str) -> list[tuple[str, bool, float]]:
    """(name, whether a delegate ran it, ms) of every line of the first table, "Run Order"."""
    first = text.split("==", 1)[1].split("[node type]", 1)[1]
    rows = []
    for line in first.splitlines()[1:]:
        if not (found := _LINE.match(line)):
            break
        name, ms, where = found.groups()
        rows.append((name.removeprefix(DELEGATED), where == "Delegate", float(ms)))
    return rows


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
