"""What was trained for a task and comes with the package: the table of a study of scaling, and the networks with cards."""

from __future__ import annotations

import json

import pandas as pd

from effnet_lab import frames
from effnet_lab.names import lookup
from effnet_lab.paths import data_dir
from effnet_lab.scaling.variants import VARIANTS


def study_of(task: str = "scenes") -> pd.DataFrame:
    """SCALING_STUDY frame of a study that comes with the package."""
    folder = data_dir() / "studies"
    tasks = sorted(path.stem.removeprefix("scaling_") for path in folder.glob("scaling_*.csv"))
    lookup("task of a scaling study", task, dict.fromkeys(tasks))
    table = pd.read_csv(folder / f"scaling_{task}.csv", converters={"guard": str})
    return frames.require(table, frames.SCALING_STUDY, caller="study_of")


def trained_otherwise(task: str = "scenes") -> dict[str, float]:
    """Float top-1 of the networks that come with the package and know the task, by variant; from their cards.

    Those with swish or squeeze-and-excitation do not count: width, depth and resolution are not all that they differ in.
    """
    cards = [json.loads(path.read_bytes()) for path in sorted((data_dir() / "models").glob("*.json"))]
    plain = {name for name, spec in VARIANTS.items() if spec.activation == "relu6" and not spec.se_ratio}
    return {card["variant"]: card["top1"] for card in cards if card["data"] == task and card["variant"] in plain}
