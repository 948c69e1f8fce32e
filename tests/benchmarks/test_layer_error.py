"""Accumulated layer error of micro3 against the two inferences alone and against AI Edge Quantizer's `validate`."""

from __future__ import annotations

import statistics
import time

import pytest

from effnet_lab.analysis import layer_error
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, read_info
from effnet_lab.models import load_model
from effnet_lab.quantize import export, targets

ROUNDS, N_IMAGES = 5, 16


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    calibration = open_images("scenes", split="calibration", limit=60)
    wanted = targets(["float32", "int8"], ["converter"])
    return export(load_model("micro3"), wanted, tmp_path_factory.mktemp("files"), calibration=calibration)


def cpu_seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors.*")  # the rival means to
def test_layer_error_against_its_rivals(pair):
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.quantizer import Quantizer

    from effnet_lab.quiet import quiet

    float_model, quantized = pair
    images = open_images("scenes", limit=N_IMAGES)
    batch = next(images.batches(read_info(quantized).preprocess, size=N_IMAGES))[0]
    runners = [Runner(path) for path in pair]
    samples = {"serving_default": [{"images": image[None]} for image in batch]}
    rival = Quantizer(str(float_model), recipe.static_wi8_ai8(), previous_quantized_model=str(quantized))

    def validate() -> None:
        with quiet():
            rival.validate(samples)

    work = {
        "two inferences": lambda: [runner.predict(batch) for runner in runners],
        "layer_error": lambda: layer_error(quantized, images, float_model=float_model),
        "AI Edge Quantizer validate": validate,
    }
    times = {name: [] for name in work}
    for _ in range(ROUNDS + 1):  # the first round warms up
        for name, do in work.items():
            times[name].append(cpu_seconds(do))
    medians = {name: statistics.median(values[1:]) / N_IMAGES * 1e3 for name, values in times.items()}
    print()
    for name, ms in medians.items():
        print(f"{name}: {ms:.2f} ms of CPU per image, {ms / medians['layer_error']:.2f} of layer_error")
    assert medians["layer_error"] < medians["AI Edge Quantizer validate"]
