"""How sure a calibration is: fresh calibrations fall inside, a poor one is told to take more images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from logits import logits

from effnet_lab import frames
from effnet_lab.images import ImageSet, Preprocess, open_images
from effnet_lab.litert import read_info
from effnet_lab.names import UserError
from effnet_lab.quantize import export, get_scheme, requantize
from effnet_lab.quantize.calibration import Statistics, collect
from effnet_lab.quantize.certificate import certify

FLOAT = "float32 converter"
POOL, OWN, FRESH = 120, 30, 12
Pool: TypeAlias = tuple[bytes, ImageSet, Preprocess | None, Statistics]


def subset(statistics: Statistics, rows: np.ndarray[Any, Any]) -> Statistics:
    """The statistics of some of the images."""
    kept = {name: getattr(statistics, name)[rows] for name in ("low", "high", "exponent", "counts")}
    return replace(statistics, images=tuple(statistics.images[i] for i in rows), **kept)


@pytest.fixture(scope="module")
def pool(files: dict[str, Path]) -> Pool:
    images, info = open_images("scenes", split="calibration", limit=POOL), read_info(files[FLOAT])
    return files[FLOAT].read_bytes(), images, info.preprocess, collect(files[FLOAT], images, info.preprocess)


def test_fresh_calibrations_fall_inside(pool: Pool) -> None:
    """Files of other images, measured here by hand on the same pictures."""
    content, images, preprocess, statistics = pool
    order = np.random.default_rng(3).permutation(POOL)
    own = order[:OWN]
    made = certify(content, get_scheme("int8"), subset(statistics, own), images.pick(own), preprocess, draws=16)
    (row,) = frames.require(made.table, frames.CERTIFICATE, caller="test").to_dict("records")
    batch = np.stack([values for (values,) in images.pick(own).take(24).samples(preprocess)])
    exact = logits(content, batch)
    inside = []
    for seed in range(FRESH):
        chosen = np.random.default_rng(seed).permutation(order[OWN:])[:OWN]
        other = requantize(content, get_scheme("int8"), statistics.ranges("minmax", chosen))
        found = 10 * np.log10(np.square(exact).sum() / np.square(logits(other, batch) - exact).sum())
        inside.append(row["sqnr_low_db"] <= found <= row["sqnr_high_db"])
    assert np.mean(inside) >= 11 / 12
    assert row["sqnr_low_db"] <= row["sqnr_outputs_db"] <= row["sqnr_high_db"]
    assert 0 <= row["agreement_low"] <= row["agreement"] <= row["agreement_high"] <= 1
    assert (row["n_calibration"], row["n_draws"]) == (OWN, 16)
    assert f"{row['sqnr_low_db']:.1f} to {row['sqnr_high_db']:.1f} dB" in made.sentence


def test_more_images_are_advised_where_they_help(pool: Pool) -> None:
    content, images, preprocess, statistics = pool
    few = certify(
        content, get_scheme("int8"), subset(statistics, np.arange(6)), images.pick(np.arange(6)), preprocess, draws=10
    )
    row = few.table.iloc[0]
    assert row["n_advised"] == (12 if row["gain_db"] > 0.5 else 6)
    assert ("Give it 12 images" in few.sentence) == (row["n_advised"] == 12)
    with pytest.raises(UserError, match=r"at least 4 calibration images\. Got 3"):
        certify(content, get_scheme("int8"), subset(statistics, np.arange(3)), images, preprocess)


def test_an_export_says_it(files: dict[str, Path], tmp_path: Path) -> None:
    calibration = open_images("scenes", split="calibration", limit=8)
    done = export(files[FLOAT], tmp_path / "a.tflite", format="int8", calibration=calibration, certificate=True)
    (table,) = done.certificates
    assert table["n_calibration"].tolist() == [8]
    assert any("With 8 other images of this kind" in note for note in done.notes)
    both = export(files[FLOAT], tmp_path / "two", format="int8,int4", calibration=calibration, certificate=True)
    assert len(both.certificates) == 2
    for scheme in ("static_wi8_ai8", "static_wi4_ai8"):
        assert sum(note.startswith(f"{scheme}: With 8 other images") for note in both.notes) == 1, both.notes
    with pytest.raises(UserError, match="--certificate needs a static format"):
        export(files[FLOAT], tmp_path / "b.tflite", format="weight-int8", certificate=True)
    with pytest.raises(UserError, match=r"at least 4 calibration images\. Got 3"):
        export(files[FLOAT], tmp_path / "b.tflite", calibration=calibration.take(3), certificate=True)
    assert not (tmp_path / "b.tflite").exists()
