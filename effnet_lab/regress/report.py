"""The report: one HTML file that answers on its first screen, and opens without a network."""

from __future__ import annotations

import base64
import gzip
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.frames import FRAMES, MODEL_FILE, PROVENANCE, column
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.regress.baselines import check
from effnet_lab.regress.chapters import Answer, Chapter, read_answers, read_chapters
from effnet_lab.regress.checked import Checked
from effnet_lab.regress.overview import summary
from effnet_lab.regress.recording import frame_path, read_frame, versions

MAX_ROWS = 60  # of what moved; `effnet-lab check` lists all
REPORT = "report.html"
FIRST = ("Which network for the budget?", "What does int8 cost it?", "Which layer is worst, and why?")  # in this order
COLUMNS = (
    "model", "scheme", "backend", "params", "size_bytes", "top1", "n_images", "p50_ms", "worst_layer", "worst_sqnr_db",
)  # fmt: skip

_WORST = {"worst_layer": "layer with the lowest SQNR", "worst_sqnr_db": "its accumulated SQNR (dB)"}


def write_report(out: str | Path, *, moved: Checked | None = None) -> Path:
    """Write ``out/report.html`` from what was recorded in `out`.

    Parameters
    ----------
    out : str or Path
        Results folder of a run: executed notebooks, what they showed, frames, figures; each may be absent.
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
    chapters = read_chapters(out)
    if not frames and not chapters:
        raise UserError(f"Nothing was recorded in {out}. Run the notebooks first: effnet-lab run --out {out}.")
    figures = _figures(out, chapters)
    page = render_page(
        title=_title(out),
        answers=_first_screen(read_answers(out)),
        comparison=_comparison(out, moved),
        summary=_summary(out),
        chapters=chapters,
        frames=[(name, len(rows)) for name, rows in frames.items()],
        provenance=_provenance(frames),
        figures=figures,
        results="",
    )
    write_atomically(out / REPORT, page.encode())
    return out / REPORT


def _title(out: Path) -> str:
    """The network's name where the folder is about one."""
    models = summary(out)["model"].unique()
    return f"{models[0]}: effnet-lab report" if len(models) == 1 else "effnet-lab report"


def render_page(*, figures: Mapping[str, Any], packed: bool = False, **content: Any) -> str:
    """The page of a report, with all its scripts and styles.

    Parameters
    ----------
    figures : mapping
        JSON of each figure, by the name of its place.
    packed : bool
        Compress plotly.js: 2.0 MB instead of 4.8, for a browser that can unpack it.
    **content
        What `report.html.j2` shows.
    """
    from jinja2 import Environment, StrictUndefined
    from plotly.offline import get_plotlyjs

    from effnet_lab.view.table import SCRIPT, STYLE
    from effnet_lab.view.theme import dark_style

    source = files("effnet_lab.regress").joinpath("report.html.j2").read_text(encoding="utf-8")
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = str(get_plotlyjs())
    return made.from_string(source).render(
        figures=json.dumps(figures).replace("<", "\\u003c"), table_style=STYLE, table_script=SCRIPT,
        dark_style=f"@media screen and (prefers-color-scheme: dark) {{ {dark_style('.report')} }}",
        plotly_js="" if packed else script,
        packed_js=base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode() if packed else "",
        **content,
    )  # fmt: skip


def _first_screen(answers: list[Answer]) -> list[Answer]:
    """The three questions that decide a project first, then the others in the order of the notebooks."""
    ranks = {question: rank for rank, question in enumerate(FIRST)}
    return sorted(answers, key=lambda answer: ranks.get(answer.question, len(FIRST)))


def _figures(out: Path, chapters: list[Chapter]) -> dict[str, dict[str, Any]]:
    """The figures that the chapters show, by name."""
    names = [block.name for chapter in chapters for block in chapter.blocks if block.kind == "figure"]
    paths = {name: out / "figures" / f"{name}.json" for name in names}
    return {name: json.loads(path.read_bytes()) for name, path in paths.items() if path.exists()}


def _summary(out: Path) -> str:
    """The summary of several files as HTML; one whose latency was measured against several references stands there once."""
    from effnet_lab.view.table import table
    from effnet_lab.view.text import short_layer

    rows = summary(out)
    several = [extra for extra in ("data", "threads") if len(rows[extra].dropna().unique()) > 1]
    once = rows.drop_duplicates([*MODEL_FILE, *several])
    if len(once) < 2:
        return ""
    filled = [name for name in (*COLUMNS, *several) if (once[name].notna() & once[name].ne("")).any()]
    shown = once.rename(columns=_WORST).assign(
        **{_WORST["worst_layer"]: once["worst_layer"].map(short_layer, na_action="ignore")}
    )
    return table(shown, [_WORST.get(name, name) for name in filled]).html()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    """What the baselines say."""

    state: str  # "good" or "bad"
    text: str
    layers: tuple[str, ...] = ()
    table: str = ""


def _comparison(out: Path, moved: Checked | None) -> _Comparison | None:
    """Verdict and table of what moved; None where nothing here has a baseline, such as a file of the user's own."""
    from effnet_lab.view.table import table

    if moved is None:
        try:
            moved = check(out)
        except UserError:
            return None
    compared, rows = f"{moved.n_compared:,} numbers compared", moved.table
    if rows.empty:
        return _Comparison(state="good", text=f"Nothing moved since the baseline: {compared}.")
    more = f" The first {MAX_ROWS} are listed; effnet-lab check lists all." if len(rows) > MAX_ROWS else ""
    text = f"{len(rows):,} number{'s' * (len(rows) != 1)} moved since the baseline, {compared}.{more}"
    shown = table(rows.head(MAX_ROWS), list(rows.columns)).html()
    return _Comparison(state="bad", text=text, layers=moved.suspects, table=shown)


def _provenance(frames: dict[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Where the numbers come from: what the rows say, then what the writer of the report knows."""
    rows = pd.concat([rows[list(PROVENANCE)] for rows in frames.values()]) if frames else pd.DataFrame([versions()])
    known = [name for name in ("profile", *versions()) if name in rows]
    lines = [(column(name).title, ", ".join(sorted(set(rows[name])))) for name in known]
    lines += [(name, version(name)) for name in ("plotly", "papermill")]
    if "latency" in frames:
        latency = frames["latency"]
        lines.append(("host of the latencies", ", ".join(sorted(set(latency["host"].astype(str))))))
        lines.append(("threads", ", ".join(f"{threads:g}" for threads in sorted(set(latency["threads"])))))
    lines.append(("this machine", f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"))
    return lines
