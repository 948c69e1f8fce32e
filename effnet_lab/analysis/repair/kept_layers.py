"""Rounded layers in a file, so that an interrupted run goes on where it was."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.paths import write_atomically

SAVE_EVERY_S = 10.0
KEY = "key"
Arrays = Mapping[str, NDArray[Any]]


class KeptLayers:
    """Arrays by number of the op, in an .npz file that belongs to one network, one set of images and one precision.

    Parameters
    ----------
    path : path
        Written every ten seconds, and by `save`; what belongs to another run is written over.
    """

    def __init__(self, path: Path | str) -> None:
        self.path, self._key, self._saved = Path(path), "", time.monotonic()
        self._layers: dict[int, dict[str, NDArray[Any]]] = {}

    def begin(self, key: str) -> None:
        """Read what was kept of the run with this key; a damaged file holds nothing."""
        self._key, self._layers = key, self._read(key)

    def _read(self, key: str) -> dict[int, dict[str, NDArray[Any]]]:
        layers: dict[int, dict[str, NDArray[Any]]] = {}
        if not self.path.exists():
            return layers
        try:
            with np.load(self.path, allow_pickle=False) as file:
                if str(file[KEY]) != key:
                    return {}
                for name in file.files:
                    number, _, what = name.partition("/")
                    if what:
                        layers.setdefault(int(number), {})[what] = file[name]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}
        return layers

    def get(self, index: int) -> Arrays | None:
        """What was kept of the op at this place."""
        return self._layers.get(index)

    def put(self, index: int, arrays: Arrays) -> None:
        """Keep one more."""
        self._layers[index] = dict(arrays)
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {f"{i}/{what}": a for i, layer in self._layers.items() for what, a in layer.items()}
        np.savez(buffer, **(arrays | {KEY: np.array(self._key)}))
        write_atomically(self.path, buffer.getvalue())
        self._saved = time.monotonic()
