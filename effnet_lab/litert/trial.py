"""A file from elsewhere is opened by a child process first: an interpreter that dies there is one line for the user.

One child serves all questions of a process; it is started with the first and replaced when it died. What it has survived once
is not tried again.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.flatbuffer import FileContent, pack, parse
from effnet_lab.litert.graph import graph_of
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.names import UserError

START_S = 15.0  # for the interpreter to come up and run a small network, on a busy machine
PART_S = 5.0  # for a part of a file, when the culprit is looked for
MADDS_PER_S = 2e7  # slower than the reference kernels
LATE = "no answer"
_CHILD = Path(__file__).with_name("trial_child.py")
_OUTCOMES: dict[tuple[str, int, int, str, bool], Outcome] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How far a file came."""

    step: str  # the last that began: opened, prepared, run, closed; "done" where all went well or was refused in order
    refused: str = ""  # the interpreter's words
    death: str = ""  # how the process ended


def require_survival(content: FileContent, *, kernels: str, keep_all: bool, madds: int) -> None:
    """Refuse a file on which the interpreter dies; what it refuses in order is left to whoever opens the file.

    Parameters
    ----------
    content : FileContent
        As `read_bytes` gives it for a path.
    kernels : str
        Name of an `OpResolverType`.
    madds : int
        Of the network: how long it may take.

    Raises
    ------
    UserError
        With the operator on which it dies.
    """
    outcome = try_file(content, kernels=kernels, keep_all=keep_all, madds=madds)
    if outcome.death:
        raise UserError(
            f"{content.path!r} {death_of(content, outcome, kernels=kernels, keep_all=keep_all)}. TensorFlow Lite Micro may "
            "run it: effnet-lab footprint."
        )


def try_file(content: FileContent, *, kernels: str, keep_all: bool = False, madds: int = 0) -> Outcome:
    """Open, run and close a file in the child process."""
    try:
        stat = os.stat(content.path)
    except OSError:
        return Outcome(step="done")  # it went away; the content that was read is not tried
    key = (os.path.abspath(content.path), stat.st_mtime_ns, stat.st_size, kernels, keep_all)
    with _LOCK:
        if key not in _OUTCOMES:
            _OUTCOMES[key] = _child().ask(content.path, kernels, keep_all, START_S + madds / MADDS_PER_S)
        return _OUTCOMES[key]


def death_of(content: bytes, outcome: Outcome, *, kernels: str, keep_all: bool = False) -> str:
    """In words: how the interpreter dies, when, and on which operator.

    The operator is found by trying the file cut off after ever fewer of them.
    """
    when = {"opened": "when it is opened", "prepared": "when its tensors are allocated"}.get(
        outcome.step, "when it is run"
    )
    tree = parse(content)
    graph = graph_of(tree)
    low, high = 0, len(graph.ops)
    said = f"ends the interpreter ({outcome.death}) {when}" if outcome.death != LATE else f"hangs {when}"
    if outcome.death == LATE or not _dies(tree, high, kernels, keep_all):
        return said
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _dies(tree, middle, kernels, keep_all) else (middle, high)
    op = graph.ops[high - 1]
    output = graph.tensors[op.outputs[0]].name if op.outputs else ""
    layer = layer_names(graph).get(output, output)
    return f"{said}: operator {op.index}, {op.kind} of the layer {layer[:60]!r}"


def _dies(tree: schema.ModelT, n_ops: int, kernels: str, keep_all: bool) -> bool:
    """Whether the first operators alone end the process, too."""
    main = tree.subgraphs[0]
    operators, outputs, signatures = main.operators, main.outputs, tree.signatureDefs
    try:
        main.operators, tree.signatureDefs = operators[:n_ops], []
        main.outputs = next((list(op.outputs) for op in reversed(main.operators) if len(op.outputs)), list(main.inputs))
        with tempfile.TemporaryDirectory(prefix="effnet-lab-") as folder:
            path = Path(folder) / "part.tflite"
            path.write_bytes(pack(tree))
            with _LOCK:
                return bool(_child().ask(str(path), kernels, keep_all, PART_S).death)
    finally:
        main.operators, main.outputs, tree.signatureDefs = operators, outputs, signatures


class _Child:
    """The process and its ends."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(self, path: str, kernels: str, keep_all: bool, timeout_s: float) -> Outcome:
        """Try one file."""
        ends = self._process.stdin, self._process.stdout
        assert ends[0] is not None
        assert ends[1] is not None
        clock = threading.Timer(timeout_s, self._process.kill)
        clock.start()
        step = "opened"
        try:
            line = json.dumps({"path": str(Path(path).absolute()), "kernels": kernels, "keep_all": keep_all})
            with contextlib.suppress(BrokenPipeError):
                ends[0].write(line.encode() + b"\n")
                ends[0].flush()
            for answer in ends[1]:
                word, _, rest = answer.decode("utf-8", "replace").strip().partition(" ")
                if word == "done":
                    return Outcome(step="done", refused=json.loads(rest))
                step = word
            code = self._process.wait()
            late = not clock.is_alive()
        finally:
            clock.cancel()
        return Outcome(step=step, death=LATE if late else _name(code))

    def close(self) -> None:
        """End the process."""
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()
        for end in (self._process.stdin, self._process.stdout, self._said):
            with contextlib.suppress(OSError):
                if end is not None:
                    end.close()


_CHILDREN: list[_Child] = []  # at most one


def _child() -> _Child:
    if not _CHILDREN or not _CHILDREN[0].alive:
        _close()
        _CHILDREN.append(_Child())
    return _CHILDREN[0]


@atexit.register
def _close() -> None:
    while _CHILDREN:
        _CHILDREN.pop().close()


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
