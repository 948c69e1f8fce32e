"""The report is one file that a browser draws without a network."""

from __future__ import annotations

import re

import lab_driver
import nbformat
import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.regress.baselines import bless, check
from effnet_lab.regress.overview import COLUMNS, summary
from effnet_lab.regress.recording import record, record_figure
from effnet_lab.regress.report import MAX_ROWS, write_report
from effnet_lab.regress.text import cell_text, interval_text, plain

SMOKE = {"notebook": "02_layers", "profile": "smoke"}
FILES = [("micro0", "float32"), ("micro0", "static_wi8_ai8"), ("micro1", "float32")]


def table(frame: frames.Frame, rows: list[dict]) -> pd.DataFrame:
    return frames.build(frame, [{"backend": "converter"} | row for row in rows])


@pytest.fixture
def results(tmp_path):
    """A small results folder with every part of a report."""
    import plotly.graph_objects as go

    files = [{"model": model, "scheme": scheme} for model, scheme in FILES]
    hit = {"data": "scenes", "n_images": 600, "top1": 0.84, "top1_lo": 0.81, "top1_hi": 0.868}
    time = {"threads": 1, "host": "desk", "p50_ms": 1.25, "p50_lo_ms": 1.2, "p50_hi_ms": 1.3, "relative_p50": 1.0}
    record(table(frames.ACCURACY, [file | hit for file in files]), "accuracy", tmp_path, **SMOKE)
    record(table(frames.LATENCY, [file | time for file in files[:2]]), "latency", tmp_path, **SMOKE)
    sizes = [file | {"size_bytes": 250_000, "params": 49_000} for file in files]
    record(table(frames.MEMORY, sizes), "memory", tmp_path, **SMOKE)
    layers = [
        files[1] | {"layer_index": i, "layer": f"b{i}<i>", "sqnr_accumulated_db": 30.0 - i % 50} for i in range(70)
    ]
    record(table(frames.LAYER_ERROR, layers), "layer_error", tmp_path, **SMOKE)
    for name in ("layers", "unclaimed"):
        line = go.Scatter(x=np.arange(5), y=np.arange(5.0) ** 2, mode="markers", name="</script>")
        record_figure(go.Figure(line, layout={"title": name}), name, tmp_path)
    cells = [
        nbformat.v4.new_markdown_cell("# Where does **int8** hurt?\n\nSee [the docs](https://example.org)."),
        nbformat.v4.new_code_cell('record_figure(figure, "layers", out_dir)'),
    ]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "02_layers.ipynb")
    return tmp_path


def test_summary_has_one_row_per_file(results):
    got = summary(results)
    assert tuple(got.columns) == COLUMNS
    assert list(zip(got["model"], got["scheme"], strict=True)) == FILES
    quantized = got.iloc[1]
    assert (quantized["worst_layer"], quantized["worst_sqnr_db"], quantized["params"]) == ("b49<i>", -19.0, 49_000)
    assert got["threads"].isna().tolist() == [False, False, True]


def test_report_says_what_a_reader_needs(results):
    text = write_report(results).read_text()
    page = text[: text.index('<script type="application/json"')]
    assert "Where does int8 hurt?" in page
    assert "84.0 % (81.0 – 86.8)" in page
    assert "1.25 (1.2 – 1.3)" in page
    assert "The first 60 of 70 rows" in page
    assert page.count("b49&lt;i&gt;") >= 2
    assert "desk" in page
    assert re.findall(r'data-figure="(\w+)"', page) == ["layers", "unclaimed"]
    assert page.index('data-figure="layers"') < page.index("<h2>Figures</h2>") < page.index('data-figure="unclaimed"')


def test_report_is_one_self_contained_file(results):
    from plotly.offline import get_plotlyjs

    text = write_report(results).read_text()
    assert text.count(get_plotlyjs()) == 1
    rest = text.replace(get_plotlyjs(), "")
    assert not re.search(r"(src|href)=[\"']?(https?:|//)", rest)
    assert str(results) not in rest
    assert len(text) < 6_000_000


def test_report_shows_the_comparison(results, tmp_path):
    baselines = tmp_path / "baselines"
    bless(results, baselines)
    assert "Nothing moved: " in write_report(results, moved=check(results, baselines)).read_text()
    worse = table(
        frames.LAYER_ERROR, [{"model": "micro0", "scheme": "static_wi8_ai8", "layer_index": 3, "layer": "b3<i>"}]
    )
    record(worse.assign(sqnr_accumulated_db=10.0), "layer_error", results, **SMOKE)
    text = write_report(results, moved=check(results, baselines)).read_text()
    assert "something moved" in text
    assert "look at layer 3 &#39;b3&lt;i&gt;&#39;" in text


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="Nothing was recorded"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
    assert summary(tmp_path).empty


def test_text_of_cells():
    values = [4_652_008, 3.0, 0.123456, np.inf, -np.inf, np.nan, None, "", "name", 123_456.7]
    texts = ["4\u202f652\u202f008", "3", "0.1235", "∞", "-∞", "–", "–", "–", "name", "123\u202f457"]
    assert [cell_text(value) for value in values] == texts
    assert interval_text(pd.DataFrame({"a": [0.5], "a_lo": [np.nan], "a_hi": [1.0]}), "a").tolist() == ["0.5"]
    assert plain("**A** `b` [c](d) *e* n_images") == "A b c e n_images"
    assert MAX_ROWS == 60


@pytest.mark.browser
@pytest.mark.skipif(lab_driver.CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)")
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_a_browser_draws_the_report_without_a_network(results, width):
    report = write_report(results)
    said, asked = [], []
    with lab_driver.open_browser() as browser:
        page = browser.new_context(viewport={"width": width, "height": 800}, offline=True).new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_function("document.querySelectorAll('.plot svg.main-svg').length >= 2")
        points = page.locator(".plot svg.main-svg .scatterlayer .point").count()
        page.locator(".plot .nsewdrag").first.hover()
        page.locator("details summary").first.click()
        scrolls = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert points == 10
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert not scrolls
