"""Rooms that load what they offer on first use, so that importing a room loads nothing slow; and packages likewise."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any


class Door(ModuleType):
    """A room as a module whose offers come before its modules.

    Some modules bear the name of what they offer, as `evaluate.classify` does. Importing a module binds it to its room under
    its name, whenever that happens; here such a binding is left out, and the name stays the function. Imports do not miss it:
    ``from effnet_lab.evaluate.accuracy import accuracy`` finds the module by its full name.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _OFFERS[self.__name__] and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        offers = _OFFERS[self.__name__]
        if name not in offers:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if first := _FIRST[self.__name__]:
            importlib.import_module(first)
        value = getattr(importlib.import_module(f"{self.__name__}.{offers[name]}"), name)
        super().__setattr__(name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__["__all__"], *(name for name in self.__dict__ if name.startswith("__"))})


_OFFERS: dict[str, Mapping[str, str]] = {}
_FIRST: dict[str, str] = {}


def offer(room: str, homes: Mapping[str, Sequence[str]], first: str = "") -> list[str]:
    """Let a room offer names from its modules, each loaded on first use; the names, for ``__all__``.

    Parameters
    ----------
    room : str
        Name of the package, ``__name__`` in its ``__init__``.
    homes : mapping
        Names that are offered, by the module within the room that has them.
    first : str, optional
        Full name of a module that is loaded before any of them.
    """
    offers = {name: module for module, names in homes.items() for name in names}
    _OFFERS[room], _FIRST[room] = offers, first
    sys.modules[room].__class__ = Door
    for name in offers:  # of an earlier execution of the room, whose modules may have been executed anew since
        vars(sys.modules[room]).pop(name, None)
    return sorted(offers)


def any_offer(name: str) -> Any:
    """For those who read types: a room that offers names has this as its ``__getattr__``. It is never called."""
    raise AttributeError(name)


class _Later(ModuleType):
    """Stands for a package until something of it is asked for."""

    def __getattr__(self, name: str) -> object:
        package = self.__name__
        if sys.modules.get(package) is self:
            sys.modules.pop(package, None)
        return getattr(importlib.import_module(package), name)


def load_when_used(package: str) -> None:
    """Let a package be imported without being run: it is loaded where something of it is first asked for."""
    sys.modules.setdefault(package, _Later(package))
