"""Costs per op: fitted to times that are known."""

from __future__ import annotations

import pytest

from effnet_lab.scaling import get_spec, layer_counts
from effnet_lab.studies import fit_op_costs


def timed(name: str):
    """A network whose ops cost 0.01 ms a call and 2e-8 ms per MAdd, additions 1e-7 ms per byte."""
    counts = layer_counts(get_spec(name))
    cost = 0.01 + 2e-8 * counts["madds"] + 1e-7 * counts["activation_bytes"] * (counts["op"] == "add")
    return counts.assign(uninterrupted_ms=cost)


def test_known_costs_are_found_and_carried_over_to_a_larger_network():
    costs = fit_op_costs(timed("lite0"))
    found = costs.table.set_index("op")
    assert found.loc["conv", "madds"] == pytest.approx(2e-8, rel=1e-3)
    assert found.loc["add", "activation_bytes"] == pytest.approx(1e-7, rel=1e-3)
    assert costs.worst == pytest.approx(0, abs=1e-6)
    other = timed("lite2")
    assert costs.estimate(other) == pytest.approx(other["uninterrupted_ms"].sum(), rel=0.01)


def test_no_cost_is_negative_and_an_op_that_was_not_timed_costs_something():
    rows = timed("lite0")
    rows = rows.assign(uninterrupted_ms=rows["uninterrupted_ms"].to_numpy()[::-1])
    costs = fit_op_costs(rows[rows["op"] != "add"])
    assert (costs.table.drop(columns="op").to_numpy() >= 0).all()
    assert costs.estimate(rows) > costs.estimate(rows[rows["op"] != "add"])
