"""What a run showed, in the order in which a reader meets it: one file per notebook, written while the notebook runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from effnet_lab.paths import write_atomically

FOLDER = "shown"
FIGURE, TABLE, SENTENCE = "figure", "table", "sentence"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One figure, table or sentence."""

    kind: str  # FIGURE, TABLE or SENTENCE
    name: str  # of the file without its suffix; "" for a sentence
    title: str  # of the figure or table; the sentence itself
    cell: int = 0  # number of the code cell, as in `[3]`; 0 outside a notebook
    frame: str = ""  # whose rows a table shows
    answers: str = ""  # the question on the report's first screen that a sentence answers
    about: str = ""  # the figure that a sentence speaks of; "" is the nearest


@dataclass(kw_only=True, slots=True)
class Manifest:
    """What one notebook showed."""

    notebook: str
    profile: str
    items: list[Item] = field(default_factory=list)

    def add(self, out: str | Path, item: Item) -> None:
        """Append an item, in place of an earlier one of that name, and save."""
        if item.name:
            self.items = [other for other in self.items if (other.kind, other.name) != (item.kind, item.name)]
        elif item in self.items:
            return
        self.items.append(item)
        self.save(out)

    def save(self, out: str | Path) -> Path:
        """Write ``out/shown/<notebook>.json`` in one step."""
        path = Path(out) / FOLDER / f"{self.notebook}.json"
        write_atomically(path, json.dumps(asdict(self), indent=1, ensure_ascii=False).encode())
        return path


def read_manifests(out: str | Path) -> list[Manifest]:
    """What every notebook of a results folder showed, in the order of their names."""
    found = []
    for path in sorted((Path(out) / FOLDER).glob("*.json")):
        content = json.loads(path.read_bytes())
        items = [Item(**item) for item in content["items"]]
        found.append(Manifest(notebook=content["notebook"], profile=content["profile"], items=items))
    return found


def free_name(out: str | Path, notebook: str, kind: str, name: str) -> str:
    """The name of a file that no other notebook of a folder shows: with this one's in front where one does."""
    others = [manifest for manifest in read_manifests(out) if manifest.notebook != notebook]
    taken = any((item.kind, item.name) == (kind, name) for manifest in others for item in manifest.items)
    return f"{notebook}-{name}" if taken else name


def forget_shown(out: str | Path, notebook: str) -> None:
    """Remove what a notebook showed in an earlier run, because it is about to run again."""
    (Path(out) / FOLDER / f"{notebook}.json").unlink(missing_ok=True)
