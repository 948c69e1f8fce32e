"""One call for one's own files: the report of notebook 02 on one of them, or the inspector on several, in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from effnet_lab.images import Stated, StatedInput
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.regress.notebooks import execute_notebooks
from effnet_lab.regress.report import write_report

NOTEBOOK = "02_quantization_error"


def inspect_file(
    file: str | Path,
    images: str | Path,
    *,
    float_model: str | Path = "",
    limit: int = 64,
    anyway: bool = False,
    preprocess: StatedInput | None = None,
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
    anyway : bool
        Go on with a float model that is not that of the file.
    preprocess : StatedInput, optional
        What the user says of the input.
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
    given |= {} if preprocess is None else preprocess.written()
    if anyway:
        given["anyway"] = True
    if str(float_model):
        given["float_model"] = str(Path(float_model).resolve())
    execute_notebooks([NOTEBOOK], parameters=given, out=folder, progress=progress)
    return write_report(folder)


def write_inspector(
    files: Sequence[str | Path],
    images: str | Path,
    html: str | Path = "",
    *,
    model_explorer: str | Path = "",
    float_models: Sequence[str | Path] = (),
    limit: int = 16,
    anyway: bool = False,
    preprocess: Stated = None,
) -> Path:
    """The inspector on one to four quantized files as one HTML file, which opens without a server and without a kernel.

    Parameters
    ----------
    files : sequence of path
        Quantized .tflite files, shown side by side.
    images : str or path
        Pictures or arrays, what `open_samples` opens.
    html : path
        The file to write; empty: none.
    model_explorer : path
        Node data for Model Explorer: the errors of the first file in this JSON file, its verdicts in NAME.verdicts.json
        beside it; empty: none.
    float_models : sequence of path
        One for all files, or one for each; empty: twins with the files' own weights.
    limit : int
        At most so many images; the most telling of them are shown.
    anyway : bool
        Go on with a float model that is not that of its file.
    preprocess : StatedInput or Preprocess, optional
        What the user says of the input.
    """
    from effnet_lab.studies.inspection import inspection
    from effnet_lab.view.inspector import error_data, inspector_page, verdict_data

    for option, path, suffixes in (
        ("--html", html, (".html", ".htm")),
        ("--model-explorer", model_explorer, (".json",)),
    ):
        if str(path) and Path(path).suffix not in suffixes:
            raise UserError(f"{option} must end in {suffixes[0]}. Got {str(path)!r}.")
    if not str(html) and not str(model_explorer):
        raise UserError("There is nothing to write. Name a file with --html or --model-explorer.")
    payload = inspection(files, images, float_models=float_models, limit=limit, anyway=anyway, preprocess=preprocess)
    if str(model_explorer):
        write_atomically(Path(model_explorer), error_data(payload).encode())
        write_atomically(Path(model_explorer).with_suffix(".verdicts.json"), verdict_data(payload).encode())
    if str(html):
        title = ", ".join(Path(file).name for file in files)
        write_atomically(Path(html), inspector_page(payload, title=title).encode())
    return Path(html if str(html) else model_explorer)


def _absolute(images: str | Path) -> str:
    """Names stay names; a path holds from wherever the notebook's kernel stands."""
    return str(Path(images).resolve()) if Path(images).exists() else str(images)
