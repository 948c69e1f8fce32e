"""The choice of a precision per layer as an integer program, solved exactly by HiGHS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, lil_array

from effnet_lab.names import UserError, lookup
from effnet_lab.quiet import quiet

Pair = tuple[int, int, int, int]  # layer, its precision, another layer, its precision
LOSS = "loss"


@dataclass(frozen=True, kw_only=True, eq=False)
class Resource:
    """Something that a choice uses up: bytes, milliseconds; or, where there are several moments, the most of any moment.

    Parameters
    ----------
    layers : ndarray (layers, precisions), or (moments, layers, precisions)
        What a layer in a precision uses. With moments the resource is their maximum: RAM is what is alive at once.
    switches : ndarray (edges, kinds, kinds), optional
        What stands on an edge between two kinds of activations: the QUANTIZE or DEQUANTIZE between them; at least 0.
    """

    layers: NDArray[np.float64]
    switches: NDArray[np.float64] | None = None

    @property
    def moments(self) -> NDArray[np.float64]:
        """(moments, layers, precisions)."""
        return self.layers if self.layers.ndim == 3 else self.layers[np.newaxis]


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """What there is to choose from.

    Parameters
    ----------
    loss : ndarray (layers, precisions)
        Expected loss of a layer alone in a precision; ``inf`` where it cannot have it.
    kinds : sequence of int (precisions,)
        Kind of activations of each precision: where it changes from one layer to the next, something has to convert.
    edges : sequence of (layer, layer)
        Which layer reads which.
    resources : mapping of name to Resource
    pairs : mapping of (layer, precision, layer, precision) to loss
        What two choices cost together beyond what each costs alone; may be negative.

    References
    ----------
    Deng et al., "Mixed-Precision Quantization with Cross-Layer Dependencies" (CLADO), 2307.05657; Yao et al., "HAWQ-V3",
    2011.10680. Pair terms are linearized as usual: a variable that is 1 exactly when both choices are made.
    """

    loss: NDArray[np.float64]
    kinds: tuple[int, ...]
    edges: tuple[tuple[int, int], ...] = ()
    resources: Mapping[str, Resource] = field(default_factory=dict)
    pairs: Mapping[Pair, float] = field(default_factory=dict)

    def use(self, precisions: NDArray[np.int64] | tuple[int, ...], name: str) -> float:
        """What a choice (layers,) uses of a resource, or its expected loss."""
        rows = np.arange(len(self.loss))
        if name == LOSS:
            together = (
                value for (a, p, b, q), value in self.pairs.items() if precisions[a] == p and precisions[b] == q
            )
            return float(self.loss[rows, precisions].sum() + sum(together))
        resource = lookup("resource", name, self.resources)
        used = resource.moments[:, rows, precisions].sum(axis=1).max()
        if resource.switches is not None:
            kinds = np.asarray(self.kinds)[np.asarray(precisions)]
            used += sum(resource.switches[e, kinds[a], kinds[b]] for e, (a, b) in enumerate(self.edges))
        return float(used)


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A precision for every layer, by its position."""

    precisions: tuple[int, ...]
    loss: float
    uses: Mapping[str, float]


def choose_precisions(
    program: Program, limits: Mapping[str, float], *, minimise: str = LOSS, seconds: float = 60.0
) -> Choice:
    """The best choice within the limits.

    Parameters
    ----------
    program : Program
    limits : mapping of name to number
        Most that may be used of a resource; "loss" is a name, too.
    minimise : str
        "loss", or a resource.
    seconds : float
        After which the best choice so far counts.

    Raises
    ------
    UserError
        If no choice keeps to the limits; with the least that can be had of each.
    """
    for name in (minimise, *limits):
        lookup("resource", name, {LOSS: None, **program.resources})
    solver = _Solver(program)
    with quiet():  # HiGHS prints a line now and then, whatever it is told
        found = milp(
            solver.objective(minimise), constraints=[*solver.structure(), *solver.limits(limits)],
            integrality=solver.integral, bounds=solver.bounds, options={"time_limit": seconds},
        )  # fmt: skip
    if found.x is None:
        raise UserError(_impossible(program, limits, seconds))
    chosen = tuple(int(p) for p in solver.choices(found.x))
    uses = {name: program.use(chosen, name) for name in program.resources}
    return Choice(precisions=chosen, loss=program.use(chosen, LOSS), uses=uses)


def _impossible(program: Program, limits: Mapping[str, float], seconds: float) -> str:
    """One line that says how near one can get."""
    if len(limits) == 1:
        ((name, limit),) = limits.items()
        least = choose_precisions(program, {}, minimise=name, seconds=seconds)
        return f"No choice of precisions keeps {name} within {limit:g}. The least is {program.use(least.precisions, name):g}."
    wanted = ", ".join(f"{name} <= {limit:g}" for name, limit in limits.items())
    return f"No choice of precisions keeps to {wanted} together. Allow more of one of them."


