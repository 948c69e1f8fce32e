"""One call for the report on whatever a folder holds: a run, or a sweep."""

from __future__ import annotations

from pathlib import Path

from effnet_lab.regress.report import write_report
from effnet_lab.regress.sweeps.ledger import is_sweep
from effnet_lab.regress.sweeps.report import write_sweep_report


def report_on(folder: str | Path = "results") -> Path:
    """Write ``report.html`` into the folder of a run or of a sweep.

    Parameters
    ----------
    folder : path
        What ``effnet-lab run --out`` or ``effnet-lab sweep --out`` wrote. A sweep may still be running.

    Returns
    -------
    Path
        One file that opens without a network.

    Raises
    ------
    UserError
        If nothing was recorded there.
    """
    return write_sweep_report(folder) if is_sweep(folder) else write_report(folder)
