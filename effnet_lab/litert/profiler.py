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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ai_edge_litert
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from effnet_lab.litert.runner import Runner
from effnet_lab.names import UserError

N_WARMUP = 5
PAUSE_S = 0.002  # who comes from a pause is not interrupted soon, and not always in the same operator
_CPU = 1
_UNSUPPORTED = 5  # kLiteRtStatusErrorUnsupported. Source: google-ai-edge/LiteRT, litert/c/litert_common.h
_SHAPE = slice(2, 10)
_PLAIN, _DELEGATED = 2, 8  # types of events: an op of the graph, an operator inside a delegate


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfiledOp:
    """One thing that the library ran: an op of the graph, or an operator that XNNPACK has put in its place."""

    name: str  # CONV_2D, "Convolution (NHWC, QC8) IGEMM", ...
    delegated: bool
    ms: NDArray[np.float64]  # (runs,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Profiled:
    """The nodes in the order they ran, and what the same interpreter as in `Runner` takes for whole inferences in between."""

    nodes: tuple[ProfiledOp, ...]
    whole_ms: NDArray[np.float64]  # (runs,)


def profile_nodes(model: Path | str, n_runs: int = 30) -> Profiled:
    """Run a file with the profiler on, batch 1, one thread, XNNPACK where it applies.

    Every event counts, so that nothing is lost where XNNPACK takes the graph in several parts: the library's own summary
    merges operators that have the same number in different parts.

    Raises
    ------
    UserError
        If the file cannot be run.
    """
    if n_runs < 1:
        raise UserError(f"A profile needs at least 1 run. Got {n_runs}.")
    Runner(model)  # says in one line what is wrong with the file
    command = [sys.executable, "-m", "effnet_lab.litert.profiler", str(model), str(n_runs)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        said = [line for line in lines if "ERROR" in line] or lines[-1:]  # the library's own words come before ours
        why = re.sub(r"ERROR: (\[[^]]*\] )?", "", said[0]).strip().rstrip(".")[:160]
        raise UserError(
            f"LiteRT cannot profile {str(model)!r} on an input of zeros: {why}. `bench` without --profile times it as a whole."
        )
    answer = json.loads(done.stdout)
    nodes = (
        ProfiledOp(name=node["name"], delegated=node["delegated"], ms=np.array(node["ms"])) for node in answer["nodes"]
    )
    return Profiled(nodes=tuple(nodes), whole_ms=np.array(answer["whole_ms"]))


class _Library:
    """The C interface: every call returns 0, or the process ends with what failed."""

    def __init__(self) -> None:
        self._dll = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))

    def __getattr__(self, name: str) -> Callable[..., None]:
        function = getattr(self._dll, f"LiteRt{name}")
        function.restype = ctypes.c_int

        def call(*args: object) -> None:
            if status := function(*args):
                what = "not supported there" if status == _UNSUPPORTED else f"status {status}"
                sys.exit(f"ERROR: LiteRt{name}: {what}")

        return call

    def make(self, name: str, *args: object) -> ctypes.c_void_p:
        """Result of a function that writes a handle to its last argument."""
        handle = ctypes.c_void_p()
        getattr(self, name)(*args, ctypes.byref(handle))
        return handle


class _Event(ctypes.Structure):
    """ProfiledEventData. Source: google-ai-edge/LiteRT, litert/c/litert_profiler_event.h."""

    _fields_ = (
        ("tag", ctypes.c_char_p), ("type", ctypes.c_int), ("start_us", ctypes.c_uint64), ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_uint64 * 6), ("node", ctypes.c_int64), ("graph", ctypes.c_int64), ("source", ctypes.c_int),
    )  # fmt: skip


def _compile(library: _Library, path: str) -> tuple[ctypes.c_void_p, tuple[object, ...]]:
    """The compiled model with profiling on, and the arguments of a run: the number and the buffers of inputs and outputs."""
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
    ends: list[object] = []
    for end in ("Input", "Output"):
        count = ctypes.c_size_t()
        getattr(library, f"GetNumSignature{end}s")(signature, ctypes.byref(count))
        buffers = (ctypes.c_void_p * count.value)()
        for i in range(count.value):
            place = ctypes.c_size_t(i)
            tensor = library.make(f"GetSignature{end}TensorByIndex", signature, place)
            kind = (ctypes.c_int32 * 128)()  # room for the library's structure: type, rank, then the shape
            library.GetRankedTensorType(tensor, kind)
            kind[_SHAPE] = [abs(n) for n in kind[_SHAPE]]  # an open batch, -1, is 1
            needs = library.make(f"GetCompiledModel{end}BufferRequirements", compiled, first, place)
            made = library.make("CreateManagedTensorBufferFromRequirements", environment, kind, needs)
            library.ClearTensorBuffer(made)
            buffers[i] = made.value
        ends += [count, buffers]
    return compiled, tuple(ends)


def _events(library: _Library, profiler: ctypes.c_void_p) -> list[tuple[str, bool, float]]:
    """(name, whether a delegate ran it, ms) of every operator since the last reset."""
    count = ctypes.c_int()
    library.GetNumProfilerEvents(profiler, ctypes.byref(count))
    events = (_Event * count.value)()
    library.GetProfilerEvents(profiler, count, events)
    return [
        (event.tag.decode("utf-8", "replace"), event.type == _DELEGATED, event.elapsed_us / 1e3)
        for event in events
        if event.type in (_PLAIN, _DELEGATED)
    ]


def _main(path: str, n_runs: int) -> None:
    library, plain = _Library(), Interpreter(path, num_threads=1)
    plain.allocate_tensors()
    for given in plain.get_input_details():
        if given["dtype"] != np.bytes_:
            plain.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))
    compiled, ends = _compile(library, path)
    profiler = library.make("CompiledModelGetProfiler", compiled)

    runs, whole_ms = [], []
    for i in range(-N_WARMUP, n_runs):
        time.sleep(PAUSE_S)
        start = (
            time.thread_time()
        )  # others on the processor do not count: an operator is too short to be interrupted often
        plain.invoke()
        whole = time.thread_time() - start
        time.sleep(PAUSE_S)
        library.ResetProfiler(profiler)
        library.StartProfiler(profiler)
        library.RunCompiledModel(compiled, ctypes.c_size_t(0), *ends)
        library.StopProfiler(profiler)
        if i >= 0:
            runs.append(_events(library, profiler))
            whole_ms.append(whole * 1e3)
    shortest = min(len(run) for run in runs)  # a state that is set up in the first run only
    nodes = [
        {"name": name, "delegated": delegated, "ms": [run[i - shortest][2] for run in runs]}
        for i, (name, delegated, _ms) in enumerate(runs[-1][-shortest:])
    ]
    print(json.dumps({"nodes": nodes, "whole_ms": whole_ms}))  # noqa: T201  the answer of this process


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
