"""The notebooks themselves in a real JupyterLab: they run, show their plots, and answer a hand."""

from __future__ import annotations

import nbformat
import pytest

lab = pytest.importorskip("lab_driver", reason="playwright is not installed (pip install effnet-lab[dev])")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(lab.CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)"),
]

SMALL = {  # what a reader would type into the parameters cell to be quick
    '["micro0", "micro1", "micro2", "micro3"]': '["micro0"]',
    "n_images: int = 64": "n_images: int = 8",
    "n_images: int = 1000": "n_images: int = 100",
    "n_runs: int = 50": "n_runs: int = 10",
    "n_images: int = 200": "n_images: int = 20",
    'weights: str = "micro3"': 'weights: str = "micro0"',
}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A server on small copies of the notebooks, and a browser: (url, browser, folder)."""
    folder = tmp_path_factory.mktemp("notebooks") / "work"
    url, process = lab.start_server("lab", folder)
    for path in folder.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            for was, now in SMALL.items():
                cell.source = cell.source.replace(was, now)
        nbformat.write(notebook, path)
    try:
        with lab.open_browser() as browser:
            yield url, browser, folder
    finally:
        lab.stop_server(process)


def opened(session, name: str, n_plots: int):
    """The notebook after Run All: (page, traffic)."""
    url, browser, folder = session
    page, traffic = lab.new_page(browser, height=6000)
    lab.open_notebook(page, url, f"{name}.ipynb")
    lab.run_all(page, timeout_s=150)
    lab.wait_for_plots(page, n_plots)
    page.screenshot(path=folder / f"{name}.png")
    return page, traffic


def find(plots: list[dict], title: str) -> int:
    return next(i for i, plot in enumerate(plots) if plot["title"].startswith(title))


def test_scaling_answers_a_slider(session):
    page, traffic = opened(session, "01_scaling", 4)
    before = lab.plots(page)
    yours = find(before, "The family, and where your network stands")
    handle = page.locator(".widget-slider:visible .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    after = lab.wait_for_change(page, yours, before, timeout_s=5)
    star = [next(t for t in plots[yours]["traces"] if t["name"] == "yours")["x"][0] for plots in (before, after)]
    assert star[1] > star[0] == 385_187_552
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()


def test_quantization_error_opens_a_layer(session):
    page, traffic = opened(session, "02_quantization_error", 3)
    before = lab.plots(page)
    values = find(before, "Values of")
    menu = page.locator(".widget-dropdown", has_text="layer").locator("select")
    menu.select_option(label="0: stem_conv")
    after = lab.wait_for_change(page, values, before, timeout_s=10)
    assert after[values]["title"] == "Values of stem_conv"
    assert {trace["name"] for trace in after[values]["traces"]} >= {"float", "quantized"}
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()


def test_classify_opens_an_endpoint(session):
    page, traffic = opened(session, "04_classify", 4)
    before = lab.plots(page)
    menu = page.locator(".widget-dropdown", has_text="endpoint").locator("select")
    menu.select_option(index=0)
    page.wait_for_timeout(1000)
    assert len(lab.plots(page)) == len(before)
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()


def test_tradeoffs_switch_axes(session):
    page, traffic = opened(session, "03_tradeoffs", 2)
    before = lab.plots(page)
    front = find(before, "Top-1 accuracy against")
    menu = page.locator(".widget-dropdown", has_text="x axis").locator("select")
    menu.select_option(label="file size (bytes)")
    after = lab.wait_for_change(page, front, before, timeout_s=5)
    assert after[front]["xaxis"] == "file size (bytes)"
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()
