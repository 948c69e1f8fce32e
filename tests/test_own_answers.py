"""Samples that nobody has labelled: what the float network says of them counts as right."""

from __future__ import annotations

from pathlib import Path

from effnet_lab.images import open_images
from effnet_lab.studies import mixed_precision


def test_a_choice_of_precisions_is_tested_by_how_many_answers_stay(files: dict[str, Path], tmp_path: Path) -> None:
    calibration = open_images("scenes", split="calibration", limit=60)
    data = open_images("scenes", limit=40).unlabelled()
    done = mixed_precision(files["float32 converter"], data, calibration=calibration, max_bytes=10**6, resume=tmp_path)
    (row,) = done.table[done.table["n_images"] == 40].to_dict("records")
    assert row["top1"] == 1.0 + row["difference"]  # the float network is right about all of them
    assert done.sentence.startswith(f"bytes {row['size_bytes']:,.0f} of 1,000,000. Top-1 drops by")
