"""Layer error of lite0 at 224 px against the inferences alone and against the tools that show one notion each.

CPU time in one process, one thread, medians of interleaved runs over 32 images that stand ready in memory. Ours includes
opening and matching the files, and the table; the other tools are constructed beforehand, which is in their favour.

The accumulated notion makes eleven numbers per layer. The tools that make as many as they can (`validate` with all its
metrics, QuantizationDebugger with numpy functions for those of ours that a layer's values alone give) are one pair of rivals;
the same tools with one metric are the other. Against the latter an eighth is out of reach: the two inferences alone take
more than that, so a third is asked for.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from effnet_lab.analysis import layer_error
from effnet_lab.images import ArraySet
from effnet_lab.litert import Runner, read_graph
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.models import build_model
from effnet_lab.quantize.float_file import float_file
from effnet_lab.quiet import quiet
from effnet_lab.scaling import get_spec

ROUNDS, N_IMAGES = 3, 32
PAIRS = 15  # rounds of the two inferences beside the accumulated error
# (what is measured, its rival, most of the rival's time)
LIMITS = (
    ("accumulated", "two inferences", 1.5),
    ("accumulated", "AI Edge Quantizer validate, all metrics", 1 / 8),
    ("accumulated", "QuantizationDebugger model and layer comparison, six metrics", 1 / 8),
    ("accumulated", "AI Edge Quantizer validate, one metric", 1 / 3),
    ("accumulated", "QuantizationDebugger model comparison, one metric", 1 / 3),
    ("accumulated and local", "QuantizationDebugger default", 2.0),
    ("effect", "float inference", 40.0),
)


class Ready(ArraySet):
    """Images in memory, as `layer_error` reads them."""

    @classmethod
    def made(cls, n: int) -> Ready:
        arrays = np.random.default_rng(0).uniform(-1, 1, (n, 224, 224, 3)).astype(np.float32)
        return cls(name="noise", arrays={"": arrays}, fingerprint="", labels=np.zeros(n, np.int64))

    @property
    def images(self) -> np.ndarray:
        return self.arrays[""]

    def feed(self):
        return ([image[None]] for image in self.images)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """(float file, int8 file with the ranges of two images, the same with the debugger's ops)."""
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    folder = tmp_path_factory.mktemp("files")
    with quiet():
        content = float_file(build_model(get_spec("lite0"))).content
        calibrated = Calibrator(content).calibrate(Ready.made(2).feed)
        quantized = with_sizes_of_names(mlir_quantize(calibrated), content)
        made = content, quantized, mlir_quantize(calibrated, enable_numeric_verify=True)
    paths = [folder / name for name in ("float.tflite", "int8.tflite", "debug.tflite")]
    for path, one in zip(paths, made, strict=True):
        path.write_bytes(one)
    return paths


def with_sizes_of_names(content: bytes, reference: bytes) -> bytes:
    """The same file; what has a name that stands for another size in the reference has a name of its own.

    The converter numbers stored values anew (``arith.constant13``), and AI Edge Quantizer compares what has one name.
    """
    sizes = {tensor.name: tensor.shape for tensor in read_graph(reference).tensors}
    tree = parse(content)
    for tensor, stored in zip(read_graph(content).tensors, tree.subgraphs[0].tensors, strict=True):
        if sizes.get(tensor.name, tensor.shape) != tensor.shape:
            assert tensor.data is not None
            stored.name += b" of int8"
    return pack(tree)


def debugger(contents, images, **options):
    """A run of QuantizationDebugger, ready to be started."""
    import tensorflow as tf

    lite = tf.lite.experimental
    tool = lite.QuantizationDebugger(
        quant_debug_model_content=contents[2].read_bytes(),
        float_model_content=contents[0].read_bytes(),
        debug_dataset=images.feed,
        debug_options=lite.QuantizationDebugOptions(**options),
    )
    return tool.run


def validation(contents, images, **options):
    """AI Edge Quantizer's comparison, ready to be started."""
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.quantizer import Quantizer

    tool = Quantizer(str(contents[0]), recipe.static_wi8_ai8(), previous_quantized_model=str(contents[1]))
    samples = {"serving_default": [{"images": image} for (image,) in images.feed()]}

    def run() -> None:
        with quiet():
            tool.validate(samples, num_threads=1, **options)

    return run


def real(codes, scale, zero_point):
    return (codes.astype(np.float32) - zero_point) * scale


def power(values):
    return float(np.square(values).sum())


LAYER_METRICS = {  # (float values, codes, scale, zero point) -> number
    "sqnr": lambda a, q, *to: 10 * np.log10(power(a) / power(real(q, *to) - a)),
    "mse": lambda a, q, *to: float(np.square(real(q, *to) - a).mean()),
    "cosine": lambda a, q, *to: float((real(q, *to) * a).sum()) / np.sqrt(power(a) * power(real(q, *to))),
    "max error": lambda a, q, *to: float(np.abs(real(q, *to) - a).max()),
    "bias": lambda a, q, *to: float((real(q, *to) - a).mean()),
    "rmse over scale": lambda a, q, *to: float(np.sqrt(np.square(real(q, *to) - a).mean())) / to[0],
}


def model_mse(references, values):
    return float(np.square(values[0] - references[0]).mean())


def works(contents, images) -> dict:
    from ai_edge_quantizer.utils.validation_utils import ValidationErrorMetric

    path, quantized, _ = contents
    runners = [Runner(model) for model in (path, quantized)]

    def ours(*notions):
        return lambda: layer_error(quantized, images, float_model=path, notions=notions, workers=1)

    return {
        "float inference": lambda: runners[0].predict(images.images),
        "two inferences": lambda: [runner.predict(images.images) for runner in runners],
        "accumulated": ours("accumulated"),
        "accumulated and local": ours("accumulated", "local"),
        "effect": ours("effect"),
        "AI Edge Quantizer validate, one metric": validation(contents, images),
        "AI Edge Quantizer validate, all metrics": validation(
            contents, images, error_metrics=list(ValidationErrorMetric)
        ),
        "QuantizationDebugger default": debugger(contents, images),
        "QuantizationDebugger model comparison, one metric": debugger(
            contents, images, model_debug_metrics={"mse": model_mse}
        ),
        "QuantizationDebugger model and layer comparison, six metrics": debugger(
            contents, images, model_debug_metrics={"model": model_mse}, layer_direct_compare_metrics=LAYER_METRICS
        ),
    }


def cpu_seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors.*")  # the rivals mean to
@pytest.mark.filterwarnings("ignore:[^$]*tf.lite.Interpreter is deprecated")
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value) encountered")  # in their metrics, of dead layers
def test_layer_error_against_its_rivals(contents):
    for work in works(contents, Ready.made(1)).values():  # warms up
        work()
    todo = works(contents, Ready.made(N_IMAGES))
    times = {name: [] for name in todo}
    for _ in range(ROUNDS):
        for name, work in todo.items():
            times[name].append(cpu_seconds(work) / N_IMAGES * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print()
    for name, ms in medians.items():
        print(f"{name}: {ms:.1f} ms of CPU per image")
    print(f"the two inferences alone: {medians['two inferences'] / medians[LIMITS[3][1]]:.3f} of {LIMITS[3][1]}")
    broken = []
    for name, rival, most in LIMITS:
        ratio = medians[name] / medians[rival]
        print(f"{name}: {ratio:.3f} of {rival}; at most {most:.3f}")
        broken += [f"{name}: {ratio:.3f} of {rival}"] * (ratio > most)
    assert not broken


def test_an_image_beside_the_two_inferences(contents):
    """What is done once is told apart: opening, packing, matching, the table. The inferences here had paid their part before."""
    path, quantized, _ = contents
    runners, all_, one = [Runner(model) for model in (path, quantized)], Ready.made(N_IMAGES), Ready.made(1)
    todo = {
        "two inferences": lambda: [runner.predict(all_.images) for runner in runners],
        "accumulated": lambda: layer_error(quantized, all_, float_model=path, notions=("accumulated",), workers=1),
        "accumulated, one image": lambda: layer_error(
            quantized, one, float_model=path, notions=("accumulated",), workers=1
        ),
    }
    rounds = [[cpu_seconds(work) * 1e3 for work in todo.values()] for _ in range(PAIRS)][1:]  # the first one warms up
    ratios = [(accumulated - once) / (N_IMAGES - 1) / (two / N_IMAGES) for two, accumulated, once in rounds]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    each, ratio = (medians[1] - medians[2]) / (N_IMAGES - 1), statistics.median(ratios)
    print(
        f"\n{', '.join(f'{name} {ms:.0f} ms' for name, ms in zip(todo, medians, strict=True))} of CPU, {N_IMAGES} images"
    )
    print(
        f"each further image: {each:.1f} ms, {ratio:.3f} of the two inferences ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    assert ratio <= 1.3
