"""The report: one HTML file that opens without a network, with working plots."""

from __future__ import annotations

import ast
import json
import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from effnet_lab.frames import FRAMES, PROVENANCE
from effnet_lab.names import UserError
from effnet_lab.paths import data_dir, write_atomically
from effnet_lab.regress.baselines import check
from effnet_lab.regress.overview import summary
from effnet_lab.regress.recording import frame_path, read_frame, versions
from effnet_lab.regress.suspects import layer_summary
from effnet_lab.regress.text import NUMBER, cell_text, cells_text, interval_text, plain

if TYPE_CHECKING:
    import jinja2
    import nbformat

MAX_ROWS = 60  # of a frame's table; the CSV beside the report has all
REPORT = "report.html"


def write_report(out: str | Path, *, moved: pd.DataFrame | None = None) -> Path:
    """Write ``out/report.html`` from what was recorded in `out`.

    Parameters
    ----------
    out : str or Path
        Results folder of a run: executed notebooks, frames, figures; each may be absent.
    moved : DataFrame or None
        What `baselines.check` returned for this folder; None: compare with the shipped
        baselines here, as a partial run.

    Returns
    -------
    Path
        One self-contained file: plotly.js embedded once, no request to anywhere.

    Raises
    ------
    UserError
        If `out` holds nothing to report.
    """
    out = Path(out)
    frames = {name: read_frame(out, name) for name in FRAMES if frame_path(out, name).exists()}
    figures = _figures(out)
    if not frames and not figures:
        raise UserError(f"Nothing was recorded in {out}. Run the notebooks first: effnet-lab run --out {out}.")
    page = _template().render(
        chapters=_chapters(out, figures),
        summary=_summary_table(out),
        comparison=_comparison(out, moved),
        frames=[_frame_table(name, rows) for name, rows in frames.items()],
        provenance=_provenance(frames),
        figures=json.dumps(figures).replace("</", "<\\/"),
        plotly_js=_plotly_js(),
    )
    write_atomically(out / REPORT, page.encode())
    return out / REPORT


def _template() -> jinja2.Template:
    from jinja2 import Environment, StrictUndefined

    source = files("effnet_lab.regress").joinpath("report.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        source
    )


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _figures(out: Path) -> dict[str, dict]:
    """Recorded figures by name."""
    return {path.stem: json.loads(path.read_bytes()) for path in sorted((out / "figures").glob("*.json"))}


