"""Run notebooks headless, record their numbers, compare them with the baselines, and write the report."""

from __future__ import annotations

from effnet_lab.regress.baselines import RULES, bless, check
from effnet_lab.regress.notebooks import NotebookError, run_notebooks
from effnet_lab.regress.overview import summary
from effnet_lab.regress.parameters import Parameter, check_parameters, read_parameters
from effnet_lab.regress.recording import read_frame, record, record_figure
from effnet_lab.regress.report import write_report
from effnet_lab.regress.showing import recording
from effnet_lab.regress.suspects import layer_summary

__all__ = [
    "RULES", "NotebookError", "Parameter", "bless", "check", "check_parameters", "layer_summary", "read_frame",
    "read_parameters", "record", "record_figure", "recording", "run_notebooks", "summary", "write_report",
]  # fmt: skip
