"""The exact choice of precisions beside what people do: at the same size of the file, whose logits are nearer to the float ones.

The rivals start from int4 wherever it can be had, or from int8 where the budget has room for it, and give layers more until it is
used: int8, or float, in the greedy order by size (as AI Edge Quantizer's automatic mode goes), the worst layers by SQNR first, or
in a random order; or float to the first and last layers. All files are run on images that fixed nothing.

Run with: python -m pytest tests/benchmarks/test_mixed_precision.py -s
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from effnet_lab.analysis.precision import PRECISIONS, Choice
from effnet_lab.analysis.repair import HeldOut, measure_moments
from effnet_lab.images import ImageSet, open_images
from effnet_lab.litert import Runner
from effnet_lab.quantize.float_file import FloatFile, float_file
from effnet_lab.studies.mixed_search import Search
from effnet_lab.studies.mixed_trials import BYTES, Workshop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from damage import spread_depthwise  # type: ignore[import-not-found]  # it stands in the folder above

INT4, INT8, FLOAT32 = (PRECISIONS.index(name) for name in ("int4", "int8", "float32"))
SHARES = (0.35, 1.5)  # of the way from the smallest file of int4 and int8 to int8 throughout
IMAGES, CALIBRATION = 60, 60
NOT_TOLD_APART = 0.3  # dB
OWN = ("micro1", "micro2", "micro3", "micro1_swish_se", "damaged micro2")
SHARED = Path(__file__).resolve().parents[3] / "shared"
ELSEWHERE: dict[str, tuple[Path, Path | str]] = {  # file and photographs; the same share for all
    "flowers Lite0": (SHARED / "fixtures/litert/flowers_lite0_int8.tflite", SHARED / "data/flowers160.tar"),
    "vww_96": (SHARED / "fixtures/wild/mlcommons__vww_96_float.tflite", "scenes"),
    "ResNet-8": (SHARED / "fixtures/wild/mlcommons__pretrainedResnet.tflite", "scenes"),
}
CASES = [(name, share) for name in OWN for share in SHARES] + [(name, SHARES[0]) for name in ELSEWHERE]


def pictures(name: str) -> tuple[ImageSet, ImageSet]:
    """What calibrates, and what judges."""
    data = ELSEWHERE[name][1] if name in ELSEWHERE else "scenes"
    judging = open_images(data, split="evaluation", limit=IMAGES)
    return open_images(data, split="calibration", limit=CALIBRATION), judging


def network(name: str) -> FloatFile:
    """The float file; of a damaged one, the same function with depthwise channels spread over nine octaves."""
    if name in ELSEWHERE:
        return float_file(ELSEWHERE[name][0])
    found = float_file(name.split()[-1])
    if not name.startswith("damaged"):
        return found
    images = open_images("scenes", split="calibration", limit=CALIBRATION)
    moments = measure_moments(found.content, images, found.info.preprocess)
    return FloatFile(content=spread_depthwise(found.content, moments), info=found.info)


def orders(search: Search, rng: np.random.Generator) -> dict[str, list[int]]:
    """Which layers get int8 first."""
    work = search.workshop
    rows = [i for i, can in enumerate(work.candidates.allowed[:-2]) if can[INT4]]
    sizes = {i: work.candidates.graph.kernel(work.candidates.ops[i][1]).size for i in rows}
    noise = {i: search.program.loss[i, INT4] for i in rows}
    ends = sorted(rows, key=lambda i: min(rows.index(i), len(rows) - 1 - rows.index(i)))
    return {
        "greedy by size": sorted(rows, key=lambda i: sizes[i]), "worst by SQNR": sorted(rows, key=lambda i: -noise[i]),
        "first and last": ends, "random": list(rng.permutation(rows)), "random again": list(rng.permutation(rows)),
    }  # fmt: skip


def filled(search: Search, order: list[int], limit: float, *, ends: bool) -> Choice:
    """One precision, and more for the layers of the order as long as the file keeps to the limit by the program."""
    usual = search.uniform("int8")
    room = search.program.use(usual.precisions, BYTES) <= limit
    chosen = list((usual if room else search.uniform("int4")).precisions)
    for row in order:
        tried = [(FLOAT32 if room or ends else INT8) if i == row else p for i, p in enumerate(chosen)]
        if search.program.use(tuple(tried), BYTES) <= limit:
            chosen = tried
    uses = {BYTES: search.program.use(tuple(chosen), BYTES)}
    return Choice(precisions=tuple(chosen), loss=search.program.use(tuple(chosen), "loss"), uses=uses)


def decibels(work: Workshop, content: bytes, batch: np.ndarray) -> float:
    """SQNR of the outputs before the softmax, on images that fixed nothing."""
    judge = HeldOut(work.source.content, work.calibration.take(8), work.source.info.preprocess)
    name = judge.end_names[0]
    ends = []
    for model in (work.source.content, content):
        runner = Runner(model, keep_all=True)
        tensor = next(t for t in runner.graph.tensors if t.name == name)
        rows = []
        for image in batch:
            runner.feed(image)
            runner.invoke()
            rows.append(runner.activation(tensor).reshape(-1).astype(np.float64))
        ends.append(np.stack(rows))
    exact, found = ends
    return float(10 * np.log10(np.square(exact).sum() / np.square(found - exact).sum()))


@pytest.mark.parametrize(("name", "share"), CASES, ids=[f"{name} {share}" for name, share in CASES])
def test_no_rival_is_nearer_to_the_float_network_at_the_same_size(name: str, share: float, tmp_path: Path) -> None:
    if not Path(ELSEWHERE.get(name, (__file__,))[0]).exists():
        pytest.skip(f"needs {ELSEWHERE[name][0]}")
    source = network(name)
    calibration, judging = pictures(name)
    work = Workshop(source=source, calibration=calibration, within=tmp_path)
    search = Search(workshop=work, resources=(BYTES,), keep=lambda file: None)
    small, usual = sizes_of(search)
    limit = small + share * (usual - small)
    ours = search.within({BYTES: limit})
    batch = np.stack([values for (values,) in judging.samples(source.info.preprocess)])
    rows = [{"order": "exact", "bytes": ours.uses(BYTES), "sqnr_db": decibels(work, ours.path.read_bytes(), batch)}]
    offset = search.offsets[BYTES]
    for order, layers in orders(search, np.random.default_rng(0)).items():
        rival = work.trial(filled(search, layers, limit - offset, ends=order == "first and last"))
        rows.append(
            {"order": order, "bytes": rival.uses(BYTES), "sqnr_db": decibels(work, rival.path.read_bytes(), batch)}
        )
    table = pd.DataFrame(rows)
    print(f"\n{name}, at most {limit:,.0f} bytes\n{table.round(2).to_string(index=False)}")
    assert ours.uses(BYTES) <= limit
    assert table["sqnr_db"].iloc[0] >= table["sqnr_db"][1:].max() - NOT_TOLD_APART


def sizes_of(search: Search) -> tuple[float, float]:
    """Bytes of the file in int4 and in int8 throughout."""
    small, usual = (len(search.workshop.written[form]) for form in ("int4", "int8"))
    return float(small), float(usual)
