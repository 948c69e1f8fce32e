"""Chapters of the report: what each notebook says and showed, in its order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from effnet_lab.regress.manifest import FIGURE, SENTENCE, TABLE, Item, Manifest, read_manifests
from effnet_lab.regress.text import inline, prose, split_heading

if TYPE_CHECKING:
    from effnet_lab.notebook_format import nbformat

PROSE = "prose"


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """One piece of a chapter."""

    kind: str  # "prose", "figure", "table" or "sentence"
    name: str = ""
    title: str = ""
    html: str = ""
    frame: str = ""  # whose rows a table shows


@dataclass(kw_only=True, slots=True)
class Chapter:
    """One notebook."""

    name: str
    title: str
    blocks: list[Passage] = field(default_factory=list)
    failed: bool = False
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A sentence of the first screen, with the figure that shows it."""

    question: str
    html: str
    figure: str  # name; "" where nothing was drawn
    chapter: str


def read_chapters(out: Path) -> list[Chapter]:
    """One per notebook that showed something, or that failed, in the order of their names."""
    shown = {manifest.notebook: manifest for manifest in read_manifests(out)}
    executed = {path.stem: path for path in (out / "notebooks").glob("*.ipynb")}
    return [_chapter(out, name, shown.get(name), executed.get(name)) for name in sorted(shown | executed)]


def read_answers(out: Path) -> list[Answer]:
    """The sentences that answer a question of the first screen, in the order of the notebooks.

    Where two notebooks answer one, the later does: it speaks of the network that is recommended.
    """
    found: dict[str, Answer] = {}
    for manifest in read_manifests(out):
        for i, item in enumerate(manifest.items):
            if item.answers:
                figure = _figure_of(item, manifest.items[:i], manifest.items[i + 1 :])
                found[item.answers] = Answer(
                    question=item.answers, html=inline(item.title), figure=figure, chapter=manifest.notebook
                )
    return list(found.values())


def _figure_of(sentence: Item, before: list[Item], after: list[Item]) -> str:
    """The figure that a sentence names, or the nearest: the one before it first."""
    near = [item.name for item in (*reversed(before), *after) if item.kind == FIGURE]
    return sentence.about if sentence.about in near else next(iter(near), "")


def _chapter(out: Path, name: str, manifest: Manifest | None, executed: Path | None) -> Chapter:
    """Prose from the executed notebook, and after each of its cells what that cell showed."""
    items = list(manifest.items) if manifest else []
    if executed is None:
        return Chapter(name=name, title=name, blocks=[_block(out, item) for item in items])
    from effnet_lab.notebook_format import nbformat

    notebook = nbformat.read(executed, as_version=4)
    title, blocks = _walk(out, notebook, items)
    papermill = notebook.metadata.get("papermill", {})
    return Chapter(
        name=name, title=title or name, blocks=blocks, failed=bool(papermill.get("exception")),
        duration_s=papermill.get("duration"),
    )  # fmt: skip


def _walk(out: Path, notebook: nbformat.NotebookNode, items: list[Item]) -> tuple[str, list[Passage]]:
    """Title and blocks; what belongs to no cell of the notebook stands at the end.

    A section whose code showed nothing in this run, such as one of controls for the hand, is left out.
    """
    title, blocks, left, section, ran = "", list[Passage](), list(items), 0, False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = cell.source
            if not title:
                title, source = split_heading(source)
            if source.lstrip().startswith("## "):
                blocks = _without_empty(blocks, section, ran and bool(items))
                section, ran = len(blocks), False
            if source.strip():
                blocks.append(Passage(kind=PROSE, html=prose(source)))
        elif cell.cell_type == "code" and cell.execution_count:
            ran = True
            mine = [item for item in left if item.cell == cell.execution_count]
            left = [item for item in left if item not in mine]
            blocks += [_block(out, item) for item in mine]
    blocks = _without_empty(blocks, section, ran and bool(items))
    return title, blocks + [_block(out, item) for item in left]


def _without_empty(blocks: list[Passage], section: int, ran: bool) -> list[Passage]:
    """The blocks up to here, less a last section that has run and consists of words alone; the first one introduces."""
    return blocks[:section] if ran and section and all(block.kind == PROSE for block in blocks[section:]) else blocks


def _block(out: Path, item: Item) -> Passage:
    if item.kind == SENTENCE:
        return Passage(kind=SENTENCE, html=inline(item.title))
    html = ""
    if item.kind == TABLE:
        path = out / "tables" / f"{item.name}.html"
        html = path.read_text(encoding="utf-8") if path.exists() else ""
    return Passage(kind=item.kind, name=item.name, title=item.title, html=html, frame=item.frame)
