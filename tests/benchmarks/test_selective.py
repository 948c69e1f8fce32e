"""A selective model of lite0 at 224 px from cached statistics, against reconversion with the debugger's denylist."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from effnet_lab.images import open_images
from effnet_lab.litert import read_graph
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.models import LoadedModel
from effnet_lab.quantize import parse_recipe, write_files
from effnet_lab.quantize.convert import convert, trace_model
from effnet_lab.quantize.ranges import Ranging
from effnet_lab.quantize.schemes import get_scheme
from effnet_lab.quiet import quiet
from effnet_lab.scaling import NetSpec, get_spec

ROUNDS, N_IMAGES = 3, 4
KEPT = ("blocks_0_dwconv", "blocks_5_expand", "head_dense")
LIMIT_S = 1.5


def cpu_seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated.*")  # the rival uses it,
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")  # and says this
def test_selective_model_against_reconversion(random_model: Callable[[NetSpec], LoadedModel], tmp_path: Path) -> None:
    import tensorflow as tf

    model = random_model(get_spec("lite0"))
    images = open_images("scenes?side_px=224", split="calibration", limit=N_IMAGES)
    batch = next(images.batches(model.preprocess, size=N_IMAGES))[0]
    recipe = parse_recipe("int8; " + "; ".join(f"{layer}=float32" for layer in KEPT))
    float_file = tmp_path / "lite0.tflite"
    traced = trace_model(model)
    float_file.write_bytes(convert(traced, get_scheme("float32"), model))
    graph = read_graph(float_file)
    nodes = [tensor for tensor, layer in layer_names(graph).items() if layer in KEPT]
    assert len(nodes) == len(KEPT)
    cache = Ranging(images=images, statistics=tmp_path / "statistics.json")
    cache.measure(float_file.read_bytes(), model.preprocess)

    def ours() -> None:
        wanted = [(recipe, "ai_edge_quantizer")]
        write_files(float_file, wanted, tmp_path / "ours.tflite", calibration=cache, preprocess=model.preprocess)

    def converter() -> tf.lite.TFLiteConverter:
        made = traced.converter()
        made.optimizations = [tf.lite.Optimize.DEFAULT]
        made.representative_dataset = lambda: ([image[np.newaxis]] for image in batch)
        return made

    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=nodes, fully_quantize=True)

    def reconversion() -> None:
        with quiet():
            debugger = tf.lite.experimental.QuantizationDebugger(converter=converter(), debug_options=options)
            (tmp_path / "rival.tflite").write_bytes(debugger.get_nondebug_quantized_model())

    with quiet():
        kept = tf.lite.experimental.QuantizationDebugger(converter=converter(), debug_options=options)

    def denylist_alone() -> None:
        """The rival's best case: converted and calibrated before, only the denylist is new."""
        with quiet():
            kept.options = options
            kept.get_nondebug_quantized_model()

    work = {"ours": ours, "reconversion": reconversion, "denylist, calibrated before": denylist_alone}
    times = {name: [cpu_seconds(do) for do in (do,)] for name, do in work.items()}  # the first round warms up
    for _ in range(ROUNDS):
        for name, do in work.items():
            times[name].append(cpu_seconds(do))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    print()
    for name, seconds in medians.items():
        print(f"{name}: {seconds:.2f} s of CPU, {seconds / medians['ours']:.1f} times ours")
    kinds = {
        name: sum(graph.tensors[op.outputs[0]].dtype == np.float32 for op in graph.ops if graph.weights(op))
        for name, graph in ((name, read_graph(tmp_path / f"{name}.tflite")) for name in ("ours", "rival"))
    }
    assert kinds == {"ours": len(KEPT), "rival": len(KEPT)}
    assert medians["ours"] < LIMIT_S
    assert medians["reconversion"] > 10 * medians["ours"]
