"""The integer arithmetic of one op against what the interpreter made of it, as a finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from effnet_lab.analysis.integer.replay import last_run
from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts.defects import arithmetic
from effnet_lab.analysis.verdicts.evidence import Evidence
from effnet_lab.analysis.verdicts.fault import Fault


def replay_of(twins: Twins, evidence: Sequence[Evidence]) -> Callable[[str], Fault | None]:
    """From the name of a layer to a finding where its codes differ, on the last image that `twins` have run."""
    by_layer = {one.layer: one for one in evidence}
    ops = {pair.layer: pair.op for pair in twins.pairs}

    def look(layer: str) -> Fault | None:
        done = last_run(twins).compare(ops[layer])
        if done is None or not done.n_different:
            return None
        return arithmetic(by_layer[layer], done.n_different, done.n_values)

    return look
