"""What a search with a budget of milliseconds predicts of a file before it is timed, and what the file takes.

Every file that the search has tried is a row. Times on a busy machine are printed with what the guard says of them, and only
those of a quiet one are judged.

Run with: python -m pytest tests/benchmarks/test_mixed_latency.py -s
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from effnet_lab.analysis.precision import FLOAT
from effnet_lab.images import StatedInput, open_images
from effnet_lab.quantize.ranges import as_taken
from effnet_lab.studies import mixed_precision
from effnet_lab.studies.mixed_trials import BASE, Workshop
from effnet_lab.studies.start import start_from

SHARED = Path(__file__).resolve().parents[3] / "shared"


class Case(NamedTuple):
    """A network, and what is allowed as a share of the way from its int8 file to its float file."""

    weights: str | Path
    data: str | Path
    shares: tuple[float, ...]
    stated: StatedInput | None = None  # what the file does not say of its input


NETWORKS = {
    "micro3": Case("micro3", "scenes", (0.4, 0.7)),
    "micro1_swish_se": Case("micro1_swish_se", "scenes", (0.6,)),
    "vww_96": Case(
        SHARED / "fixtures/wild/mlcommons__vww_96_float.tflite", "scenes", (0.5,), StatedInput(input_range="0..1")
    ),
    "flowers Lite0": Case(SHARED / "fixtures/litert/flowers_lite0_int8.tflite", SHARED / "data/flowers160.tar", (0.4,)),
}
CALIBRATION, TESTED, WITHIN = 20, 40, 0.10


@pytest.mark.parametrize("name", NETWORKS)
def test_the_time_of_a_file_is_known_before_it_is_measured(name: str, tmp_path: Path) -> None:
    weights, data, shares, stated = NETWORKS[name]
    if isinstance(weights, Path) and not weights.exists():
        pytest.skip(f"needs {weights}")
    calibration = open_images(data, split="calibration", limit=CALIBRATION)
    tested = open_images(data, split="evaluation", limit=TESTED).unlabelled()  # no accuracy is asked for
    source, kept = start_from(weights, None, stated, measures=""), tmp_path / "kept"
    work = Workshop(source=source, calibration=as_taken(calibration, source.content, source.info), within=kept)
    # by the clock of the search, whose folder keeps it: no machine is as fast from one minute to the next
    whole, least = (float(work.profiles[form]["uninterrupted_ms"].sum()) for form in (FLOAT, BASE))
    rows = []
    for share in shares:
        limit, out = least + share * (whole - least), tmp_path / f"{share}.tflite"
        assert limit > (1 + WITHIN) * least, f"{limit:.3g} ms is what the int8 file may be measured with"
        done = mixed_precision(work.float_path, tested, out, calibration=calibration, max_ms=limit, resume=kept)
        found = done.table[done.table["measured_ms"].notna()].assign(allowed_ms=limit)
        rows.append(found.assign(ratio=found["predicted_ms"] / found["measured_ms"]))
    print(f"\n{name}: float {whole:.3g} ms, int8 {least:.3g} ms of CPU")
    for table in rows:
        shown = ["choice", "allowed_ms", "predicted_ms", "measured_ms", "ratio", "guard"]
        print(table[shown].round(3).to_string(index=False))
    if not all((table["guard"] == "quiet").all() for table in rows):
        pytest.skip("the machine was busy: the times above say nothing")
    assert all(table["ratio"].between(1 - WITHIN, 1 + WITHIN).all() for table in rows)
