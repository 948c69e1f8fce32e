"""One call for one's own file: notebook 02 on it and on nothing else, and the report."""

from __future__ import annotations

from pathlib import Path

from effnet_lab.names import UserError
from effnet_lab.regress.notebooks import execute_notebooks
from effnet_lab.regress.report import write_report

NOTEBOOK = "02_quantization_error"


def inspect_file(
    file: str | Path,
    images: str | Path,
    *,
    float_model: str | Path = "",
    limit: int = 64,
    out: str | Path = "",
    progress: bool = True,
) -> Path:
    """Say where a quantized file hurts: error per layer, verdicts, top-1 where the images are labelled.

    Parameters
    ----------
    file : path
        A quantized .tflite file.
    images : str or path
        What `open_images` opens.
    float_model : path
        Its float .tflite; empty: a twin is rebuilt from the dequantized weights.
    limit : int
        At most so many images.
    out : path
        Folder of the results; empty: ``inspected/<file name>``.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    Path
        The report, one HTML file.
    """
    for path in (file, float_model):
        if str(path) and not Path(path).is_file():
            raise UserError(f"There is no file {path}. Give the path of a .tflite file.")
    folder = Path(out) if str(out) else Path("inspected") / Path(file).stem
    given: dict[str, object] = {"quantized": str(Path(file).resolve()), "images": _absolute(images), "n_images": limit}
    if str(float_model):
        given["float_model"] = str(Path(float_model).resolve())
    execute_notebooks([NOTEBOOK], parameters=given, out=folder, progress=progress)
    return write_report(folder)


def _absolute(images: str | Path) -> str:
    """Names stay names; a path holds from wherever the notebook's kernel stands."""
    return str(Path(images).resolve()) if Path(images).exists() else str(images)
