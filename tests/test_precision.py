"""The choice of precisions: equal to trying every combination, with limits, conversions, moments and pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from effnet_lab.analysis.precision import LOSS, Program, Resource, choose_precisions
from effnet_lab.names import UserError

KINDS = (0, 0, 1, 2)  # int8, int4 weights, int16 activations, float


def random_program(seed, layers=7, moments=None):
    rng = np.random.default_rng(seed)
    shape = (layers, len(KINDS))
    edges = (*((i, i + 1) for i in range(layers - 1)), (0, 3))
    switches = rng.integers(0, 4, (len(edges), 3, 3)).astype(float) * (1 - np.eye(3))
    ram = rng.integers(1, 20, (moments, *shape)).astype(float) if moments else rng.integers(1, 20, shape).astype(float)
    pairs = {
        (0, 1, 1, 1): -0.5, (2, 1, 3, 1): 1.5, (1, 0, 4, 3): 0.25, (5, 2, 6, 2): -1.0,
    }  # fmt: skip
    return Program(
        loss=rng.random(shape).round(3) * np.array([1.0, 3.0, 0.5, 0.0]), kinds=KINDS, edges=edges, pairs=pairs,
        resources={"bytes": Resource(layers=rng.integers(1, 50, shape).astype(float), switches=switches),
                   "ram": Resource(layers=ram)},
    )  # fmt: skip


def best_by_trying(program, limits, minimise):
    layers, precisions = program.loss.shape
    found = [
        program.use(choice, minimise)
        for choice in itertools.product(range(precisions), repeat=layers)
        if all(program.use(choice, name) <= limit + 1e-9 for name, limit in limits.items())
    ]
    return min(found) if found else None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("moments", [None, 3])
def test_the_choice_is_the_best_of_all(seed, moments):
    program = random_program(seed, moments=moments)
    for limits, minimise in (
        ({"bytes": 130.0}, "loss"),
        ({"loss": 2.0}, "bytes"),
        ({"ram": 60.0, "bytes": 170.0}, "loss"),
    ):
        best = best_by_trying(program, limits, minimise)
        if best is None:
            with pytest.raises(UserError, match="No choice of precisions keeps"):
                choose_precisions(program, limits, minimise=minimise)
            continue
        choice = choose_precisions(program, limits, minimise=minimise)
        assert program.use(choice.precisions, minimise) == pytest.approx(best, abs=1e-6)
        assert all(program.use(choice.precisions, name) <= limit + 1e-6 for name, limit in limits.items())


def used_by_all(program, choices, name):
    """What each of many choices uses, without the program's own sum."""
    if name == LOSS:
        used = sum(program.loss[layer, column] for layer, column in enumerate(choices))
        for (a, p, b, q), value in program.pairs.items():
            used = used + value * ((choices[a] == p) & (choices[b] == q))
        return used
    resource, kinds = program.resources[name], np.asarray(program.kinds)
    used = np.max(
        [sum(moment[layer, column] for layer, column in enumerate(choices)) for moment in resource.moments], 0
    )
    for edge, (a, b) in enumerate(program.edges if resource.switches is not None else ()):
        used = used + resource.switches[edge][kinds[choices[a]], kinds[choices[b]]]
    return used


@pytest.mark.parametrize("seed", range(3))
def test_with_twelve_layers_too_the_choice_is_the_best_of_all(seed):
    """Each layer can have three of the four precisions: 531,441 networks, all of them tried."""
    program, rng = random_program(seed, layers=12, moments=2), np.random.default_rng(seed + 100)
    columns = [np.delete(np.arange(len(KINDS)), rng.integers(1, len(KINDS))) for _ in range(12)]
    for layer, allowed in enumerate(columns):
        program.loss[layer, np.setdiff1d(np.arange(len(KINDS)), allowed)] = np.inf
    choices = [grid.ravel() for grid in np.meshgrid(*columns, indexing="ij")]
    assert len(choices[0]) == 3**12
    used = {name: used_by_all(program, choices, name) for name in (LOSS, "bytes", "ram")}
    some = tuple(int(column[12345]) for column in choices)
    assert all(used[name][12345] == pytest.approx(program.use(some, name)) for name in used)
    for limits, minimise in (
        ({"bytes": float(np.quantile(used["bytes"], 0.01))}, LOSS),
        ({LOSS: float(np.quantile(used[LOSS], 0.02))}, "bytes"),
        ({"ram": float(np.quantile(used["ram"], 0.05)), "bytes": float(np.median(used["bytes"]))}, LOSS),
        ({LOSS: float(np.median(used[LOSS]))}, "ram"),
    ):
        keeps = np.all([used[name] <= limit + 1e-9 for name, limit in limits.items()], axis=0)
        assert 0 < keeps.sum() < keeps.size
        choice = choose_precisions(program, limits, minimise=minimise)
        assert program.use(choice.precisions, minimise) == pytest.approx(used[minimise][keeps].min(), abs=1e-6)
        assert all(program.use(choice.precisions, name) <= limit + 1e-6 for name, limit in limits.items())


def test_the_most_of_any_moment_can_be_made_small():
    program = random_program(1, moments=4)
    choice = choose_precisions(program, {}, minimise="ram")
    assert choice.uses["ram"] == best_by_trying(program, {}, "ram")


def test_what_a_layer_cannot_have_is_not_chosen():
    program = random_program(2)
    program.loss[:, 3] = np.inf
    program.loss[2, 2] = np.inf
    choice = choose_precisions(program, {})
    assert 3 not in choice.precisions
    assert choice.precisions[2] != 2


def test_what_cannot_be_met_is_said_with_the_least():
    program = random_program(3)
    least = choose_precisions(program, {}, minimise="bytes").uses["bytes"]
    with pytest.raises(UserError, match=rf"keeps bytes within 3\. The least is {least:g}\."):
        choose_precisions(program, {"bytes": 3.0})
    with pytest.raises(UserError, match="Did you mean 'bytes'"):
        choose_precisions(program, {"byte": 3.0})
