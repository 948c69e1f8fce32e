"""What a search with a budget of milliseconds predicts of a file before it is timed, and what the file takes.

Every file that the search has tried is a row. Times on a busy machine are printed with what the guard says of them, and only
those of a quiet one are judged.

Run with: python -m pytest tests/benchmarks/test_mixed_latency.py -s
"""

from __future__ import annotations

from pathlib import Path

import pytest

from effnet_lab.bench import measure_latency
from effnet_lab.images import open_images
from effnet_lab.quantize import export
from effnet_lab.studies import mixed_precision
from effnet_lab.studies.start import start_from

SHARED = Path(__file__).resolve().parents[3] / "shared"
NETWORKS = {  # weights, photographs, and what is allowed as a share of the way from the int8 file to the float file
    "micro3": ("micro3", "scenes", (0.2, 0.7)),
    "micro1_swish_se": ("micro1_swish_se", "scenes", (0.5,)),
    "vww_96": (SHARED / "fixtures/wild/mlcommons__vww_96_float.tflite", "scenes", (0.5,)),
    "flowers Lite0": (SHARED / "fixtures/litert/flowers_lite0_int8.tflite", SHARED / "data/flowers160.tar", (0.4,)),
}
CALIBRATION, TESTED, WITHIN = 20, 40, 0.10


@pytest.mark.parametrize("name", NETWORKS)
def test_the_time_of_a_file_is_known_before_it_is_measured(name, tmp_path):
    weights, data, shares = NETWORKS[name]
    if isinstance(weights, Path) and not weights.exists():
        pytest.skip(f"needs {weights}")
    calibration = open_images(data, split="calibration", limit=CALIBRATION)
    tested = open_images(data, split="evaluation", limit=TESTED)
    source = start_from(weights, None, None, measures="")
    exact = tmp_path / "float.tflite"
    exact.write_bytes(source.content)
    (int8,) = export(
        exact, tmp_path / "int8", format="int8", backend="ai_edge_quantizer", calibration=calibration
    ).files
    whole, least = measure_latency([exact, int8])["cpu_p50_ms"]
    rows, quiet = [], True
    for share in shares:
        limit = float(least + share * (whole - least))
        done = mixed_precision(
            exact, tested, tmp_path / f"{share}.tflite", calibration=calibration, max_ms=limit, resume=tmp_path / "kept"
        )
        found = done.table[done.table["measured_ms"].notna()].assign(allowed_ms=limit)
        rows.append(found.assign(ratio=found["predicted_ms"] / found["measured_ms"]))
        quiet = quiet and (found["guard"] == "quiet").all()
    print(f"\n{name}: float {whole:.3g} ms, int8 {least:.3g} ms of CPU")
    for table in rows:
        shown = ["choice", "allowed_ms", "predicted_ms", "measured_ms", "ratio", "guard"]
        print(table[shown].round(3).to_string(index=False))
    if not quiet:
        pytest.skip("the machine was busy: the times above say nothing")
    assert all(table["ratio"].between(1 - WITHIN, 1 + WITHIN).all() for table in rows)
