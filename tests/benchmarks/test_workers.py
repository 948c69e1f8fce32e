"""Two workers on two idle processors against one: wall time of whole calls, opening the files included."""

from __future__ import annotations

import os
import statistics
import time

import numpy as np
import pytest

from effnet_lab.analysis import layer_error
from effnet_lab.evaluate import collect_predictions
from effnet_lab.images import ArraySet
from effnet_lab.litert import float_twin
from effnet_lab.quantize.calibration import collect
from effnet_lab.workers import free_processors

ROUNDS = 3
LEAST = 1.75  # times faster
IMAGES = {"evaluate": 512, "layer-error": 512, "layer-error, local too": 256, "calibrate": 256}


@pytest.fixture(scope="module")
def works(shared, tmp_path_factory):
    quantized = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    path = tmp_path_factory.mktemp("twin") / "float.tflite"
    path.write_bytes(float_twin(quantized))
    values = np.random.default_rng(0).uniform(-1, 1, (max(IMAGES.values()), 224, 224, 3)).astype(np.float32)
    whole = ArraySet(name="noise", arrays={"": values}, fingerprint="", labels=np.zeros(len(values), np.int64))
    sets = {name: whole.pick(np.arange(n)) for name, n in IMAGES.items()}
    both = ("accumulated", "local")
    return {
        "evaluate": lambda n: collect_predictions(path, sets["evaluate"].unlabelled(), workers=n),
        "layer-error": lambda n: layer_error(quantized, sets["layer-error"], float_model=path, workers=n),
        "layer-error, local too": lambda n: layer_error(
            quantized, sets["layer-error, local too"], float_model=path, notions=both, workers=n
        ),
        "calibrate": lambda n: collect(path, sets["calibrate"], None, workers=n),
    }


@pytest.mark.real
@pytest.mark.parametrize("name", IMAGES)
def test_two_workers(works, name):
    work, seconds = works[name], {1: [], 2: []}
    work(2)
    for _ in range(ROUNDS):
        for workers, found in seconds.items():
            start = time.perf_counter()
            work(workers)
            found.append(time.perf_counter() - start)
    ratio = statistics.median(seconds[1]) / statistics.median(seconds[2])
    print(f"\n{name}: {IMAGES[name]} images, {statistics.median(seconds[1]):.2f} s with one worker, {ratio:.2f} times as fast "
          f"with two; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    if free_processors() >= 2:
        assert ratio >= LEAST
