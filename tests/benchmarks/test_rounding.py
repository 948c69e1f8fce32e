"""What rounding loses against the float network, in a real file, on images that fixed nothing; and what it takes to round.

The command is run as it stands, with at most 200 calibration images; then the float file, the file with every weight on its
nearest code and the repaired one see the same images.

Run with: python -m pytest tests/benchmarks/test_rounding.py -s
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from effnet_lab.evaluate import collect_predictions
from effnet_lab.evaluate.compare import paired_difference
from effnet_lab.images import ImageSet, open_images
from effnet_lab.litert import read_graph
from effnet_lab.quantize import get_scheme
from effnet_lab.quantize.ranges import as_taken
from effnet_lab.quantize.schemes import AI_EDGE
from effnet_lab.quantize.write import quantizer
from effnet_lab.studies.start import start_from

SHARED = Path(__file__).resolve().parents[3] / "shared"
FLOWERS, PHOTOGRAPHS = SHARED / "fixtures/litert/flowers_lite0_int8.tflite", SHARED / "data/flowers160.tar"
IMAGES, CALIBRATION, SEEN = 4_000, 200, 40  # that judge, that fix the codes, that the command itself answers
CPU_S, PEAK_BYTES = 300.0, 3e9
COMMAND = "from effnet_lab.cli import main; main()"


class Case(NamedTuple):
    """One bar: points of top-1 below the float network that are allowed."""

    weights: str | Path
    form: str
    depthwise_bits: int
    steps: str
    points: float


CASES = [
    Case(FLOWERS, "int4", 8, "round", 0.5),
    Case(FLOWERS, "int4", 4, "round", 1.5),
    Case(FLOWERS, "int8-per-tensor", 8, "equalize,clip,round,bias", 0.3),
    Case(FLOWERS, "int8-per-tensor", 8, "round", 0.3),
    *(Case(f"micro{i}", "int4", 8, "round", 1.0) for i in range(4)),
]  # fmt: skip


def judging(case: Case) -> ImageSet:
    """Images that played no part in the repair: scenes are drawn, of the photographs all but those that calibrate."""
    if isinstance(case.weights, str):
        return open_images(f"scenes?n={IMAGES}", split="evaluation")
    images = open_images(PHOTOGRAPHS, split="all")
    held = {image.tobytes() for image in map(calibrating(case).read, range(CALIBRATION))}
    return images.pick([i for i in range(len(images)) if images.read(i).tobytes() not in held])


def calibrating(case: Case) -> ImageSet:
    """As the command takes them."""
    data = "scenes" if isinstance(case.weights, str) else PHOTOGRAPHS
    return open_images(data, split="calibration", limit=CALIBRATION)


def mended(case: Case, out: Path) -> tuple[float, float]:
    """Runs the command; seconds of CPU of all its processes, and bytes of the largest of them."""
    data = "scenes" if isinstance(case.weights, str) else str(PHOTOGRAPHS)
    words = ["repair", "--weights", str(case.weights), "--format", case.form, "--depthwise-bits", str(case.depthwise_bits),
             "--steps", case.steps, "--calibration", data, "--limit", str(CALIBRATION), "--data", data,
             "--limit-data", str(SEEN), "--workers", "1", "--out", str(out)]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", COMMAND, *words], environment)
    _, status, used = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024.0


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{Path(c.weights).stem} {c.form} {c.depthwise_bits} {c.steps}")
def test_a_rounded_file_is_as_good_as_the_float_one(case, tmp_path):
    if not Path(PHOTOGRAPHS).exists() and not isinstance(case.weights, str):
        pytest.skip(f"needs {PHOTOGRAPHS}")
    out = tmp_path / "rounded.tflite"
    seconds, peak = mended(case, out)
    source, images = start_from(case.weights, None, None, measures=""), judging(case)
    plain = quantizer((get_scheme(case.form), AI_EDGE), as_taken(calibrating(case), source.content, source.info))
    files = {"float": source.content, "nearest codes": plain(source.content), "rounded": out.read_bytes()}
    answers = {}
    for name, content in files.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        answers[name] = collect_predictions(path, images)
    rows = [
        {"file": name, "images": len(images), "top1": 100 * said.hits.mean()}
        | {cell: 100 * value for cell, value in paired_difference(said, answers["float"]).items() if cell != "p_value"}
        for name, said in answers.items()
    ]
    graph = read_graph(out)
    kept = {(op.kind, graph.weights(op).dtype.name, len(graph.weights(op).scale) > 1)
            for op in graph.ops if graph.weights(op) is not None}  # fmt: skip
    print(f"\n{Path(case.weights).stem}, {case.form}, depthwise {case.depthwise_bits} bits, {case.steps}: ", end="")
    print(f"{seconds:.0f} s of CPU, {peak / 1e9:.2f} GB, {CALIBRATION} calibration images, "
          f"{case.points:g} points allowed\n{pd.DataFrame(rows).round(2).to_string(index=False)}")  # fmt: skip
    assert len(images) >= 2_000
    assert {scales for _, _, scales in kept} == {case.form == "int4"}
    assert {number for kind, number, _ in kept if kind == "conv"} == {"int4" if case.form == "int4" else "int8"}
    narrow = case.depthwise_bits == 4
    assert {number for kind, number, _ in kept if kind == "depthwise"} == {"int4" if narrow else "int8"}
    assert {graph.tensors[op.outputs[0]].dtype.name for op in graph.ops if op.kind == "conv"} == {"int8"}
    assert rows[-1]["difference"] >= -case.points
    assert seconds <= CPU_S
    assert peak <= PEAK_BYTES
