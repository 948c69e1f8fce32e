"""Each notebook of a run works in a folder of its own, which the results take in: in the notebooks' order, whoever ends first."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from effnet_lab.frames import FRAMES
from effnet_lab.regress.manifest import FIGURE, Item, Manifest, forget_shown, free_name, read_manifests
from effnet_lab.regress.recording import read_frame, record

WORK = ".running"  # in the results: a folder per notebook


def draft_of(out: Path, number: int, notebook: str) -> Path:
    """Where a notebook works, the first, second or third of a run."""
    return out / WORK / f"{number:03}" / notebook


def take_in_left(out: Path) -> None:
    """What a run left that was stopped."""
    for draft in sorted((out / WORK).glob("*/*")):
        take_in(out, draft)
    shutil.rmtree(out / WORK, ignore_errors=True)


def take_in(out: Path, draft: Path) -> None:
    """Bring what a notebook left into the results, as if it had worked there after those that were taken in before."""
    notebook = draft.name
    forget_shown(out, notebook)
    for manifest in read_manifests(draft):
        _take_in_shown(manifest, draft, out)
    for path in sorted((draft / "frames").glob("*.csv")):
        if path.stem in FRAMES:
            for (name, profile), rows in read_frame(draft, path.stem).groupby(["notebook", "profile"], sort=False):
                record(rows, path.stem, out, notebook=str(name), profile=str(profile))
            path.unlink()
    for file in sorted(path for path in draft.rglob("*") if not path.is_dir()):
        target = out / file.relative_to(draft)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
    shutil.rmtree(draft, ignore_errors=True)


def _take_in_shown(manifest: Manifest, draft: Path, out: Path) -> None:
    """Its figures and tables under names that no other notebook has taken."""
    named = [(item.kind, item.name) for item in manifest.items if item.name]
    names = {(kind, name): free_name(out, manifest.notebook, kind, name) for kind, name in named}
    for (kind, old), new in names.items():
        for file in list((draft / f"{kind}s").iterdir()):
            if file.stem == old != new:
                os.replace(file, file.with_name(f"{new}{file.suffix}"))
    replace(manifest, items=[_renamed(item, names) for item in manifest.items]).save(draft)


def _renamed(item: Item, names: dict[tuple[str, str], str]) -> Item:
    return replace(
        item, name=names.get((item.kind, item.name), item.name), about=names.get((FIGURE, item.about), item.about)
    )
