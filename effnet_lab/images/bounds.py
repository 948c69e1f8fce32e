"""Sizes are refused where they enter, by the memory that is there."""

from __future__ import annotations

import psutil

from effnet_lab.names import UserError

_SHARE = 0.5  # of the memory that is free now: others need some, too


def require_memory(what: str, n_bytes: float) -> None:
    """Refuse what would not fit; `what` names the request and its value."""
    free = psutil.virtual_memory().available
    if n_bytes > _SHARE * free:
        raise UserError(
            f"{what} would take about {n_bytes / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free. Ask for less."
        )
