"""Files of class names, in the formats in which they are published."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from effnet_lab.names import UserError
from effnet_lab.paths import data_dir

BACKGROUND = "background"  # some networks have it as output 0


def read_labels(path: Path | str, outputs: int) -> tuple[str, ...]:
    """Read one name per output of a network.

    Parameters
    ----------
    path : path
        JSON, ``{"0": "tench, Tinca tinca", ...}`` or a list, or plain text with one name per line; the content decides,
        not the file's ending. A synset or a number before every name is dropped.
    outputs : int
        Of the network. A file with one name more, whose first is "background", loses it; a file of ImageNet's 1,000 names
        gains it for a network with 1,001 outputs.

    Raises
    ------
    UserError
        If the file is no such list, or has another number of names.
    """
    names = _parse(Path(path))
    background = bool(names) and names[0].strip().lower() in (BACKGROUND, "dummy")
    if len(names) == outputs + 1 and background:
        names = names[1:]
    elif len(names) == 1000 and outputs == 1001 and not background:
        names = [BACKGROUND, *names]
    if len(names) != outputs:
        extra = " (the first is a background class)" if background else ""
        raise UserError(
            f"{path} names {len(names)} classes{extra}, the network has {outputs} outputs. Give its own file."
        )
    return tuple(names)


@cache
def imagenet_synsets() -> tuple[str, ...]:
    """WordNet synset of each of the 1,000 outputs of an ImageNet network, in order."""
    text = (data_dir() / "published" / "imagenet_synsets.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))


def _parse(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read the labels {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8. Give a list of labels: JSON, or one per line.") from None
    if text.lstrip()[:1] in ("{", "["):
        return _from_json(text, path)
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise UserError(f"{path}: line {lines.index('') + 1} is empty. Write one label per line.")
    for prefix in (r"n\d{8}[\s,:]+", r"\d+[\s,:]+"):
        if len(lines) > 1 and all(re.match(prefix + r"\S", line) for line in lines):
            lines = [re.sub(prefix, "", line, count=1) for line in lines]
    return lines


def _from_json(text: str, path: Path) -> list[str]:
    try:
        content = json.loads(text)
        if isinstance(content, dict):
            table = {int(key): value for key, value in content.items()}
            first = min(table, default=0)
            if first not in (0, 1) or sorted(table) != list(range(first, first + len(table))):
                raise UserError(f"{path}: the keys must be the numbers 0, 1, 2, ... without a gap.")
            content = [table[number] for number in sorted(table)]
        return [_name(entry, path) for entry in content]
    except UserError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f'{path} is not a JSON list of labels such as {{"0": "tench"}}: {error}.') from None


def _name(entry: object, path: Path) -> str:
    """A label; of a list such as ["n01440764", "tench"] the last."""
    entry = entry[-1] if isinstance(entry, list) and entry else entry
    if not isinstance(entry, str | int | float):
        raise UserError(f"{path}: a label must be text. Got {str(entry)[:40]!r}; write one name per class.")
    return str(entry)
