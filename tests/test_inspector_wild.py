"""The inspector on files that nobody here made: page and switches, or the cause why not."""

from __future__ import annotations

import lab_driver
import numpy as np
import pytest
from test_verdicts import WILD, inputs_of

from effnet_lab.images import StatedInput
from effnet_lab.names import UserError
from effnet_lab.studies.inspection import live_inspection
from effnet_lab.studies.inspection.op_times import OpTimes
from effnet_lab.view.inspector import inspector_page

SLOW = {  # run by benchmarks/test_inspector.py
    "google-coral__mobilenet_v1_0.25_128_quant",
    "mit-han-lab__vww",
    "mlcommons__pretrainedResnet_quant",
    "mlcommons__vww_96_int8",
    "tensorflow__mobilenet_v2_quantized_1x3x224x224",
}
VECTORS = ("kws", "hello")  # take no pictures
NO_RANGES = "mlcommons__kws_ref_model_float32"  # its activations are floats
NO_MAP = "This network takes no pictures, so there is no error map."

pytestmark = [pytest.mark.real, pytest.mark.browser]


@pytest.fixture(scope="module")
def browser():
    if lab_driver.CHROMIUM is None:
        pytest.skip("needs Chromium from the system's packages")
    with lab_driver.open_browser() as opened:
        yield opened


@pytest.mark.parametrize("pair", sorted(WILD.keys() - SLOW))
def test_page_and_switches(shared, browser, tmp_path, monkeypatch, pair):
    require_page_and_switches(shared, browser, tmp_path, monkeypatch, pair)


def require_page_and_switches(shared, browser, tmp_path, monkeypatch, pair):
    monkeypatch.setattr(OpTimes, "missing", lambda _: [])  # nothing is timed here
    monkeypatch.setattr(OpTimes, "estimate", lambda _: 1.0)
    quantized, *floats = [shared / "fixtures" / "wild" / f"{name}.tflite" for name in pair.split(" / ")]
    arrays = tmp_path / "noise.npz"
    pictured = not any(word in pair for word in VECTORS)
    if not pictured:
        np.savez(arrays, **inputs_of(quantized))
    given = {"float_models": floats, "limit": 1, "preprocess": StatedInput(guess=True) if pictured else None}
    images = "scenes" if pictured else arrays
    if reason := WILD[pair]:
        with pytest.raises(UserError, match=reason):
            live_inspection([quantized], images, **given)
        return
    opened = live_inspection([quantized], images, **given)
    (file,) = opened.payload["files"]
    (tmp_path / "page.html").write_text(inspector_page(opened.payload), encoding="utf-8")
    page, traffic = lab_driver.new_page(browser)
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator('rect[data-row="0"]').count() == len(file["layers"])
    assert page.get_by_text(NO_MAP).is_visible() == (not pictured)
    assert page.locator("button.picture").count() == pictured
    assert traffic.errors == []
    assert [url for url in traffic.foreign if not url.startswith("file:")] == []
    page.close()
    _flip(opened, pair)


def _flip(opened, pair: str) -> None:
    told = []
    desk = opened.desk(told.append)
    desk.ask({"kind": "open"})
    assert desk.wait()
    if pair == NO_RANGES:
        assert [answer["kind"] for answer in told] == ["refused"]
        assert "range is not known. Give calibration images." in told[0]["words"]
        return
    switches = next(answer for answer in told if answer["kind"] == "switches")
    layer = [*switches["options"]][-1]
    told.clear()
    desk.ask({"kind": "flip", "layer": layer, "scope": "layer", "format": "float32"})
    assert desk.wait()
    desk.close()
    state, outcome = (next(answer for answer in told if answer["kind"] == kind) for kind in ("state", "outcome"))
    assert state["chosen"][layer] == "float32"
    assert outcome["now"]["n_run"] < outcome["now"]["n_ops"]
