"""The report on a sweep: one HTML file with its points, the fronts over the grid and the errors of all layers."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.frames import MODEL_FILE
from effnet_lab.paths import write_atomically
from effnet_lab.regress.chapters import Chapter, Passage
from effnet_lab.regress.report import REPORT, render_page
from effnet_lab.regress.sweeps.fingerprint import surroundings
from effnet_lab.regress.sweeps.ledger import RESULTS, SweepFolder
from effnet_lab.regress.sweeps.point_run import FINISHED
from effnet_lab.regress.sweeps.reading import SweepTables, read_sweep

FRONTS = (("size_bytes", "top1"), ("p50_ms", "top1"), ("params", "top1"))
MOST_ROWS = 2000  # of the tables; the data set has all
MOST_CELLS = 60_000  # of the heat map: a hundred points of three files and 200 layers
_COLUMNS = ("top1", "n_images", "size_bytes", "p50_ms", "params", "worst_layer", "worst_sqnr_db")


def write_sweep_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a sweep, finished or still running.

    Raises
    ------
    UserError
        If there is no sweep, or none of its points has run.
    """
    home = SweepFolder(folder)
    plan = _plan(home)
    tables = read_sweep(home.root)
    figures: dict[str, Any] = {}
    chapters = [_points(home, plan, tables), *_fronts(tables, figures), *_layers(tables, figures)]
    page = render_page(
        title=f"{plan['notebook']}: a sweep of {len(plan['points']):,} points", answers=[], comparison=None, summary="",
        chapters=chapters, frames=[], results=RESULTS, provenance=sorted(plan["surroundings"].items()),
        figures=figures, packed=True,
    )  # fmt: skip
    write_atomically(home.root / REPORT, page.encode())
    return home.root / REPORT


def _plan(home: SweepFolder) -> dict[str, Any]:
    plan = home.plan()
    return plan | {"surroundings": plan.get("surroundings", surroundings())}


def _points(home: SweepFolder, plan: dict[str, Any], tables: SweepTables) -> Chapter:
    """How many finished, and a table with a link to each executed notebook."""
    total, rows = len(plan["points"]), tables.points
    finished = int((rows["status"] == FINISHED).sum())
    failed = rows[rows["status"] != FINISHED]
    words = f"{finished:,} of {total:,} points finished"
    if len(failed):
        kinds = failed["failure"].value_counts()
        words += f", {len(failed):,} failed ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"
    words += f"; {rows['seconds'].sum() / 60:,.1f} minutes of runs, {rows['seconds'].median():.1f} s in the median."
    blocks = [Passage(kind="sentence", html=escape(words))]
    html = _linked(home, plan["notebook"], rows.head(MOST_ROWS), tables.parameters)
    blocks.append(Passage(kind="table", name="points", title="Points", html=html))
    return Chapter(name="points", title="Summary", blocks=blocks)


def _linked(home: SweepFolder, notebook: str, rows: pd.DataFrame, parameters: tuple[str, ...]) -> str:
    """Points with their parameters, and links relative to the report."""
    heads = [*parameters, "status", "seconds", "notebook"]
    lines = []
    for row in rows.to_dict("records"):
        done = row["status"] == FINISHED
        place = home.point(row["point"]) if done else home.failure(row["point"])
        link = (place / "notebooks" / f"{notebook}.ipynb").relative_to(home.root).as_posix()
        words = "finished" if done else f"{row['failure']}: {str(row['message'])[:120]}"
        cells = [_plain(row[name]) for name in parameters] + [words, f"{row['seconds']:.1f}"]
        there = (home.root / link).is_file()
        shown = f'<a href="{link}">{row["point"][:8]}</a>' if there else row["point"][:8]
        lines.append("".join(f"<td>{escape(cell)}</td>" for cell in cells) + f"<td>{shown}</td>")
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="effnet-table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _fronts(tables: SweepTables, figures: dict[str, Any]) -> list[Chapter]:
    from effnet_lab.studies.fronts import standing
    from effnet_lab.view import plot_grid_front, plot_interactions, table

    rows, blocks = tables.table, []
    for x, y in FRONTS:
        if {x, y} <= set(rows.columns) and rows[x].notna().any():
            figure = plot_grid_front(
                rows, x, y, standing(rows, x, y), tables.axes, color=tables.axes[-1] if tables.axes else ""
            )
            blocks.append(_figure(figures, f"front_{x}", figure))
    if not blocks:
        return []
    blocks.append(_figure(figures, "interactions", plot_interactions(rows, "top1", tables.axes)))
    columns = [*tables.axes, *(name for name in _COLUMNS if name in rows and rows[name].notna().any())]
    best = rows.sort_values("top1", ascending=False).head(MOST_ROWS)
    blocks.append(Passage(kind="table", name="files", title="All files, the most accurate first",
                          html=table(best, columns).html()))  # fmt: skip
    return [Chapter(name="fronts", title="What is worth having, over the grid", blocks=blocks)]


def _layers(tables: SweepTables, figures: dict[str, Any]) -> list[Chapter]:
    from effnet_lab.view import plot_layer_grid, point_names

    if tables.errors.empty:
        return []
    errors = tables.errors.assign(where=point_names(tables.errors, [*tables.parameters, *_several(tables.errors)]))
    blocks, left_out = [], ""
    if len(errors) > MOST_CELLS:
        errors, left_out = errors.head(MOST_CELLS), "Only the first points are drawn; the data set has all."
        blocks.append(Passage(kind="sentence", html=left_out))
    blocks.append(_figure(figures, "layers", plot_layer_grid(errors)))
    return [Chapter(name="layers", title="Where the layers hurt", blocks=blocks)]


def _several(errors: pd.DataFrame) -> list[str]:
    return [name for name in MODEL_FILE[1:] if len(set(errors[name])) > 1]


def _figure(figures: dict[str, Any], name: str, figure: Any) -> Passage:
    figures[name] = json.loads(figure.to_json())
    return Passage(kind="figure", name=name, title=figure.layout.title.text or "")


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