class _Solver:
    """The variables: a choice per layer and precision, a switch per edge and two kinds, a bit per pair, a maximum each."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.layers, self.precisions = program.loss.shape
        self.kinds = max(program.kinds) + 1
        self.n_choices = self.layers * self.precisions
        self.n_switches = len(program.edges) * self.kinds**2
        self.pairs = tuple(program.pairs)
        self.n = self.n_choices + self.n_switches + len(self.pairs) + 1  # the last: the most of any moment
        self.integral = np.concatenate([np.ones(self.n_choices), np.zeros(self.n - self.n_choices)])
        upper = np.ones(self.n)
        upper[: self.n_choices] = np.isfinite(program.loss).ravel()
        upper[-1] = np.inf
        self.bounds = Bounds(0.0, upper)

    def choices(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Precision of each layer."""
        found: NDArray[np.int64] = x[: self.n_choices].reshape(self.layers, self.precisions).argmax(axis=1)
        return found

    def structure(self) -> list[LinearConstraint]:
        """One precision per layer; a switch where kinds differ; a pair's bit where both are chosen, and only there."""
        one = lil_array((self.layers, self.n))
        for layer in range(self.layers):
            one[layer, layer * self.precisions : (layer + 1) * self.precisions] = 1.0
        found = [LinearConstraint(csr_array(one), 1.0, 1.0)]
        if self.n_switches:
            found.append(self._switches())
        if self.pairs:
            found.append(self._pairs())
        return found

    def _switches(self) -> LinearConstraint:
        rows = lil_array((self.n_switches, self.n))
        for row in range(self.n_switches):
            edge, a, b = np.unravel_index(row, (len(self.program.edges), self.kinds, self.kinds))
            for layer, kind in zip(self.program.edges[edge], (a, b), strict=True):
                for precision in np.flatnonzero(np.asarray(self.program.kinds) == kind):
                    rows[row, layer * self.precisions + precision] += 1.0
            rows[row, self.n_choices + row] = -1.0
        return LinearConstraint(csr_array(rows), -np.inf, 1.0)

    def _pairs(self) -> LinearConstraint:
        rows, upper = lil_array((3 * len(self.pairs), self.n)), []
        for i, (a, p, b, q) in enumerate(self.pairs):
            bit = self.n_choices + self.n_switches + i
            first, second = a * self.precisions + p, b * self.precisions + q
            for row, (x, y, z, most) in enumerate(((1, 1, -1, 1), (-1, 0, 1, 0), (0, -1, 1, 0))):
                rows[3 * i + row, first], rows[3 * i + row, second], rows[3 * i + row, bit] = x, y, z
                upper.append(most)
        return LinearConstraint(csr_array(rows), -np.inf, np.array(upper, float))

    def objective(self, name: str) -> NDArray[np.float64]:
        """Coefficients of what is to be small."""
        if name == LOSS:
            row = self._row(np.where(np.isfinite(self.program.loss), self.program.loss, 0.0), None)
            bits = self.n_choices + self.n_switches
            row[bits : bits + len(self.pairs)] = [self.program.pairs[pair] for pair in self.pairs]
            return row
        resource = self.program.resources[name]
        if len(resource.moments) == 1:
            return self._row(resource.moments[0], resource.switches)
        row = self._row(np.zeros_like(self.program.loss), resource.switches)
        row[-1] = 1.0
        return row

    def limits(self, limits: Mapping[str, float]) -> list[LinearConstraint]:
        """What may be used; and what the variable of the maximum means, which costs nothing where it is not minimised."""
        found = []
        for name, limit in limits.items():
            rows = [self.objective(LOSS)] if name == LOSS else self._moments(self.program.resources[name])
            found.append(LinearConstraint(csr_array(np.stack(rows)), -np.inf, limit))
        for resource in self.program.resources.values():
            if len(resource.moments) > 1:
                most = np.stack([self._row(moment, None) for moment in resource.moments])
                most[:, -1] = -1.0
                found.append(LinearConstraint(csr_array(most), -np.inf, 0.0))
        return found

    def _moments(self, resource: Resource) -> list[NDArray[np.float64]]:
        return [self._row(moment, resource.switches) for moment in resource.moments]

    def _row(self, layers: NDArray[np.float64], switches: NDArray[np.float64] | None) -> NDArray[np.float64]:
        row = np.zeros(self.n)
        row[: self.n_choices] = layers.ravel()
        if switches is not None:
            row[self.n_choices : self.n_choices + self.n_switches] = switches.ravel()
        return row
