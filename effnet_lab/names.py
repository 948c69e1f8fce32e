"""One error for every unknown name, and one exception for every mistake that is the user's."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
LISTED = 160  # characters of a list of known names; an error stays one line that can be read


class UserError(ValueError):
    """The user's input is wrong: one line that says what, which value, and what to do.

    The command line prints it and exits with code 2; a notebook shows it as its last line.
    """


class WriteError(OSError, UserError):
    """A file cannot be written: the disk is full, the folder read-only or somebody else's."""

    def __init__(self, path: object, error: OSError) -> None:
        why = error.strerror or str(error)
        super().__init__(f"Cannot write {path}: {why}. Make room, or choose another place.")
        self.errno, self.strerror = error.errno, why

    def __str__(self) -> str:
        """Ours, not that of an OSError."""
        return str(self.args[0])


def printable(text: str) -> str:
    """Text from a file as a terminal may show it: what controls a terminal, or turns the reading order, as an escape."""
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_shown, line)) for line in lines)


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return " " if character == "\t" else character.encode("unicode_escape", "surrogatepass").decode("ascii")


def suggest(kind: str, name: str, known: Iterable[str]) -> str:
    """Sentence for an unknown name: the nearest known one, then all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = [*near, *(other for other in known if other not in near)] if len(", ".join(known)) > LISTED else known
    while len(", ".join(shown)) > LISTED:
        shown.pop()
    more = f" and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(shown)}{more}."


def lookup(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return ``table[name]``, or raise a :class:`UserError` that helps."""
    try:
        return table[name]
    except KeyError:
        raise UserError(suggest(kind, name, table)) from None
