"""What is written in a report can be read on a light and on a dark page: every text against what is drawn behind it."""

from __future__ import annotations

import io

import lab_driver
import numpy as np
import pandas as pd
import pytest
import view_frames as made
from PIL import Image

from effnet_lab import frames, view
from effnet_lab.regress import recording
from effnet_lab.regress.report import write_report

FILE = {"model": "mine0", "scheme": "static_wi8_ai8", "backend": "converter"}
LEAST = 4.5  # WCAG 2.1, criterion 1.4.3: contrast of text, level AA
# Where a text stands, what it is, and its colour; axes, legends, numbers in cells, names on boxes, cells of tables.
TEXTS = """() => [...document.querySelectorAll('.plot svg text, .effnet-table th, .effnet-table td, .effnet-table i, summary')]
    .map(e => [e, e.getBoundingClientRect(), getComputedStyle(e)])
    .filter(([e, box]) => e.textContent.trim() && box.width > 0)
    .map(([e, box, style]) => ({
        text: e.textContent.trim(), where: e.closest('[data-figure]')?.dataset.figure ?? 'table',
        x: box.x + box.width / 2 + scrollX, y: box.y + box.height / 2 + scrollY,
        color: e.closest('svg') ? style.fill : style.color,
    }))"""
LEAST_MARK = 3.0  # criterion 1.4.11: of marks
HIDE = "svg text { fill-opacity: 0 !important; } .effnet-table *, summary { color: transparent !important; }"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A table that is open, one that is folded, a confusion matrix and an arena."""
    out = tmp_path_factory.mktemp("results")
    show = recording(out, "smoke", "02_layers")
    rows = pd.DataFrame(
        {"model": ["mine0", "mine1"], "top1": [0.9, 0.8], "top1_lo": [0.88, 0.7], "top1_hi": [0.92, 0.9]}
    )
    show(view.table(rows, name="open"))
    show(view.table(rows, title="The numbers", name="folded", folded=True))
    counts = {
        ("cat", "cat"): 90,
        ("cat", "dog"): 10,
        ("dog", "cat"): 45,
        ("dog", "dog"): 55,
        ("emu", "emu"): 70,
        ("emu", "cat"): 30,
    }
    taken = [FILE | {"data": "d", "label": a, "predicted": b, "n_images": n} for (a, b), n in counts.items()]
    show(view.plot_confusion(frames.build(frames.CONFUSION, taken)), "confusion")
    boxes = [(0, 1, 0, 4096), (1, 3, 4096, 8192), (3, 5, 0, 4096)]
    arena = [
        FILE
        | {
            "tensor_index": i,
            "layer": f"layer_{i}",
            "first_op": first,
            "last_op": last,
            "offset_bytes": at,
            "size_bytes": size,
        }
        for i, (first, last, at, size) in enumerate(boxes)
    ]
    alive = [FILE | {"layer_index": i, "layer": f"op_{i}", "alive_bytes": 12288 if i == 1 else 2048} for i in range(6)]
    show(view.plot_arena(frames.build(frames.ARENA, arena), frames.build(frames.HIGH_WATER, alive)), "arena")
    table = made.tradeoffs().head(3)
    standing = pd.DataFrame({"on_front": [False, True, True], "near_tie": [True, False, False]})
    show(view.plot_tradeoffs(table, standing=standing), "tradeoffs")
    return write_report(out)


@pytest.mark.browser
@pytest.mark.skipif(lab_driver.CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(report, scheme):
    with lab_driver.open_browser() as browser:
        page = browser.new_context(color_scheme=scheme).new_page()
        page.goto(report.as_uri())
        page.wait_for_selector("body[data-drawn=all]", timeout=lab_driver.PATIENCE_MS)
        page.locator("summary").click()
        texts = page.evaluate(TEXTS)
        page.add_style_tag(content=HIDE)
        behind = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB"))
    assert (behind[5, 5].mean() < 40) == (scheme == "dark")
    written = {
        place: {one["text"] for one in texts if one["where"] == place} for place in ("table", "confusion", "arena")
    }
    assert written["table"] >= {"mine1", "[88.00% … 92.00%]", "The numbers"}
    assert written["confusion"] >= {"90", "10", "45", "cat", "share of the true class"}
    assert written["arena"] >= {"layer_1", "layer_2", "sum of what is alive"}
    faint = {
        (one["where"], one["text"]): round(found, 1)
        for one in texts
        if (found := contrast(color(one["color"]), around(behind, one["x"], one["y"]))) < LEAST
    }
    assert faint == {}, faint


@pytest.mark.browser
@pytest.mark.skipif(lab_driver.CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)")
def test_a_near_tie_is_seen_on_a_dark_page(report):
    with lab_driver.open_browser() as browser:
        page = browser.new_context(color_scheme="dark").new_page()
        page.goto(report.as_uri())
        page.wait_for_selector("body[data-drawn=all]", timeout=lab_driver.PATIENCE_MS)
        mark = page.locator('[data-figure="tradeoffs"] .point[style*="opacity: 0.55;"]')
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        seen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert contrast(around(seen, x, y), around(seen, x + 25, y + 25)) >= LEAST_MARK


def around(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """The colour of most of what lies there: a line that passes through does not count."""
    row, column = round(y), round(x)
    return np.median(picture[row - 4 : row + 5, column - 4 : column + 5].reshape(-1, 3), axis=0)


def color(written: str) -> np.ndarray:
    """``rgb(1, 2, 3)`` as three numbers."""
    return np.array([float(part) for part in written[written.index("(") + 1 : -1].split(",")[:3]])


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """Of two colours, 1 to 21. Source: WCAG 2.1, definitions of relative luminance and contrast ratio."""
    share = np.stack([one, other]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    low, high = np.sort(linear @ [0.2126, 0.7152, 0.0722])
    return float((high + 0.05) / (low + 0.05))


def test_contrast_is_that_of_the_standard():
    assert contrast(color("rgb(0, 0, 0)"), color("rgb(255, 255, 255)")) == pytest.approx(21)
    assert contrast(color("rgb(118, 118, 118)"), color("rgb(255, 255, 255)")) == pytest.approx(4.54, abs=0.005)
