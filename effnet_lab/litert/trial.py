"""A file from elsewhere is opened by a child process first: an interpreter that dies there is one line for the user.

One child serves all questions of a process; it is started with the first and replaced when it died. What it has survived once
is not tried again.
"""

from __future__ import annotations

import json
import os
import weakref
from contextlib import ExitStack
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.graph import graph_of
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.trial_process import LATE, LOCK, Outcome, TrialProcess, trial_process
from effnet_lab.names import UserError
from effnet_lab.paths import scratch_folder

START_S = 15.0  # of processor time, for the interpreter to come up and run a small network
MADDS_PER_S = 2e7  # slower than the reference kernels
_OUTCOMES: dict[tuple[tuple[int, ...], tuple[str, str, bool]], Outcome] = {}  # by state of a file, and what was asked


def require_survival(path: str, *, kernels: str, keep_all: bool, madds: int) -> None:
    """Refuse a file on which the interpreter dies; what it refuses in order is left to whoever opens the file.

    Parameters
    ----------
    path : str
    kernels : str
        Name of an `OpResolverType`.
    madds : int
        Of the network: how long it may take.

    Raises
    ------
    UserError
        With the operator on which it dies.
    """
    outcome = FileTrial(path, kernels=kernels, keep_all=keep_all, madds=madds).outcome()
    if outcome.death:
        how, _ = death_of(path, outcome, kernels=kernels, keep_all=keep_all)
        raise UserError(f"{path!r} {how}. TensorFlow Lite Micro may run it: effnet-lab footprint.")


class FileTrial:
    """A file that is opened, run and closed in the child process while this one goes on; `outcome` waits for the end."""

    def __init__(self, path: str, *, kernels: str, keep_all: bool = False, madds: int = 0) -> None:
        self._limit_s = START_S + madds / MADDS_PER_S
        self._asked = str(Path(path).absolute()), kernels, keep_all
        self._key = (_state_of(self._asked[0]), self._asked)
        self._child: TrialProcess | None = None
        with LOCK:
            child = None if self._key in _OUTCOMES else trial_process()
            if child is not None and self._key not in _OUTCOMES:  # as the question that was open may be this one
                self._child = child
                child.begin(self._question, self.outcome)

    def outcome(self) -> Outcome:
        """How far it came."""
        with LOCK:
            if self._child is not None and self._key not in _OUTCOMES:
                _OUTCOMES[self._key] = self._child.answer(self._limit_s)
            return _OUTCOMES[self._key]

    @property
    def _question(self) -> bytes:
        """The line that the child reads."""
        return json.dumps(dict(zip(("path", "kernels", "keep_all"), self._asked, strict=True))).encode() + b"\n"


class PartsTrial:
    """The same for a graph that was made of the ops of a file from elsewhere; nothing is tried where there is no such file.

    Parameters
    ----------
    part : bytes
        The graph.
    of : str, optional
        Path of the file.
    kernels : str
        Name of an `OpResolverType`.
    """

    def __init__(self, part: bytes, of: str | None, *, kernels: str) -> None:
        self._part, self._of, self._kernels = part, of, kernels
        self._trial: FileTrial | None = None
        if of is not None:
            folder = ExitStack()
            self._remove_folder = weakref.finalize(self, folder.close)
            file = folder.enter_context(scratch_folder()) / "part.tflite"
            file.write_bytes(part)
            self._trial = FileTrial(str(file), kernels=kernels)

    def require_survival(self) -> None:
        """Refuse a graph on which the interpreter dies: `UserError`."""
        if self._trial is None:
            return
        outcome = self._trial.outcome()
        self._remove_folder()
        if outcome.death:
            how, _ = death_of(self._part, outcome, kernels=self._kernels)
            raise UserError(f"{self._of!r}, its ops run one by one, {how}.")


def _state_of(path: str) -> tuple[int, ...]:
    """What changes when a file is written; to hash a network takes as long as to run it."""
    try:
        found = os.stat(path)
    except OSError:  # it is gone, and the child will say so
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def death_of(model: str | bytes, outcome: Outcome, *, kernels: str, keep_all: bool = False) -> tuple[str, int | None]:
    """In words: how the interpreter dies, when, and on which operator; and the index of that one where it was found.

    The operator is found by trying the file cut off after ever fewer of them.
    """
    when = {"opened": "when it is opened", "prepared": "when its tensors are allocated"}.get(
        outcome.step, "when it is run"
    )
    tree = parse(model)
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
            part = folder / "part.tflite"
            part.write_bytes(pack(tree))
            return bool(FileTrial(str(part), kernels=kernels, keep_all=keep_all).outcome().death)
    finally:
        main.operators, main.outputs, tree.signatureDefs = operators, outputs, signatures
