"""The report is one file that a browser draws without a network."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import lab_driver
import nbformat
import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.regress import recording
from effnet_lab.regress.baselines import bless, check
from effnet_lab.regress.chapters import read_answers, read_chapters
from effnet_lab.regress.overview import COLUMNS, summary
from effnet_lab.regress.recording import record
from effnet_lab.regress.report import write_report
from effnet_lab.regress.text import inline, prose, split_heading
from effnet_lab.view import table as shown_table

SMOKE = {"notebook": "02_layers", "profile": "smoke"}
FILES = [("mine0", "float32"), ("mine0", "static_wi8_ai8"), ("mine1", "float32")]


def table(frame: frames.Frame, rows: list[dict]) -> pd.DataFrame:
    return frames.build(frame, [{"backend": "converter"} | row for row in rows])


@pytest.fixture
def results(tmp_path):
    """A small results folder with every part of a report."""
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
    show_first(tmp_path)
    return tmp_path


def show_first(out):
    """What a notebook of four cells shows, and the executed notebook."""
    import plotly.graph_objects as go

    show = recording(out, "smoke", "02_layers")
    for name in ("layers", "more"):
        line = go.Scatter(x=np.arange(5), y=np.arange(5.0) ** 2, mode="markers", name="</script>")
        show(go.Figure(line, layout={"title": f"Title of <b>{name}</b>"}), name)
    show.say("Layer **b49** is worst.", answers="Which layer is worst, and why?", about="layers")
    show.say("Take micro0.", answers="Which network for the budget?")
    show(shown_table(pd.DataFrame({"layer": ["b<i>"], "n_images": [6000]}), title="Some layers", name="some"))
    items = [replace(item, cell=cell) for item, cell in zip(show.manifest.items, (1, 2, 2, 2, 3), strict=True)]
    replace(show.manifest, items=items).save(out)
    texts = ["# Where does **int8** hurt?\n\nSee [the docs](#x).", "", "## Then *more*", "", "### A table", ""]
    texts += ["## In the hand\n\nMove it.", ""]  # controls, of which a report holds nothing
    cells = [nbformat.v4.new_markdown_cell(t) if t else nbformat.v4.new_code_cell("1") for t in texts]
    for number, cell in enumerate([cell for cell in cells if cell.cell_type == "code"], start=1):
        cell.execution_count = number
    (out / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), out / "notebooks" / "02_layers.ipynb")


def test_summary_has_one_row_per_file(results):
    got = summary(results)
    assert tuple(got.columns) == COLUMNS
    assert list(zip(got["model"], got["scheme"], strict=True)) == FILES
    quantized = got.iloc[1]
    assert (quantized["worst_layer"], quantized["worst_sqnr_db"], quantized["params"]) == ("b49<i>", -19.0, 49_000)
    assert got["threads"].isna().tolist() == [False, False, True]


def test_report_answers_first_and_then_follows_the_notebook(results):
    text = write_report(results).read_text(encoding="utf-8")
    page = text[: text.index('<script type="application/json"')]
    first, rest = page[page.index("<header>") : page.index("<nav>")], page[page.index("<main>") :]
    assert re.findall(r"<h2>(.*?)</h2>", first) == [
        "Which network for the budget?", "Which layer is worst, and why?",
    ]  # fmt: skip
    assert "Layer <strong>b49</strong> is worst." in first
    assert 'href="#figure-layers"' in first
    order = [
        "Where does <strong>int8</strong> hurt?", 'href="#x"', 'data-figure="layers"', "Then <em>more</em>",
        'data-figure="more"', "Take micro0.", "A table", "Some layers", "b&lt;i&gt;", "6,000", "84.00%",
    ]  # fmt: skip
    places = [rest.index(words) for words in order]
    assert places == sorted(places)
    assert "[81.00% … 86.80%]" in rest
    assert "b49&lt;i&gt;" in rest
    assert "desk" in rest
    assert re.findall(r'href="(frames/\w+.csv)"', rest) == [f"frames/{name}.csv" for name in frames.FRAMES
                                                           if (results / "frames" / f"{name}.csv").exists()]  # fmt: skip


def test_what_was_shown_is_read_back_in_its_order(results):
    (chapter,) = read_chapters(results)
    assert [(block.kind, block.name) for block in chapter.blocks] == [
        ("prose", ""), ("figure", "layers"), ("prose", ""), ("figure", "more"), ("sentence", ""), ("sentence", ""),
        ("prose", ""), ("table", "some"),
    ]  # fmt: skip
    assert [(answer.figure, answer.chapter) for answer in read_answers(results)] == [
        ("layers", "02_layers"), ("more", "02_layers"),
    ]  # fmt: skip
    show = recording(results, "smoke", "02_layers")  # the notebook begins again
    assert show.manifest.items == []
    assert [block.kind for block in read_chapters(results)[0].blocks] == ["prose"] * 4


def test_a_file_without_a_baseline_is_not_called_unmoved(results):
    assert "since the baseline" not in write_report(results).read_text(encoding="utf-8")


def test_a_long_text_that_every_row_has_stands_once():
    same, other = (
        "busy: something else ran on this machine meanwhile <i>",
        "quiet: nothing else ran on this machine meanwhile.",
    )
    rows = pd.DataFrame({"model": ["a", "b"], "guard": [same, same]})
    html = shown_table(rows).html()
    assert html.count("meanwhile &lt;i&gt;") == 1
    assert html.index("</table>") < html.index("guard of every row: ") < html.index("meanwhile")
    differing = shown_table(rows.assign(guard=[same, other])).html()
    assert "every row" not in differing
    assert differing.count("meanwhile") == 2
    assert "every row" not in shown_table(rows.head(1)).html()
    assert shown_table(rows[["guard"]]).html().count("meanwhile") == 2


def test_report_is_one_self_contained_file(results):
    from plotly.offline import get_plotlyjs

    text = write_report(results).read_text()
    assert text.count(get_plotlyjs()) == 1
    rest = text.replace(get_plotlyjs(), "")
    assert not re.search(r"(src|href)=[\"']?(https?:|//)", rest)
    assert str(results) not in rest
    assert len(text) < 6_000_000


def test_a_question_is_answered_by_the_last_notebook_that_answers_it(results):
    show = recording(results, "smoke", "03_choice")
    show.say("Layer b48 of the recommended network.", answers="Which layer is worst, and why?")
    found = {answer.question: answer for answer in read_answers(results)}
    assert list(found) == ["Which layer is worst, and why?", "Which network for the budget?"]
    assert found["Which layer is worst, and why?"].chapter == "03_choice"


def test_a_cell_shows_all_its_sentences_though_it_ends_with_something_else(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("effnet_lab.regress.showing._cell", lambda: 3)
    monkeypatch.setattr("IPython.display.display", shown.append)
    show = recording(tmp_path, "smoke", "02_layers")
    shown.clear()  # the style of the page
    show.say("First.")
    show.say("Second.", answers="Which?")
    show.say("Third.", answers="Whose?", shown=True)  # by a widget: recorded, and not said again
    assert [said.data for said in shown] == ["First.", "**Second.**"]
    assert [item.title for item in show.manifest.items] == ["First.", "Second.", "Third."]


def test_a_table_says_its_title_once_and_is_printed_also_if_it_is_folded(results):
    assert write_report(results).read_text(encoding="utf-8").count("Some layers") == 1
    show = recording(results, "smoke", "02_layers")
    show(shown_table(pd.DataFrame({"layer": ["b"], "n_images": [6000]}), title="Some <i>", name="some", folded=True))
    page = write_report(results).read_text(encoding="utf-8")
    assert page.count("Some &lt;i&gt;") == page.count("<summary>Some &lt;i&gt;</summary><div") == 1
    printing = page[page.index('"beforeprint"') :]
    assert 'document.querySelectorAll("details:not([open])")) { fold.open = true' in printing


def test_a_table_keeps_its_shape_where_its_style_sheet_is_taken_away():
    """JupyterLab does so in a notebook that it does not trust."""
    html = shown_table(pd.DataFrame({"guard": ["a long text " * 9], "n_images": [6000]}))._repr_html_()
    bare = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", html, flags=re.DOTALL)
    assert '<div class="effnet-table" style="max-height: 48rem; overflow: auto">' in bare
    assert '<span class="long" style="display: block; min-width: 12rem">a long text' in bare
    assert re.findall(r'<t[hd][^>]*gt_(left|right)"([^>]*)', bare)[0][1].startswith(' style="text-align: left')


def test_two_notebooks_that_show_things_of_one_name_keep_their_own(results):
    import plotly.graph_objects as go

    for number in (1, 2):  # run again, they find their own names
        show = recording(results, "smoke", "03_choice")
        show(go.Figure(layout={"title": "Another figure"}), "layers")
        show(shown_table(pd.DataFrame({"layer": ["other"], "n_images": [number]}), name="some"))
        show.say("Another sentence.", answers="Another question?", about="layers")
    assert [item.name for item in show.manifest.items] == ["03_choice-layers", "03_choice-some", ""]
    first, second = read_chapters(results)
    (table_1,), (table_2,) = ([block.html for block in one.blocks if block.kind == "table"] for one in (first, second))
    assert ("b&lt;i&gt;" in table_1, "other" in table_1) == (True, False)
    assert ("b&lt;i&gt;" in table_2, "other" in table_2) == (False, True)
    assert read_answers(results)[-1].figure == "03_choice-layers"
    drawn = json.loads((results / "figures" / "layers.json").read_bytes())
    assert drawn["layout"]["title"]["text"] == "Title of <b>layers</b>"


def test_report_shows_the_comparison(results, tmp_path):
    baselines = tmp_path / "baselines"
    bless(results, baselines)
    report = write_report(results, moved=check(results, baselines)).read_text(encoding="utf-8")
    assert "Nothing moved since the baseline: " in report
    worse = table(
        frames.LAYER_ERROR, [{"model": "mine0", "scheme": "static_wi8_ai8", "layer_index": 3, "layer": "b3<i>"}]
    )
    record(worse.assign(sqnr_accumulated_db=10.0), "layer_error", results, **SMOKE)
    text = write_report(results, moved=check(results, baselines)).read_text()
    assert "1 number moved since the baseline" in text
    assert "look at layer 3 &#39;b3&lt;i&gt;&#39;" in text


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="Nothing was recorded"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
    assert summary(tmp_path).empty


def test_text_is_rendered_and_html_in_it_is_not():
    assert inline("**A** `b` [c](#d) <i>") == '<strong>A</strong> <code>b</code> <a href="#d">c</a> &lt;i&gt;'
    assert prose("## H\n\n| a | b |\n|---|---|\n| 1 | 2 |").startswith("<h3>H</h3>\n<table>")
    assert split_heading("# Why *so*?\n\nBecause.") == ("Why <em>so</em>?", "\nBecause.")
    assert split_heading("Because.") == ("", "Because.")


@pytest.mark.browser
@pytest.mark.skipif(lab_driver.CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)")
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_a_browser_draws_the_report_without_a_network(results, width):
    report = write_report(results)
    said, asked = [], []
    with lab_driver.open_browser() as browser:
        page = browser.new_context(viewport={"width": width, "height": 800}, offline=True).new_page()
        page.set_default_timeout(lab_driver.PATIENCE_MS)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_function("document.querySelectorAll('.plot svg.main-svg').length >= 2")
        page.wait_for_function("document.querySelectorAll('.plot svg.main-svg .scatterlayer .point').length >= 10")
        points = page.locator(".plot svg.main-svg .scatterlayer .point").count()
        page.locator(".plot .nsewdrag").first.hover()
        scrolls = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert points == 10
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert not scrolls
