"""What is said of a file as a whole: the weakest layers and what they cost, and the loss at the logits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import numpy as np

from effnet_lab.analysis.ends import EndLoss, losses_of
from effnet_lab.analysis.measuring import Measuring
from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts.case import LayerCase
from effnet_lab.analysis.verdicts.coarse import main_cause
from effnet_lab.analysis.verdicts.fault import BAD_DB
from effnet_lab.decibels import decibels
from effnet_lab.images import ArraySet, ImageSet

WEAKEST = 3
NOTHING_DB = 40.0  # a hundredth of the signal: no int8 network has less error
FEW_IMAGES = 4  # on which costs at the logits are measured
TWIN = (
    "No float file was given, so the float network has this file's own weights: a wrong or badly rounded weight or bias "
    "cannot show. Give --float to see it."
)


def closing(
    twins: Twins, images: ImageSet | ArraySet, cases: Mapping[str, LayerCase], loss: EndLoss
) -> tuple[str, ...]:
    """Sentences, the last one about the loss at the logits."""
    said = [TWIN] if twins.is_own_twin else []
    if any(case.sick for case in cases.values()):
        said += _harmless(twins, images, cases)
    else:
        said += [_weakest(twins, images, cases)]
        if loss.sqnr_db < BAD_DB:
            said += [_sum_of_effects(twins, images, loss)]
    return (*said, str(loss))


def _weakest(twins: Twins, images: ImageSet | ArraySet, cases: Mapping[str, LayerCase]) -> str:
    """The layers with the largest own error, and what each costs alone."""
    alone = {pair.layer: pair for pair in twins.alone}
    layers = sorted((case.own_db, name) for name, case in cases.items() if name in alone and np.isfinite(case.own_db))
    names = [name for _, name in layers[:WEAKEST]]
    if not names:
        return "Nothing is at fault."
    losses = losses_of(twins, [alone[name] for name in names], islice(twins.samples(images), FEW_IMAGES))
    each = [_weak(cases[name], loss) for name, loss in zip(names, losses, strict=True)]
    return f"Nothing is at fault. The weakest layers: {'; '.join(each)}."


def _weak(case: LayerCase, loss: EndLoss) -> str:
    gain = main_cause(case.evidence).gain
    return f"{case.layer} (own error {case.own_db:.1f} dB; alone it {_leaves(loss)}; {gain} would help)"


def _harmless(twins: Twins, images: ImageSet | ArraySet, cases: Mapping[str, LayerCase]) -> list[str]:
    """Which of the worst layers at fault cost nothing: what reads them may cut off the same values, or not look at them."""
    alone = {pair.layer: pair for pair in twins.alone}
    at_fault = sorted((case.own_db, name) for name, case in cases.items() if case.sick and name in alone)
    names = [name for own_db, name in at_fault[:WEAKEST] if own_db < BAD_DB]
    if not names:
        return []
    losses = losses_of(twins, [alone[name] for name in names], islice(twins.samples(images), FEW_IMAGES))
    free = [name for name, loss in zip(names, losses, strict=True) if loss.sqnr_db >= NOTHING_DB]
    if not free:
        return []
    return [
        f"The error of {', '.join(free)} does not reach the answer: alone it leaves {NOTHING_DB:.0f} dB or more at the "
        "logits. Mending it wins nothing."
    ]


def _leaves(loss: EndLoss) -> str:
    return (
        f"leaves {loss.sqnr_db:.1f} dB at the logits" if np.isfinite(loss.sqnr_db) else "leaves the logits as they are"
    )


def _sum_of_effects(twins: Twins, images: ImageSet | ArraySet, loss: EndLoss) -> str:
    """Whether the errors of single ops, added up at the logits, make the loss of the whole."""
    measuring = Measuring(twins, ("effect",))
    if not measuring.run(images.take(FEW_IMAGES)):
        raise KeyboardInterrupt
    together = decibels(measuring.logits.signal, sum(measuring.logits.noise.values()))
    n = len(measuring.logits.noise)
    verdict = "that explains the loss" if together - loss.sqnr_db < 6 else "they do not explain all of the loss"
    return (
        f"No layer is bad by itself: quantized one at a time, the {n} layers add up to {together:.1f} dB at the "
        f"logits; {verdict}."
    )