def _chapters(out: Path, figures: dict[str, dict]) -> list[dict]:
    """One per executed notebook, with the figures that its code names; then the figures nobody claims."""
    import nbformat

    left, chapters = dict.fromkeys(figures), []
    for path in sorted((out / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        title, text = _question(notebook, path.stem)
        spoken = _recorded_names(cell.source for cell in notebook.cells if cell.cell_type == "code")
        mine = [name for name in spoken if name in left]
        for name in mine:
            del left[name]
        meta = notebook.metadata.get("papermill", {})
        chapters.append(
            {"name": path.stem, "title": title, "text": text, "figures": mine,
             "failed": bool(meta.get("exception")), "duration_s": meta.get("duration")}
        )  # fmt: skip
    if left:
        chapters.append(
            {
                "name": "figures",
                "title": "Figures",
                "text": [],
                "figures": list(left),
                "failed": False,
                "duration_s": None,
            }
        )
    return chapters


def _question(notebook: nbformat.NotebookNode, name: str) -> tuple[str, list[str]]:
    """Heading and paragraphs of the first markdown cell."""
    source = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "") or name
    head, _, rest = source.strip().partition("\n")
    return plain(head.lstrip("# ")), [
        plain(" ".join(part.split())) for part in re.split(r"\n\s*\n", rest) if part.strip()
    ]


def _recorded_names(sources: Iterable[str]) -> dict[str, None]:
    """Literals handed to `record_figure`, in the order of the code."""
    found: dict[str, None] = {}
    for source in sources:
        lines = ("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
        calls = (node for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.Call))
        for call in calls:
            if getattr(call.func, "id", getattr(call.func, "attr", "")) == "record_figure":
                values = (*call.args, *(keyword.value for keyword in call.keywords))
                literals = (value.value for value in values if isinstance(value, ast.Constant))
                found |= dict.fromkeys(value for value in literals if isinstance(value, str))
    return found


def _summary_table(out: Path) -> dict | None:
    """The summary with intervals in the cells."""
    table = summary(out)
    if table.empty:
        return None
    shown = pd.DataFrame(
        {
            "model": table["model"],
            "scheme": table["scheme"],
            "back end": table["backend"],
            "params": table["params"].map(cell_text),
            "size (kB)": (table["size_bytes"] / 1000).map(cell_text),
            "top-1 (95 %)": interval_text(table, "top1", percent=True),
            "images": table["n_images"].map(cell_text),
            "p50 (ms)": interval_text(table, "p50", unit="_ms"),
            "worst layer": table["worst_layer"].map(cell_text),
            "its SQNR (dB)": table["worst_sqnr_db"].map(cell_text),
        }
    )
    for extra in ("data", "threads"):
        if len(set(table[extra].dropna())) > 1:
            shown.insert(3, extra, table[extra].map(cell_text))
    return _table(shown)


def _comparison(out: Path, moved: pd.DataFrame | None) -> dict:
    """Verdict and table of what moved."""
    if moved is None:
        try:
            moved = check(out, data_dir() / "baselines")
        except UserError:  # its text would carry this machine's paths into a file that travels
            return {"state": "none", "text": "Nothing recorded here has a baseline.", "layers": [], "table": None}
    compared = f"{moved.attrs['n_compared']:,} numbers compared" if "n_compared" in moved.attrs else "compared"
    if moved.empty:
        return {"state": "good", "text": f"Nothing moved: {compared}.", "layers": [], "table": None}
    text = f"{len(moved):,} finding{'s' * (len(moved) != 1)}, {compared}."
    return {
        "state": "bad",
        "text": text,
        "layers": layer_summary(moved),
        "table": _table(cells_text(moved.head(MAX_ROWS))),
    }


def _frame_table(name: str, rows: pd.DataFrame) -> dict:
    """The first rows of a frame; columns without a single value are left out."""
    body = rows.drop(columns=[column for column in PROVENANCE if column in rows])
    body = body.dropna(axis="columns", how="all").head(MAX_ROWS)
    notebooks = ", ".join(sorted(set(rows["notebook"])))
    return {
        "name": name,
        "n_rows": len(rows),
        "n_shown": len(body),
        "notebooks": notebooks,
        **_table(cells_text(body)),
    }


def _table(shown: pd.DataFrame) -> dict:
    """Column heads, rows of text, and which columns hold numbers, to be aligned on the right."""
    numeric = [bool(shown[column].str.fullmatch(NUMBER).all()) for column in shown.columns]
    return {"columns": list(shown.columns), "numeric": numeric, "rows": shown.to_numpy().tolist()}


def _provenance(frames: dict[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Where the numbers come from: what the rows say, then what the writer of the report knows."""
    rows = pd.concat([table[list(PROVENANCE)] for table in frames.values()]) if frames else pd.DataFrame([versions()])
    lines = [(column, ", ".join(sorted(set(rows[column])))) for column in ("profile", *versions()) if column in rows]
    lines += [(name, version(name)) for name in ("plotly", "papermill")]
    latency = frames.get("latency", pd.DataFrame({"host": [], "threads": []}))
    lines.append(("host of the latencies", ", ".join(sorted(set(latency["host"].astype(str)))) or "not measured"))
    lines.append(
        ("threads", ", ".join(f"{threads:g}" for threads in sorted(set(latency["threads"]))) or "not measured")
    )
    lines.append(("this machine", f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"))
    return lines
