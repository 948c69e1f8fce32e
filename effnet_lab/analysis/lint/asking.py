"""The question itself. It loads nothing before the child process that tries files is on its way: the two start side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.litert.trial_process import trial_process

if TYPE_CHECKING:
    from effnet_lab.analysis.lint.findings import Findings
    from effnet_lab.quantize.float_file import Network


def lint(model: Network) -> Findings:
    """Findings about a .tflite file.

    Parameters
    ----------
    model : path, name, LoadedModel or Keras model
        What is no .tflite file is looked at as float32.

    Returns
    -------
    Findings
        `layer` of its table is empty where the whole file is meant. What each id means stands in `RULES`.

    Raises
    ------
    UserError
        If the file cannot be read as a .tflite file at all.
    """
    trial_process()
    from effnet_lab.analysis.lint.findings import findings_of
    from effnet_lab.quantize.any_network import tflite_file

    with tflite_file(model) as path:
        return findings_of(path)
