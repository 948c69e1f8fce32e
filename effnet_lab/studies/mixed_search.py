"""The search behind `mixed_precision`: solve exactly, write the file, measure it, and solve again where it takes more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from effnet_lab.analysis.precision import (
    FLOAT,
    KINDS,
    LOSS,
    PRECISIONS,
    Choice,
    Program,
    arena_costs,
    byte_costs,
    choose_precisions,
    loss_matrix,
    time_costs,
)
from effnet_lab.litert.micro import MicroRefusedError
from effnet_lab.names import UserError
from effnet_lab.studies.mixed_trials import ARENA, BASE, BYTES, MS, MixedFile, Workshop, spent

POINTS = 9  # of the front
ATTEMPTS = 6  # files for one budget
SOLVER_S = 20.0
CLOSE = 0.005  # of a resource: nearer to the limit nothing is tried


@dataclass
class _Bound:
    """The limit that the program is given for one resource, so that the file keeps to what was asked."""

    next: float
    passed: float = 0.0  # a sum over the layers with which a file kept to it
    failed: float = float("inf")  # one with which it did not
    settled: bool = False

    def move(self, used: float, over: float, guess: float) -> None:
        """After one more file: what the program says of it, what it takes too much, and where the limit seems to be."""
        if over:
            self.failed = min(self.failed, used)
        else:
            self.passed = max(self.passed, used)
        inside = self.passed < guess < self.failed
        wanted = guess if inside else (self.passed + min(self.failed, 2 * self.passed)) / 2
        self.settled = not over and (wanted - self.passed) <= CLOSE * self.passed
        self.next = wanted


@dataclass(kw_only=True, eq=False)
class Search:
    """Choices and trials of one network.

    Parameters
    ----------
    workshop : Workshop
    resources : tuple of str
        What is limited or minimised, of "bytes", "ms", "arena".
    keep : callable
        Called with every trial that is better than what was kept before.
    """

    workshop: Workshop
    resources: tuple[str, ...]
    keep: Callable[[MixedFile], None]
    trials: dict[tuple[int, ...], MixedFile] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)  # what files take beyond the sum over their layers
    foretold: dict[tuple[int, ...], dict[str, float]] = field(default_factory=dict)  # of trials, before each of them
    _beyond: dict[str, list[float]] = field(default_factory=dict)  # of each file so far

    def __post_init__(self) -> None:
        candidates = self.workshop.candidates
        costs = {BYTES: byte_costs(candidates)}
        if ARENA in self.resources:
            costs[ARENA] = arena_costs(candidates)
        if MS in self.resources:
            costs[MS] = time_costs(candidates, self.workshop.profiles, self.workshop.switch_ms)
        loss = loss_matrix(self.workshop.sensitivity, candidates)
        self._refused = np.zeros(loss.shape, bool)
        self.program = Program(loss=loss, kinds=KINDS, edges=candidates.edges, resources=costs)

    def choose(self, limits: Mapping[str, float], minimise: str = LOSS) -> Choice:
        """The best choice by the program; where the arena is asked for, of those that TensorFlow Lite Micro runs."""
        while True:
            program = replace(self.program, loss=np.where(self._refused, np.inf, self.program.loss))
            choice = choose_precisions(program, limits, minimise=minimise, seconds=SOLVER_S)
            if ARENA not in self.resources or self._runs(choice):
                return choice

    def _runs(self, choice: Choice) -> bool:
        """Whether TensorFlow Lite Micro takes the file; an op that it refuses gets this precision nowhere any more."""
        try:
            return self.trial(choice).arena_bytes > 0
        except MicroRefusedError as refusal:
            ops = self.workshop.candidates.ops
            row = next((row for row, (tensor, _) in enumerate(ops) if tensor == refusal.tensor), None)
            if row is None or choice.precisions[row] == PRECISIONS.index(BASE):
                raise
            same = [other for other, (_, op) in enumerate(ops) if op.kind == ops[row][1].kind]
            self._refused[same, choice.precisions[row]] = True
            del self.trials[choice.precisions]
            return False

    def uniform(self, precision: str) -> Choice:
        """One precision wherever a layer can have it."""
        column = PRECISIONS.index(precision)
        allowed = self.workshop.candidates.allowed
        chosen = tuple(int(column if row[column] else np.argmax(row)) for row in allowed)
        if precision == FLOAT:
            chosen = (*(column for _ in range(len(allowed) - 2)), *chosen[-2:])
        uses = {name: self.program.use(chosen, name) for name in self.program.resources}
        return Choice(precisions=chosen, loss=self.program.use(chosen, LOSS), uses=uses)

    def trial(self, choice: Choice) -> MixedFile:
        """The file of a choice, written once."""
        if choice.precisions not in self.trials:
            self.foretold[choice.precisions] = self.predicted(choice)
            self.trials[choice.precisions] = self.workshop.trial(choice)
        return self.trials[choice.precisions]

    def predicted(self, choice: Choice) -> dict[str, float]:
        """What a choice is expected to take: the program's sum, and what the file before it had beyond its own."""
        if choice.precisions in self.foretold:
            return self.foretold[choice.precisions]
        return {name: used + self.offsets.get(name, 0.0) for name, used in choice.uses.items()}

    def within(self, limits: Mapping[str, float]) -> MixedFile:
        """The least expected loss in a file that keeps to the limits, all of them measured on the file.

        The int8 file comes first, from which predictions learn what is no layer's, and then the cheapest, so that there is
        one early.

        Raises
        ------
        UserError
            If no file does; with the nearest.
        """
        best: MixedFile | None = None
        for first in (partial(self.uniform, BASE), *(partial(self.choose, {}, name) for name in limits)):
            trial = self.trial(first())
            self._learn(trial, limits)
            if best is None and not self.excess(trial, limits):
                best = trial
                self.keep(best)
        bounds = {name: _Bound(limit - self.offsets[name]) for name, limit in limits.items()}
        if best is not None:
            for name, bound in bounds.items():
                bound.passed = best.choice.uses[name]
        for _ in range(ATTEMPTS):
            try:
                trial = self.trial(self.choose({name: bound.next for name, bound in bounds.items()}))
            except UserError:  # tightened too far
                break
            over = self.excess(trial, limits)
            self._learn(trial, limits)
            if not over and (best is None or trial.choice.loss < best.choice.loss):
                best = trial
                self.keep(best)
            for name, bound in bounds.items():
                bound.move(trial.choice.uses[name], over.get(name, 0.0), limits[name] - self.offsets[name])
            if all(bound.settled for bound in bounds.values()):
                break
        if best is None:
            raise UserError(self._nearest(limits))
        return best

    def excess(self, trial: MixedFile, limits: Mapping[str, float]) -> dict[str, float]:
        """What a file takes beyond the limits."""
        return {name: trial.uses(name) - limit for name, limit in limits.items() if trial.uses(name) > limit}

    def front(self, minimise: str) -> list[Choice]:
        """Choices from the least loss to the least cost, each the cheapest for its loss."""
        least, most = self.choose({}), self.choose({}, minimise)
        losses = np.array([least.loss, most.loss])
        floor = max(losses[0], losses[1] * 1e-6, np.finfo(float).tiny)
        levels = np.geomspace(floor, max(losses[1], floor), POINTS)
        found = {}
        for level in levels:
            choice = self.choose({LOSS: float(level) * (1 + 1e-9)}, minimise)
            found[choice.precisions] = choice
        return sorted(found.values(), key=lambda choice: choice.loss)

    def _learn(self, trial: MixedFile, names: Mapping[str, float]) -> None:
        """What the file takes beyond the sum over its layers; of times, which are never twice the same, the mean so far."""
        for name in names:
            self._beyond.setdefault(name, []).append(trial.uses(name) - trial.choice.uses[name])
            self.offsets[name] = float(np.mean(self._beyond[name])) if name == MS else self._beyond[name][-1]

    def _nearest(self, limits: Mapping[str, float]) -> str:
        shortest = min(self.trials.values(), key=lambda trial: sum(
            over / limits[name] for name, over in self.excess(trial, limits).items()))  # fmt: skip
        used = spent(shortest, limits)
        return f"The budget cannot be met. The nearest file takes {used}. Allow more, or take a smaller network."
