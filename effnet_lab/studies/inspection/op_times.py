"""How long a file with a precision per layer will take, from what its layers took in files of one precision each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from effnet_lab.bench import profile
from effnet_lab.paths import scratch_folder
from effnet_lab.quantize.recipes import Recipe, as_recipe
from effnet_lab.quantize.schemes import FLOAT32, FORMATS
from effnet_lab.quantize.switches import Switches

N_RUNS = 10
SLOW = "int16x8"  # has no fast kernels: a few runs tell enough


@dataclass(frozen=True, kw_only=True)
class Times:
    """Of one file of one precision, on this machine, one thread."""

    layers: dict[str, float]  # ms by layer
    other_ms: float  # what belongs to no layer


class OpTimes:
    """Timed files of one precision each; each is timed when it is first needed.

    Parameters
    ----------
    quantize : callable
        The file of a recipe.
    switches : Switches
    """

    def __init__(self, quantize: Callable[[Recipe], bytes], switches: Switches) -> None:
        self._quantize, self._switches = quantize, switches
        self._timed: dict[str, Times] = {}

    def missing(self) -> list[str]:
        """Precisions of the switches that have not been timed."""
        return [format for format in dict.fromkeys(self._switches.chosen.values()) if format not in self._timed]

    def time(self, format: str) -> Times:
        """Time the network in one precision."""
        if format not in self._timed:
            content = self._quantize(as_recipe(FORMATS[format]))
            table = profile_of(content, 2 if format == SLOW else N_RUNS)
            layers = table[table["layer"] != ""].groupby("layer")["uninterrupted_ms"].sum()
            other = float(table.loc[table["layer"] == "", "uninterrupted_ms"].sum())
            self._timed[format] = Times(layers={str(name): float(ms) for name, ms in layers.items()}, other_ms=other)
        return self._timed[format]

    def estimate(self) -> float:
        """Expected ms of the switches as they stand: each layer as in the file of its precision.

        What stands between layers of unlike types (QUANTIZE, DEQUANTIZE) is not in it: `profile_of` the file itself measures.
        """
        chosen = self._switches.chosen
        base = self.time(self._switches.recipe.base.format if self._switches.recipe.base is not FLOAT32 else "float32")
        return base.other_ms + sum(self.time(format).layers.get(layer, 0.0) for layer, format in chosen.items())


def profile_of(content: bytes, n_runs: int = N_RUNS) -> pd.DataFrame:
    """PROFILE frame of a file that is not on disk."""
    with scratch_folder() as folder:
        path = folder / "model.tflite"
        path.write_bytes(content)
        return profile(path, n_runs).table
