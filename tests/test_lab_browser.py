"""The widgets in a real JupyterLab: a hand moves a control, the plot on the page changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest

lab = pytest.importorskip("lab_driver", reason="playwright is not installed (pip install effnet-lab[dev])")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(lab.CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)"),
]

CELLS = (
    "import view_frames as made\nfrom effnet_lab.view import LayerErrorView, ScalingView, TradeoffView",
    "ScalingView(made.count, made.variants())",
    "LayerErrorView(made.errors(), made.histogram)",
    "TradeoffView(made.tradeoffs(), made.standing, made.choose)",
)
STACK, FAMILY, COUNTS, CURVE, VALUES, PARETO = range(6)  # plots from the top of the page


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A notebook with the three widgets, run in JupyterLab: (page, traffic, directory)."""
    directory = tmp_path_factory.mktemp("lab") / "work"
    directory.mkdir()
    shutil.copy(Path(__file__).with_name("view_frames.py"), directory)
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(book, directory / "widgets.ipynb")
    url, process = lab.start_server("lab", directory)
    try:
        with lab.open_browser() as browser:
            page, traffic = lab.new_page(browser, height=3600)
            lab.open_notebook(page, url, "widgets.ipynb")
            lab.run_all(page)
            lab.wait_for_plots(page, 6)
            yield page, traffic, directory
    finally:
        lab.stop_server(process)


def trace(plot: dict, name: str) -> dict:
    return next(t for t in plot["traces"] if t["name"] == name)


def test_page_shows_every_figure(session):
    page, _traffic, directory = session
    shot = directory / "widgets.png"
    page.screenshot(path=shot)
    titles = [plot["title"] for plot in lab.plots(page)]
    assert len(titles) == 6
    assert titles[STACK].startswith("The stack of stages")
    assert titles[FAMILY].startswith("The family")
    assert titles[PARETO] == "Top-1 accuracy against latency p50"
    assert shot.stat().st_size > 50_000


def test_slider_redraws(session):
    page, _traffic, _directory = session
    before = lab.plots(page)
    handle = page.locator(".widget-slider:visible .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    after = lab.wait_for_change(page, FAMILY, before)
    assert trace(after[FAMILY], "yours")["x"][0] > trace(before[FAMILY], "yours")["x"][0]
    assert trace(after[FAMILY], "big") == trace(before[FAMILY], "big")
    lab.wait_for_change(page, COUNTS, before)


def test_layer_menu_changes_the_histogram(session):
    page, _traffic, _directory = session
    before = lab.plots(page)
    menu = page.locator(".widget-dropdown", has_text="layer").locator("select")
    menu.select_option(label="1: blocks_0/Relu6")
    after = lab.wait_for_change(page, VALUES, before)
    assert before[VALUES]["title"] == "Values of blocks_3/Relu6"
    assert after[VALUES]["title"] == "Values of blocks_0/Relu6"
    assert trace(after[VALUES], "float")["y"] != trace(before[VALUES], "float")["y"]
    assert trace(after[CURVE], "chosen layer")["x"] == [1]


def test_switch_of_axes(session):
    page, _traffic, _directory = session
    before = lab.plots(page)
    menu = page.locator(".widget-dropdown", has_text="x axis").locator("select").last  # the first is the scaling view's
    menu.select_option(label="file size (bytes)")
    after = lab.wait_for_change(page, PARETO, before)
    assert before[PARETO]["xaxis"] == "latency p50 (ms, this host)"
    assert after[PARETO]["xaxis"] == "file size (bytes)"
    assert trace(after[PARETO], "float32, converter")["x"] == [210_000, 640_000]


def test_page_talks_to_nobody_and_does_not_complain(session):
    _page, traffic, _directory = session
    assert traffic.foreign == []
    assert traffic.errors == []
