"""Collecting calibration statistics of lite0 at 224 px, against the AI Edge Quantizer's own calibration."""

from __future__ import annotations

import statistics
import time
import warnings

import numpy as np

from effnet_lab.images import open_images
from effnet_lab.quantize.calibration import collect
from effnet_lab.quantize.convert import convert, trace_model
from effnet_lab.quantize.schemes import get_scheme
from effnet_lab.quiet import quiet
from effnet_lab.scaling import get_spec

ROUNDS, N_IMAGES = 5, 8


def cpu_seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def test_collecting_against_the_quantizers_calibration(random_model):
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.quantizer import Quantizer

    model = random_model(get_spec("lite0"))
    content = convert(trace_model(model), get_scheme("float32"), model)
    images = open_images("scenes?side_px=224", split="calibration", limit=N_IMAGES)
    batches = [batch for batch, _labels in images.batches(model.preprocess, size=1)]
    ready = iter_over(images, batches)
    with quiet():
        (key,) = Interpreter(model_content=content).get_signature_runner("serving_default").get_input_details()
    quantizer = Quantizer(content, recipe.static_wi8_ai8())
    work = {
        "ours": lambda: collect(content, ready, model.preprocess),
        "rival": lambda: quantizer.calibrate({"serving_default": [{key: batch} for batch in batches]}),
    }
    times = {name: [] for name in work}
    for _ in range(1 + ROUNDS):  # the first round warms up
        for name, do in work.items():
            with quiet(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")
                times[name].append(cpu_seconds(do) / N_IMAGES)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    print(
        f"\ncollect: {1000 * medians['ours']:.0f} ms of CPU per image, AI Edge Quantizer: {1000 * medians['rival']:.0f}, "
        f"ratio {medians['ours'] / medians['rival']:.2f}, lite0, {model.spec.resolution} px, {N_IMAGES} images, {ROUNDS} rounds"
    )
    assert medians["ours"] < medians["rival"]


def iter_over(images, batches):
    """The same images, decoded and preprocessed before: the rival is given arrays, too."""
    import dataclasses

    class Ready(type(images)):
        def batches(self, _preprocess, size=1):
            assert size == 1
            return ((batch, np.zeros(1, np.int64)) for batch in batches)

    return Ready(**{field.name: getattr(images, field.name) for field in dataclasses.fields(images)})
