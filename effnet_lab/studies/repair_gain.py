"""What each repair of a quantized network gains, against the unrepaired one on the same images."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from effnet_lab import frames
from effnet_lab.evaluate.compare import paired_difference
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.intervals import share_row
from effnet_lab.names import UserError


def repair_gain(answers: Mapping[str, Predictions], *, unrepaired: str = "none") -> pd.DataFrame:
    """REPAIR frame: one row per entry, in their order.

    Parameters
    ----------
    answers : mapping of repair steps ("none", "equalize", "equalize+bias") to Predictions
        Of the quantized files; they may include the float file.
    unrepaired : str
        Which entry the others are compared with; its own row has no difference and no p-value (NaN).

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
        rows.append(row)
    return frames.build(frames.REPAIR, rows)
