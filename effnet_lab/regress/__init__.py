"""Run notebooks headless, record their numbers, compare them with the baselines, and write the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.regress.baselines import RULES, bless, check
    from effnet_lab.regress.bisecting import Bisection, bisect
    from effnet_lab.regress.checked import Checked
    from effnet_lab.regress.latency_profile import LatencyChecked, check_latency
    from effnet_lab.regress.notebook_diff import compare_notebooks
    from effnet_lab.regress.notebooks import NotebookError, execute_notebooks
    from effnet_lab.regress.overview import summary
    from effnet_lab.regress.own_file import inspect_file, write_inspector
    from effnet_lab.regress.parameters import Parameter, check_parameters, read_parameters
    from effnet_lab.regress.recording import read_frame, record, record_figure
    from effnet_lab.regress.report import write_report
    from effnet_lab.regress.reporting import report_on
    from effnet_lab.regress.run import NotebookRun, run_notebooks
    from effnet_lab.regress.servers import serve_app, serve_lab
    from effnet_lab.regress.showing import recording
    from effnet_lab.regress.suspects import layer_summary
    from effnet_lab.regress.sweeps.reading import SweepTables, read_sweep
    from effnet_lab.regress.sweeps.results import read_results
    from effnet_lab.regress.sweeps.schedule import SweepStoppedError
    from effnet_lab.regress.sweeps.snakefile import write_snakefile
    from effnet_lab.regress.sweeps.sweep import SweepRun, sweep
    from effnet_lab.regress.verdict_files import write_junit
    from effnet_lab.regress.work_folder import WorkFolder, prepare_work_folder

__all__ = [
    "RULES",
    "Bisection",
    "Checked",
    "LatencyChecked",
    "NotebookError",
    "NotebookRun",
    "Parameter",
    "SweepRun",
    "SweepStoppedError",
    "SweepTables",
    "WorkFolder",
    "bisect",
    "bless",
    "check",
    "check_latency",
    "check_parameters",
    "compare_notebooks",
    "execute_notebooks",
    "inspect_file",
    "layer_summary",
    "prepare_work_folder",
    "read_frame",
    "read_parameters",
    "read_results",
    "read_sweep",
    "record",
    "record_figure",
    "recording",
    "report_on",
    "run_notebooks",
    "serve_app",
    "serve_lab",
    "summary",
    "sweep",
    "write_inspector",
    "write_junit",
    "write_report",
    "write_snakefile",
]
offer(
    __name__,
    {
        "baselines": ("RULES", "bless", "check"),
        "bisecting": ("Bisection", "bisect"),
        "checked": ("Checked",),
        "latency_profile": ("LatencyChecked", "check_latency"),
        "notebook_diff": ("compare_notebooks",),
        "notebooks": ("NotebookError", "execute_notebooks"),
        "overview": ("summary",),
        "own_file": ("inspect_file", "write_inspector"),
        "parameters": ("Parameter", "check_parameters", "read_parameters"),
        "recording": ("read_frame", "record", "record_figure"),
        "report": ("write_report",),
        "reporting": ("report_on",),
        "run": ("NotebookRun", "run_notebooks"),
        "servers": ("serve_app", "serve_lab"),
        "showing": ("recording",),
        "suspects": ("layer_summary",),
        "sweeps.reading": ("SweepTables", "read_sweep"),
        "sweeps.results": ("read_results",),
        "sweeps.schedule": ("SweepStoppedError",),
        "sweeps.snakefile": ("write_snakefile",),
        "sweeps.sweep": ("SweepRun", "sweep"),
        "verdict_files": ("write_junit",),
        "work_folder": ("WorkFolder", "prepare_work_folder"),
    },
)
