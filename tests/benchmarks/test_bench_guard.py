"""Is the verdict of `bench` to be believed? The same file twice, a true 5 %, and lite0 against lite1."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from effnet_lab.bench import measure_latency
from effnet_lab.quantize import get_scheme, write_files
from effnet_lab.scaling import get_spec

TRIALS = 40


@pytest.fixture(scope="module")
def files(random_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("latency")

    def float_file(spec):
        return write_files(random_model(spec), [(get_scheme("float32"), "converter")], folder)[0]

    lite0 = get_spec("lite0")
    wide = replace(lite0, name="lite0_wide_head", head=2 * lite0.head)
    found = {"lite0": float_file(lite0), "slower": float_file(wide)}
    found |= {"lite1": float_file(get_spec("lite1")), "copy": folder / "copy.tflite"}
    shutil.copy(found["lite0"], found["copy"])
    return found


def verdicts(first, second, n):
    tables = [measure_latency([first, second], seed=seed) for seed in range(n)]
    rows = [table.iloc[1] for table in tables]
    said = [row["verdict"] for row in rows]
    ratios = np.array([row["relative_p50"] for row in rows])
    excluded = sum(not row["relative_p50_lo"] <= 1 <= row["relative_p50_hi"] for row in rows)
    guards = {row["guard"] for row in rows if row["verdict"] == "none"}
    print(
        f"\n{first.name} against {second.name}: { ({word: said.count(word) for word in set(said)}) }, ratio "
        f"{np.median(ratios):.3f} ({ratios.min():.3f} to {ratios.max():.3f}), {rows[0]['host']}, 1 thread {guards or ''}"
    )
    return [word for word in said if word != "none"], ratios, excluded


def test_the_same_file_twice(files):
    said, ratios, excluded = verdicts(files["lite0"], files["copy"], TRIALS)
    print(f"mean ratio {ratios.mean():.4f}, {excluded} of {TRIALS} intervals exclude 1")
    assert sum(word != "same" for word in said) <= 0.05 * TRIALS
    assert abs(ratios.mean() - 1) <= 0.001
    assert excluded <= 3


def test_a_few_percent(files):
    """A head twice as wide: 5.5 % more MAdds in matrices, whose true cost in time is the median of all trials."""
    said, ratios, _ = verdicts(files["lite0"], files["slower"], TRIALS)
    assert 1.03 < np.median(ratios) < 1.09
    assert said.count("slower") >= 0.8 * len(said)


def test_lite0_and_lite1(files):
    said, _, _ = verdicts(files["lite0"], files["lite1"], TRIALS)
    assert said.count("slower") == len(said)
