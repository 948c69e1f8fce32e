"""What each repair of a quantized network gains, against the unrepaired one on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.repair import RepairStage
from effnet_lab.evaluate.compare import paired_difference
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.intervals import share_row
from effnet_lab.names import UserError


def repair_gain(
    answers: Mapping[str, Predictions],
    *,
    unrepaired: str = "none",
    stages: Mapping[str, RepairStage] | None = None,
) -> pd.DataFrame:
    """REPAIR frame: one row per entry, in their order.

    Parameters
    ----------
    answers : mapping of repair steps ("none", "equalize", "equalize+bias") to Predictions
        Of the quantized files; they may include the float file.
    unrepaired : str
        Which entry the others are compared with; its own row has no difference and no p-value (NaN).
    stages : mapping of the same names to RepairStage, optional
        Whether their last step was taken, and why.

    Examples
    --------
    >>> repair_gain({})
    Traceback (most recent call last):
    effnet_lab.names.UserError: There is no 'none' among the repairs: nothing to compare with.
    """
    if unrepaired not in answers:
        raise UserError(f"There is no {unrepaired!r} among the repairs: nothing to compare with.")
    rows = []
    for steps, said in answers.items():
        row = said.info.key | {"steps": steps, "data": said.images.name, "n_images": len(said)}
        row |= share_row(int(said.hits.sum()), len(said))
        if steps != unrepaired:
            row |= paired_difference(said, answers[unrepaired])
        rows.append(row | _decision((stages or {}).get(steps)))
    return frames.build(frames.REPAIR, rows)


def _decision(stage: RepairStage | None) -> dict[str, Any]:
    """The cells about the last step of a stage."""
    if stage is None or stage.gain is None:
        return {"tried": "" if stage is None else stage.step, "decision": "", "reason": ""}
    gain = stage.gain
    return {
        "tried": stage.step, "decision": "taken" if gain.helps else "left", "n_held_out": gain.n_images,
        "held_out_loss": gain.after, "held_out_gain": gain.before - gain.after, "held_out_gain_lo": gain.low,
        "held_out_gain_hi": gain.high, "reason": str(gain),
    }  # fmt: skip
