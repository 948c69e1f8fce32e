"""Answers the questions of a front end beside the main thread; of several flips the newest wins."""

from __future__ import annotations

import itertools
import shlex
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from effnet_lab.names import UserError
from effnet_lab.studies.inspection.blocks import block_of
from effnet_lab.studies.inspection.op_times import profile_of
from effnet_lab.studies.inspection.pictures import thumbnail
from effnet_lab.studies.inspection.what_if import RecipeOutcome, WhatIf

Message = dict[str, Any]
Tell = Callable[[Message], None]  # to the front end; called from the thread
Answer = Callable[[Message], Message]

CHANGES = ("flip", "undo", "redo", "recipe")  # questions that set switches
_NUMBERS = (
    "sqnr_db",
    "agreement",
    "top1",
    "top1_lo",
    "top1_hi",
    "n_images",
    "size_bytes",
    "arena_bytes",
    "n_ops",
    "n_run",
)


class Newer(Exception):  # noqa: N818  no error: there is something newer to do
    """A newer question has come."""


class Desk:
    """One thread that takes questions in order; a question that changes the switches ends the work for those before it.

    Parameters
    ----------
    session : callable
        Opens the session; called once, in the thread.
    tell : callable
        Takes each answer, from the thread. Kinds of answers: "switches" (what can be chosen), "state" (what is chosen),
        "progress", "outcome", "time" (latency), "range" (which images set it), "written" and "refused" (in words), and
        those of `others`.
    others : mapping of str to callable
        From further kinds of questions to what answers them.
    out : path
        Folder for what is written.
    """

    def __init__(
        self, session: Callable[[], WhatIf], tell: Tell, others: Mapping[str, Answer] | None = None,
        out: Path | str = "what-if",
    ) -> None:  # fmt: skip
        self._session, self._tell, self._others, self._out = session, tell, dict(others or {}), Path(out)
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._busy = False

    @cached_property
    def what_if(self) -> WhatIf:
        """The session, opened when it is first needed."""
        return self._session()

    def ask(self, question: Message) -> None:
        """Put a question; returns at once."""
        with self._changed:
            self._waiting.append(question)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="inspector", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, timeout_s: float = 600.0) -> bool:
        """Until everything asked so far is answered; False where that took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def close(self) -> None:
        """End the thread after what it is doing."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                question, self._busy = self._waiting.popleft(), True
            try:
                self._answer(question)
            except Newer:
                continue
            except Exception as error:  # noqa: BLE001  the thread goes on, and whoever asked is told
                said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                self._tell({"kind": "refused", "words": said})
                if "what_if" in vars(self):
                    self._tell(self._state())

    def _answer(self, question: Message) -> None:
        kind = str(question.get("kind"))
        if kind in self._others:
            self._tell(self._others[kind](question))
        elif kind == "range":
            self._tell(self._range_setters(str(question.get("layer"))))
        elif kind == "measure":
            self._measure()
        elif kind == "write":
            self._write()
        elif kind == "open":
            self._tell(self._switches())
            self._show()
        elif kind in CHANGES:
            self._change(kind, question)
            self._tell(self._state())
            self._show()

    def _change(self, kind: str, question: Message) -> None:
        switches = self.what_if.switches
        if kind == "flip":
            switches.flip(
                self._scope(str(question.get("layer")), str(question.get("scope"))), str(question.get("format"))
            )
        elif kind == "recipe":
            switches.set(str(question.get("text")))
        else:
            {"undo": switches.undo, "redo": switches.redo}[kind]()

    def _scope(self, shown: str, scope: str) -> list[str]:
        switches, layer = self.what_if.switches, self.what_if.layer_of.get(shown, shown)
        if scope == "block":
            return switches.block(layer, block_of)
        return {"op": switches.alike, "after": switches.after}.get(scope, lambda one: [one])(layer)

    def _show(self) -> None:
        """The outcome of the switches, and then what it will take; a newer change ends it."""
        before = self.what_if.switches.before
        try:
            outcome = self.what_if.outcome(self._counted())
        except UserError:
            self.what_if.switches.undo()
            raise
        known = self.what_if.known(before) if before is not None else None
        message: Message = {"kind": "outcome", "now": numbers(outcome), "given": numbers(self.what_if.given)}
        self._tell(message | {"before": numbers(known) if known else None, "cpu_s": outcome.cpu_s})
        for format in self.what_if.times.missing():
            self._check()
            self.what_if.times.time(format)
        self._tell({"kind": "time", "how": "estimated", "ms": self.what_if.times.estimate(), "recipe": outcome.recipe})

    def _measure(self) -> None:
        outcome = self.what_if.outcome(self._check)
        ms = float(profile_of(outcome.content)["uninterrupted_ms"].sum())
        self._tell({"kind": "time", "how": "measured", "ms": ms, "recipe": outcome.recipe})

    def _range_setters(self, shown: str) -> Message:
        """The calibration images with the lowest and the highest value of a layer."""
        images, found = self.what_if.calibration_images, []
        rows = self.what_if.range_setters(self.what_if.layer_of.get(shown, shown))
        for end, row in zip(("lowest", "highest"), rows or (), strict=False):
            if images is not None:
                found.append({"end": end, "name": f"{images.name} {row}", "thumb": thumbnail(images.read(row))})
        return {"kind": "range", "layer": shown, "images": found}

    def _write(self) -> None:
        *_, file = self.what_if.export(self._out)
        command = shlex.join(self.what_if.command(self._out))
        self._tell({"kind": "written", "file": str(file), "command": command})

    def _check(self) -> None:
        with self._changed:
            if self._closed or any(question.get("kind") in CHANGES for question in self._waiting):
                raise Newer

    def _counted(self) -> Callable[[], None]:
        """The same, which also tells how far the work is."""
        total, done = len(self.what_if.images) + 1, itertools.count(1)

        def check() -> None:
            self._check()
            self._tell({"kind": "progress", "done": min(next(done), total), "total": total})

        return check

    def _state(self) -> Message:
        switches = self.what_if.switches
        chosen, shown = switches.chosen, self.what_if.layer_of
        return {
            "kind": "state", "recipe": switches.recipe.text, "can_undo": switches.can_undo, "can_redo": switches.can_redo,
            "chosen": {layer: chosen[at] for layer, at in shown.items()},
        }  # fmt: skip

    def _switches(self) -> Message:
        options = {
            layer: [{"format": one.format, "reason": one.reason} for one in self.what_if.switches.options(at)]
            for layer, at in self.what_if.layer_of.items()
        }
        return self._state() | {"kind": "switches", "options": options}


def numbers(outcome: RecipeOutcome) -> Mapping[str, Any]:
    """An outcome without its file."""
    return {name: getattr(outcome, name) for name in ("recipe", *_NUMBERS)}
