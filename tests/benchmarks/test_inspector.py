"""What the inspector takes: a flip in CPU seconds, a page in bytes, a selection in milliseconds. Prints; needs quiet."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import lab_driver
from test_inspector_wild import SLOW, require_page_and_switches

from effnet_lab.studies.inspection import WhatIf, inspection
from effnet_lab.view.inspector import inspector_page

SHARED = Path(__file__).resolve().parents[3] / "shared"
LITE0, FLOWERS = SHARED / "fixtures/litert/flowers_lite0_int8.tflite", SHARED / "data/flowers160.tar"
EMBEDDED = ("micro0", "micro1", "micro2", "micro3", "micro1_swish_se", "flowers129")
FLIP_S = {"Lite0 at 224 px": 2.5} | dict.fromkeys(EMBEDDED, 0.4)  # of CPU, for 16 images
PAGE_BYTES, FIRST_PAINT_S, SELECTION_MS = 3_000_000, 1.0, 100


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    from effnet_lab.images import open_images
    from effnet_lab.quantize import export

    folder, found = tmp_path_factory.mktemp("embedded"), {"Lite0 at 224 px": (LITE0, FLOWERS)}
    for name in EMBEDDED:
        images = FLOWERS if name.startswith("flowers") else "scenes"
        calibration = open_images(images, split="calibration", limit=50)
        (file,) = export(name, folder, format="int8", backend="ai_edge_quantizer", calibration=calibration).files
        found[name] = file, images
    return found


@pytest.mark.parametrize("name", FLIP_S)
def test_a_flip(networks, name):
    file, images = networks[name]
    session = WhatIf(file, images, limit=16)
    layers = [switch.layer for switch in session.switches.layers]
    for layer in layers:  # as a front end does: it shows what can be chosen before anybody chooses
        session.switches.options(layer)
    print(f"\n{name}: CPU seconds of a flip on 16 images")
    for at, format in ((0, "int16x8"), (0, "float32"), (len(layers) // 2, "float32"), (len(layers) - 4, "float32")):
        start = time.process_time()
        outcome = session.flip([layers[at]], format)
        spent = time.process_time() - start
        split = ", ".join(f"{part} {seconds:.2f}" for part, seconds in outcome.seconds.items())
        print(f"  layer {at} {format}: {spent:.2f} ({split}), {outcome.n_run} of {outcome.n_ops} ops")
        assert spent < FLIP_S[name]


def test_the_page(tmp_path):
    page_file = tmp_path / "page.html"
    page_file.write_text(inspector_page(inspection([LITE0], FLOWERS, limit=16)), encoding="utf-8")
    size = page_file.stat().st_size
    with lab_driver.open_browser() as browser:
        page, _ = lab_driver.new_page(browser, height=900)
        page.goto(page_file.as_uri())
        page.wait_for_selector(".effnet-inspector h2")
        paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000")
        cells = page.locator('rect[data-row="0"]').count()
        took = page.evaluate(
            "async n => { const all = []; for (let i = 0; i < n; i++) { const start = performance.now();"
            " document.querySelector(`rect[data-layer='${i}']`).dispatchEvent(new MouseEvent('click'));"
            " await new Promise(requestAnimationFrame); all.push(performance.now() - start); }"
            " return all.sort((a, b) => a - b); }",
            cells,
        )
    print(
        f"\n{size / 1e6:.2f} MB, first paint {paint:.2f} s, selection {took[len(took) // 2]:.0f} ms, worst {took[-1]:.0f} ms"
    )
    assert size < PAGE_BYTES
    assert paint < FIRST_PAINT_S
    assert took[len(took) // 2] < SELECTION_MS


@pytest.mark.real
@pytest.mark.parametrize("pair", sorted(SLOW))
def test_a_file_from_the_wild(tmp_path, monkeypatch, pair):
    """Those that the suite leaves out."""
    with lab_driver.open_browser() as browser:
        require_page_and_switches(SHARED, browser, tmp_path, monkeypatch, pair)
