"""A run of the same code on the same images never fails a check: 20 of 20, with nothing allowed but in what is timed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from sweep_drills import ROOT

from effnet_lab.regress import check, run_notebooks

RUNS = int(os.environ.get("RUNS", "20"))
QUICK = {"models": "['micro0']", "n_images": "16", "n_calibration": "20"}


def test_a_run_against_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    first = tmp_path / "0"
    run_notebooks(["02_quantization_error"], parameters=QUICK, out=first, progress=False)
    for i in range(1, RUNS + 1):
        run_notebooks(["02_quantization_error"], parameters=QUICK, out=tmp_path / str(i), progress=False)
        found = check(tmp_path / str(i), against=first, exact=True)
        assert found.table.empty, (i, found.table, found.causes)
        assert found.drift == ()
    print(f"\n{RUNS} of {RUNS} runs equal the first in {found.n_compared:,} numbers")
