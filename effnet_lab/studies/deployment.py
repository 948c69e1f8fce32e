"""What becomes of a file on a device: a microcontroller's memory, an NPU's share, and what the lint predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.lint import lint
from effnet_lab.board import ethosu, footprint
from effnet_lab.names import UserError, lookup


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One file on a microcontroller and on one NPU; a frame without rows where that refuses the file."""

    footprint: pd.DataFrame  # FOOTPRINT
    arena: pd.DataFrame  # ARENA
    high_water: pd.DataFrame  # HIGH_WATER
    ethosu: pd.DataFrame  # ETHOSU
    layers: pd.DataFrame  # ETHOSU_LAYERS
    findings: pd.DataFrame  # FINDINGS
    no_arena: str = ""  # why TensorFlow Lite Micro does not run it
    no_npu: str = ""  # why the compiler refuses it


class Deployments:
    """Call it with a format and an accelerator; what was asked once is kept.

    Parameters
    ----------
    files : mapping from str to path
        A .tflite file by its format.
    """

    def __init__(self, files: Mapping[str, Path | str]) -> None:
        self.files = dict(files)
        self._kept: dict[tuple[str, str], Deployment] = {}

    @property
    def formats(self) -> tuple[str, ...]:
        """What there is a file of."""
        return tuple(self.files)

    def __call__(self, format: str, accelerator: str) -> Deployment:
        """The file of a format on any microcontroller, and on one Ethos-U."""
        file = lookup("format", format, self.files)
        if (format, accelerator) not in self._kept:
            self._kept[format, accelerator] = _deploy(file, accelerator)
        return self._kept[format, accelerator]


def _deploy(file: Path | str, accelerator: str) -> Deployment:
    found = Deployment(
        footprint=frames.build(frames.FOOTPRINT, []), arena=frames.build(frames.ARENA, []),
        high_water=frames.build(frames.HIGH_WATER, []), ethosu=frames.build(frames.ETHOSU, []),
        layers=frames.build(frames.ETHOSU_LAYERS, []), findings=lint(file).table,
    )  # fmt: skip
    try:
        needs = footprint(file)
        found = replace(found, footprint=needs.table, arena=needs.arena, high_water=needs.high_water)
    except UserError as error:
        found = replace(found, no_arena=str(error))
    try:
        compiled = ethosu(file, accelerator)
        return replace(found, ethosu=compiled.table, layers=compiled.layers)
    except UserError as error:
        return replace(found, no_npu=str(error))
