"""A file from elsewhere is opened by a child process first: an interpreter that dies there is one line for the user.

One child serves all questions of a process; it is started with the first and replaced when it died. What it has survived once
is not tried again.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
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
from effnet_lab.paths import scratch_folder

START_S = 15.0  # for the interpreter to come up and run a small network, on a busy machine
MADDS_PER_S = 2e7  # slower than the reference kernels
LATE = "no answer"
_CHILD = Path(__file__).with_name("trial_child.py")
_LOCK = threading.RLock()


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
    outcome = FileTrial(content, kernels=kernels, keep_all=keep_all, madds=madds).outcome()
    if outcome.death:
        how, _ = death_of(content, outcome, kernels=kernels, keep_all=keep_all)
        raise UserError(f"{content.path!r} {how}. TensorFlow Lite Micro may run it: effnet-lab footprint.")


def require_parts_survive(part: bytes, of: bytes, *, kernels: str) -> None:
    """The same for a graph that was made of the ops of a file from elsewhere; nothing is tried where `of` is no such file."""
    if not isinstance(of, FileContent):
        return
    with scratch_folder() as folder:
        made = FileContent(part)
        made.path = str(folder / "part.tflite")
        Path(made.path).write_bytes(made)
        outcome = FileTrial(made, kernels=kernels).outcome()
        if outcome.death:
            how, _ = death_of(made, outcome, kernels=kernels)
            raise UserError(f"{of.path!r}, its ops run one by one, {how}.")


class FileTrial:
    """A file that is opened, run and closed in the child process while this one goes on; `outcome` waits for the end."""

    def __init__(self, content: FileContent, *, kernels: str, keep_all: bool = False, madds: int = 0) -> None:
        self._timeout_s = START_S + madds / MADDS_PER_S
        self._asked = str(Path(content.path).absolute()), kernels, keep_all
        self._key = (hashlib.sha256(content).digest(), kernels, keep_all)
        self._child: _Child | None = None
        with _LOCK:
            if self._key not in _OUTCOMES:
                self._child = _child()
                self._child.begin(self)

    def outcome(self) -> Outcome:
        """How far it came."""
        with _LOCK:
            if self._child is not None and self._key not in _OUTCOMES:
                _OUTCOMES[self._key] = self._child.answer(self._timeout_s)
            return _OUTCOMES[self._key]

    @property
    def question(self) -> bytes:
        """The line that the child reads."""
        return json.dumps(dict(zip(("path", "kernels", "keep_all"), self._asked, strict=True))).encode() + b"\n"


def death_of(content: bytes, outcome: Outcome, *, kernels: str, keep_all: bool = False) -> tuple[str, int | None]:
    """In words: how the interpreter dies, when, and on which operator; and the index of that one where it was found.

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
        return said, None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _dies(tree, middle, kernels, keep_all) else (middle, high)
    op = graph.ops[high - 1]
    output = graph.tensors[op.outputs[0]].name if op.outputs else ""
    layer = layer_names(graph).get(output, output)
    return f"{said}: operator {op.index}, {op.kind} of the layer {layer[:60]!r}", op.index


def _dies(tree: schema.ModelT, n_ops: int, kernels: str, keep_all: bool) -> bool:
    """Whether the first operators alone end the process, too."""
    main = tree.subgraphs[0]
    operators, outputs, signatures = main.operators, main.outputs, tree.signatureDefs
    try:
        main.operators, tree.signatureDefs = operators[:n_ops], []
        main.outputs = next((list(op.outputs) for op in reversed(main.operators) if len(op.outputs)), list(main.inputs))
        with scratch_folder() as folder:
            part = FileContent(pack(tree))
            part.path = str(folder / "part.tflite")
            Path(part.path).write_bytes(part)
            return bool(FileTrial(part, kernels=kernels, keep_all=keep_all).outcome().death)
    finally:
        main.operators, main.outputs, tree.signatureDefs = operators, outputs, signatures


class _Child:
    """The process and its ends."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._pending: FileTrial | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def begin(self, trial: FileTrial) -> None:
        """Put a question, after the one before is answered."""
        if self._pending is not None:
            self._pending.outcome()
        self._pending = trial
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(trial.question)
            self._process.stdin.flush()

    def answer(self, timeout_s: float) -> Outcome:
        """What came of it."""
        self._pending = None
        clock = threading.Timer(timeout_s, self._process.kill)
        clock.start()
        step = "opened"
        try:
            assert self._process.stdout is not None
            for answer in self._process.stdout:
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


_OUTCOMES: dict[tuple[bytes, str, bool], Outcome] = {}
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
