"""What decoding and resizing cost a stream of photographs: `collect_predictions` against the bare interpreter."""

from __future__ import annotations

import time

import numpy as np
import pytest

from effnet_lab.evaluate import collect_predictions, open_predictor
from effnet_lab.images import open_images

N, ROUNDS = 512, 7


@pytest.mark.real
def test_streaming_costs_little(shared, flowers_cache):
    """Wall time on the same cores, rounds interleaved: at least 85 % of the throughput of `predict` on ready images."""
    predictor = open_predictor(shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite")
    images = open_images("flowers160", limit=N)
    ready = np.stack([predictor.info.preprocess(images.read(i)) for i in range(32)])
    predictor.predict(ready)
    bare, streamed = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(N // 32):
            predictor.predict(ready)
        bare.append(N / (time.perf_counter() - start))
        start = time.perf_counter()
        answers = collect_predictions(predictor, images, workers=1)
        streamed.append(N / (time.perf_counter() - start))
    ratios = np.array(streamed) / np.array(bare)
    seconds = answers.clock.seconds
    print(
        f"\nevaluate {np.median(streamed):.0f} images/s, bare {np.median(bare):.0f}; ratio {np.median(ratios):.3f} "
        f"({ratios.min():.3f} to {ratios.max():.3f}), {N} photographs, {ROUNDS} rounds; "
        + ", ".join(f"{stage} {1e3 * s / N:.2f} ms" for stage, s in seconds.items())
    )
    assert np.median(ratios) >= 0.85
