"""The certificate of a calibration against a hundred fresh ones, on other images: at least 95 fall inside its intervals.

Run with: python -m pytest tests/benchmarks/test_certificate.py -s
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from effnet_lab.images import open_images
from effnet_lab.litert import Runner, read_graph
from effnet_lab.quantize import get_scheme, requantize
from effnet_lab.quantize.calibration import Statistics, collect
from effnet_lab.quantize.certificate import SHOWN, certify
from effnet_lab.quantize.float_file import float_file

OWN, POOL = 100, 400  # images of the certified calibration, and of which the fresh ones are drawn
FRESH, INSIDE = 100, 95


def of(statistics: Statistics, rows: np.ndarray) -> Statistics:
    """The statistics of some of the images."""
    kept = {name: getattr(statistics, name)[rows] for name in ("low", "high", "exponent", "counts")}
    return replace(statistics, images=tuple(statistics.images[i] for i in rows), **kept)


def outputs(content: bytes, batch: list[np.ndarray]) -> np.ndarray:
    """Values before the softmax, one row per image."""
    runner = Runner(content, keep_all=True)
    graph = read_graph(content)
    place = next(op for op in reversed(graph.ops) if op.kind == "softmax").inputs[0]
    rows = []
    for image in batch:
        runner.feed(image)
        runner.invoke()
        rows.append(runner.activation(runner.graph.tensors[place]).reshape(-1).astype(np.float64))
    return np.stack(rows)


@pytest.mark.parametrize("name", ["micro0", "micro1", "micro2", "micro3"])
def test_fresh_calibrations_fall_inside(name):
    source, scheme = float_file(name), get_scheme("int8")
    images = open_images("scenes", split="calibration", limit=OWN + POOL)
    statistics = collect(source.content, images, source.info.preprocess)
    own, pool = np.arange(OWN), np.arange(OWN, OWN + POOL)
    made = certify(source.content, scheme, of(statistics, own), images.take(OWN), source.info.preprocess)
    row = made.table.iloc[0]
    batch = [values for (values,) in images.take(SHOWN).samples(source.info.preprocess)]
    exact = outputs(source.content, batch)
    found = []
    for seed in range(FRESH):
        chosen = np.random.default_rng(seed).permutation(pool)[:OWN]
        values = outputs(requantize(source.content, scheme, statistics.ranges("minmax", chosen)), batch)
        sqnr = 10 * np.log10(np.square(exact).sum() / np.square(values - exact).sum())
        found.append((sqnr, np.mean(values.argmax(axis=1) == exact.argmax(axis=1))))
    sqnr, agreement = np.array(found).T
    inside = (row["sqnr_low_db"] <= sqnr) & (sqnr <= row["sqnr_high_db"])
    agreed = (row["agreement_low"] <= agreement) & (agreement <= row["agreement_high"])
    print(f"\n{name}: {made.sentence}\n  fresh: {sqnr.min():.1f} to {sqnr.max():.1f} dB, {inside.sum()} inside;")
    print(f"  the same first class for {agreement.min():.1%} to {agreement.max():.1%}, {agreed.sum()} inside")
    assert inside.sum() >= INSIDE
    assert agreed.sum() >= INSIDE
