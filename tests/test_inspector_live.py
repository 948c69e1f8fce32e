"""The live inspector in JupyterLab and in the app: switches are flipped by hand, and the numbers are those of the API."""

from __future__ import annotations

import io
import re
from pathlib import Path

import lab_driver as lab
import nbformat
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from nbformat.sign import NotebookNotary
from PIL import Image

from effnet_lab.images import open_images
from effnet_lab.names import UserError
from effnet_lab.regress.widget_state import replace_widgets
from effnet_lab.studies.inspection import WhatIf, live_inspection
from effnet_lab.studies.inspection.blocks import block_of
from effnet_lab.view import InspectorView

INT8, FLOAT = "static_wi8_ai8 ai_edge_quantizer", "float32 converter"
N = 4
OPEN = """from effnet_lab.studies.inspection import live_inspection
from effnet_lab.view import InspectorView

opened = live_inspection([{quantized!r}], "scenes", float_models=[{float_model!r}], limit={n}, out={out!r})
InspectorView(opened.payload, opened.desk)"""


@pytest.fixture(scope="module")
def work(files, tmp_path_factory):
    """Folder with a notebook that opens the inspector."""
    if lab.CHROMIUM is None:
        pytest.skip("needs Chromium from the system's packages")
    folder = tmp_path_factory.mktemp("inspector_live") / "work"
    folder.mkdir()
    given = {"quantized": str(files[INT8]), "float_model": str(files[FLOAT]), "n": N, "out": str(folder / "written")}
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(OPEN.format(**given))],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(book, folder / "inspector.ipynb")
    return folder


@pytest.fixture(scope="module")
def what_if(files):
    return WhatIf(files[INT8], "scenes", float_model=files[FLOAT], limit=N)


class Hand:
    """What a hand does with the inspector on a page."""

    def __init__(self, page) -> None:
        self.page, self.box = page, page.locator(".effnet-inspector").first

    def choose(self, index: int) -> str:
        self.box.locator(f'rect[data-layer="{index}"][data-row="0"]').click()
        return self.chosen()

    def chosen(self) -> str:
        return self.box.locator("section.layer h2").inner_text()

    def flip(self, format: str) -> None:
        self.box.locator(f'.precisions input[value="{format}"]').check()

    def flip_by_key(self) -> None:
        """To the last precision: it comes before the first."""
        self.box.locator('.precisions input[value="int8"]').focus()
        self.page.keyboard.press("ArrowUp")

    def result(self, recipe: str) -> dict[str, str]:
        """The column "now", once the recipe is that and its numbers are there."""
        self.page.wait_for_function(
            "recipe => { const box = document.querySelector('.effnet-inspector');"
            " return box.querySelector('textarea').value === recipe"
            " && / ops were run again/.test(box.querySelector('.status').textContent); }",
            arg=recipe,
        )
        rows = self.box.locator(".result tbody tr")
        return {
            rows.nth(i).locator("th").inner_text(): rows.nth(i).locator("td").last.inner_text()
            for i in range(rows.count())
        }


def said(outcome) -> dict[str, str]:
    """The same numbers, as the front end writes them."""

    def share(value: float) -> str:
        return f"{100 * value:.1f} %"

    top1 = f"{share(outcome.top1)} ({share(outcome.top1_lo)} to {share(outcome.top1_hi)})"
    return {
        "SQNR of the logits": f"{outcome.sqnr_db:.1f} dB", "same answer as float": share(outcome.agreement), "top-1": top1,
        "file": f"{outcome.size_bytes / 1024:.1f} KiB", "arena, planned": f"{outcome.arena_bytes / 1024:.1f} KiB",
    }  # fmt: skip


def require_same(shown: dict[str, str], outcome) -> None:
    assert {name: shown[name] for name in said(outcome)} == said(outcome)


@pytest.mark.browser
def test_three_switches_in_jupyterlab(work, what_if):
    url, process = lab.start_server("lab", work)
    try:
        with lab.open_browser() as browser:
            page, traffic = lab.new_page(browser, height=1800)
            lab.open_notebook(page, url, "inspector.ipynb")
            lab.run_all(page)
            page.wait_for_selector(".effnet-inspector .precisions input")
            hand = Hand(page)
            cells = page.locator(".jp-Cell").count()
            _walk_by_keys(page, hand, what_if)
            assert page.locator(".jp-Cell").count() == cells  # no key was taken for one of JupyterLab's shortcuts
            _flip_three(page, hand, what_if)
            _use_the_other_controls(page, hand, what_if)
            assert hand.box.locator(".chip").all_inner_texts() == ["f", "16"]
            _change_the_picture(hand)
            _click_the_map(hand)
            _drop_a_picture(hand)
            _save_the_recipe(page, what_if)
            page.get_by_role("button", name="Write the file").click()
            page.wait_for_selector(".effnet-inspector .status:has-text('effnet-lab export')")
            assert (work / "written" / "quantized.tflite").read_bytes() == what_if.outcome().content
            _reload(page, hand, what_if.switches.recipe.text)
            _reopen_without_its_kernel(page, url, hand, what_if.switches.recipe.text)
            _reopen_executed(page, url, work)
            assert traffic.errors == []
            assert traffic.foreign == []
    finally:
        lab.stop_server(process)


def _walk_by_keys(page, hand: Hand, what_if) -> None:
    """With the strip in focus: the ends, the next one, and a name that is typed. What is used keeps the focus."""
    layers = [switch.layer for switch in what_if.switches.layers]
    hand.box.locator("[role=slider]").first.focus()
    for key, at in (("End", -1), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        assert hand.chosen() == layers[at]
    page.keyboard.type(layers[4])
    assert hand.chosen() == layers[4]
    focused = page.locator(".effnet-inspector :focus")
    hand.box.locator("button.picture").nth(2).focus()
    for key in ("Enter", "x"):  # JupyterLab would cut the cell
        page.keyboard.press(key)
        assert focused.get_attribute("aria-pressed") == "true"
    hand.box.locator(".opacity input").first.focus()
    for opacity in ("71", "72"):
        page.keyboard.press("ArrowUp")
        assert focused.input_value() == opacity


def _flip_three(page, hand: Hand, what_if) -> None:
    """Three layers opened and flipped; the last flip is taken back."""
    layers = [switch.layer for switch in what_if.switches.layers]
    for index, format in ((0, "float32"), (2, "int16x8"), (5, "int8-per-tensor")):
        assert hand.choose(index) == layers[index]
        hand.flip(format) if index else hand.flip_by_key()
        require_same(hand.result(what_if.flip([layers[index]], format).recipe), what_if.outcome())
    page.get_by_role("button", name="Undo").click()
    require_same(hand.result(what_if.undo().recipe), what_if.outcome())


def _change_the_picture(hand: Hand) -> None:
    """The map of the layer is that of the picture."""
    caption = hand.box.locator("section.layer figcaption").first
    before = caption.inner_text()
    hand.box.locator("button.picture").nth(1).click()
    assert hand.box.locator("button.picture").nth(1).get_attribute("aria-pressed") == "true"
    assert caption.inner_text() != before


def _save_the_recipe(page, what_if) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save recipe").click()
    assert download.value.path().read_text().strip() == what_if.switches.recipe.text


def _use_the_other_controls(page, hand: Hand, what_if) -> None:
    """Redo, groups of layers, the comparison, the latency measured; then a pasted recipe leads back."""
    recipe, switches = what_if.switches.recipe.text, what_if.switches
    page.get_by_role("button", name="Redo").click()
    require_same(hand.result(what_if.redo().recipe), what_if.outcome())
    layer = hand.choose(6)
    groups = {"block": switches.block(layer, block_of), "op": switches.alike(layer), "after": switches.after(layer)}
    for (scope, group), format in zip(groups.items(), ("float32", "int16x8", "int8"), strict=True):
        assert len(group) > 1
        hand.box.locator(".what-if select").select_option(scope)
        hand.flip(format)
        require_same(hand.result(what_if.flip(group, format).recipe), what_if.outcome())
    columns = hand.box.locator(".result thead th")
    assert columns.all_inner_texts() == ["as given", "before", "now"]
    page.get_by_role("button", name="Compare with before").click()
    assert columns.all_inner_texts() == ["as given", "now"]
    page.get_by_role("button", name="Measure the latency").click()
    hand.box.locator(".result td", has_text="ms, measured").wait_for()
    hand.box.locator("textarea").fill(recipe)
    page.get_by_role("button", name="Apply the text").click()
    require_same(hand.result(what_if.set(recipe).recipe), what_if.outcome())


def _click_the_map(hand: Hand) -> None:
    """A click on the map walks through a value there."""
    hand.choose(2)
    hand.box.locator(".map").first.click(position={"x": 20, "y": 30})
    summary = hand.box.locator("details.steps[open] summary")
    summary.wait_for()
    assert re.search(r"at \d+,\d+,\d+", summary.inner_text())


def _drop_a_picture(hand: Hand) -> None:
    """A picture of one's own is seen by both networks."""
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(content, "PNG")
    before = hand.box.locator("button.picture").count()
    hand.box.locator("input[type=file]").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": content.getvalue()}
    )
    hand.box.locator(".picture img[alt='mine.png 0']").wait_for()
    assert hand.box.locator("button.picture").count() == before + 1


def _reload(page, hand: Hand, recipe: str) -> None:
    """A saved notebook that is opened again shows where it stood."""
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "inspector.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    page.reload()
    page.wait_for_selector(".effnet-inspector .precisions input")
    assert hand.box.locator("textarea").input_value() == recipe
    assert hand.box.locator(".chip").all_inner_texts() == ["f", "16"]


def _reopen_without_its_kernel(page, url: str, hand: Hand, recipe: str) -> None:
    """Another day there is nobody who answers: the state is there to be read, and nothing waits for an answer."""
    for session in lab.ask(url, "api/sessions", "GET", None):
        lab.ask(url, f"api/sessions/{session['id']}", "DELETE", None)
    page.reload()
    hand.box.locator("textarea").wait_for()
    page.wait_for_selector("#jp-main-statusbar :text('| Idle')")
    assert hand.box.locator("textarea").input_value() == recipe
    assert "in a live notebook they can be set" in hand.box.locator(".status").inner_text()
    assert hand.box.locator(".precisions").count() == 0


def _reopen_executed(page, url: str, work: Path) -> None:
    """What a run writes: shown by no kernel and no widget; where it is not trusted, a sentence says what to do."""
    notebook = nbformat.read(work / "inspector.ipynb", as_version=4)
    replace_widgets(notebook)
    for name in ("executed", "unsigned"):
        nbformat.write(notebook, work / f"{name}.ipynb")
        notebook.metadata["title"] = "another, for a signature is of the content"
    notary = NotebookNotary(data_dir=str(work.with_name(f"{work.name}.home") / "data"))
    notary.sign(nbformat.read(work / "executed.ipynb", as_version=4))
    notary.store.close()
    page.add_init_script(
        "new MutationObserver(() => { if (document.body?.textContent.includes('Loading widget')) window.waited = true; })"
        ".observe(document, { childList: true, subtree: true, characterData: true });"
    )
    page.goto(lab.address(url, "lab/tree/executed.ipynb?reset"))
    assert page.frame_locator("iframe").locator("section.layer h2").inner_text()
    assert page.evaluate("() => window.waited") is None
    page.goto(lab.address(url, "lab/tree/unsigned.ipynb?reset"))
    page.get_by_text("Trust Notebook").wait_for()
    assert page.locator("iframe").count() == 0


@pytest.mark.browser
def test_three_switches_in_the_app(work, what_if):
    what_if.switches.set("int8")
    url, process = lab.start_server("app", work)
    try:
        with lab.open_browser() as browser:
            page, traffic = lab.new_page(browser, height=1800)
            page.goto(lab.address(url, "voila/render/inspector.ipynb"))
            page.wait_for_selector(".effnet-inspector .precisions input")
            hand = Hand(page)
            _walk_by_keys(page, hand, what_if)
            _flip_three(page, hand, what_if)
            assert hand.box.locator(".chip").all_inner_texts() == ["f", "16"]
            _change_the_picture(hand)
            _click_the_map(hand)
            _drop_a_picture(hand)
            _save_the_recipe(page, what_if)
            page.reload()  # the app runs its notebook anew for each visit, and ends the kernel of the last one
            page.wait_for_selector(".effnet-inspector .precisions input")
            assert hand.box.locator("textarea").input_value() == "int8"
            assert hand.box.locator(".chip").count() == 0
            assert "Kernel shutdown" in (work.with_name(f"{work.name}.home") / "app.log").read_text()
            assert traffic.errors == []
            assert traffic.foreign == []
    finally:
        lab.stop_server(process)


@pytest.fixture(scope="module")
def opened(files):
    return live_inspection([files[INT8]], "scenes", float_models=[files[FLOAT]], limit=2)


@pytest.mark.browser
def test_every_state_is_a_parameter_and_the_page_without_a_kernel_shows_it(opened, tmp_path):
    layer = opened.payload["files"][0]["layers"][4]["name"]
    view = InspectorView(opened.payload, opened.desk, layer=layer, metric="weight_sqnr_db", picture=1, opacity=0.3)
    page_text = view._repr_mimebundle_()[0]["text/html"]
    assert "srcdoc" in page_text
    path = tmp_path / "saved.html"
    path.write_text(page_text, encoding="utf-8")
    with lab.open_browser() as browser:
        page, traffic = lab.new_page(browser)
        page.goto(path.as_uri())
        frame = page.frame_locator("iframe")
        assert frame.locator("section.layer h2").inner_text() == layer
        assert frame.locator(".controls select").first.input_value() == "weight_sqnr_db"
        assert frame.locator("button.picture").nth(1).get_attribute("aria-pressed") == "true"
        assert frame.locator(".opacity input").first.input_value() == "30"
        assert traffic.errors == []


@pytest.mark.parametrize(
    "state",
    [{"layer": "no_such"}, {"metric": "no_such"}, {"picture": 99}, {"opacity": 2.0}],
    ids=lambda state: next(iter(state)),
)
def test_a_state_that_is_not_there_is_refused(opened, state):
    with pytest.raises(UserError):
        InspectorView(opened.payload, **state)


def test_a_recipe_is_a_state_too(opened):
    layer = opened.payload["files"][0]["layers"][1]["name"]
    view = InspectorView(opened.payload, opened.desk, recipe=f"int8; {layer}=float32")
    assert view.answers["state"]["chosen"][layer] == "float32"
    assert view.answers["outcome"]["now"]["sqnr_db"] != view.answers["outcome"]["given"]["sqnr_db"]
    assert f"{layer}=float32" in view.page()


@pytest.mark.browser
def test_the_switches_are_used_by_keys_and_have_no_serious_fault_of_accessibility(opened, tmp_path):
    """The front end with somebody who listens, and what a desk has answered."""
    layer = opened.payload["files"][0]["layers"][1]["name"]
    view = InspectorView(opened.payload, opened.desk, recipe=f"int8; {layer}=float32")
    view.layer = layer
    silent = 'mount(document.getElementById("inspector"), payload);'
    text = view.page()
    assert silent in text
    listening = silent.replace(");", ", (question) => window.questions.push(question));")
    path = tmp_path / "listening.html"
    text = text.replace(silent, listening).replace("const payload =", "window.questions = [];\nconst payload =")
    path.write_text(text, encoding="utf-8")
    with lab.open_browser() as browser:
        page, traffic = lab.new_page(browser)
        page.goto(path.as_uri())
        radio = page.locator('.precisions input[value="float32"]')
        assert radio.is_checked()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            faults = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
            assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []
        radio.focus()
        page.keyboard.press("ArrowUp")  # int16 activations
        page.get_by_role("button", name="Undo").press("Enter")
        asked = [question for question in page.evaluate("() => window.questions") if question["kind"] != "range"]
        flip = {"kind": "flip", "layer": layer, "scope": "layer", "format": "int16x8"}
        assert asked == [flip, {"kind": "undo"}]
        assert traffic.errors == []


def test_the_value_under_the_click_is_the_worst_of_its_place(opened, files):
    pair = opened.found.opened[0].pairs[2]
    question = {"file": 0, "layer": pair.layer, "picture": 0, "y": 3, "x": 5, "channel": -1}
    answer = opened.explain(question)
    y, x, channel = (int(part) for part in answer["steps"]["at"].split(","))
    reference, quantized = opened.found.opened[0].values(pair)
    error = np.abs(reference - quantized)[0]
    step = -(-error.shape[0] // 28)
    block = error[3 * step : 4 * step, 5 * step : 6 * step]
    assert error[y, x, channel] == block.max()
    fixed = opened.explain(question | {"channel": 1})
    assert fixed["steps"]["at"].endswith(",1")
    with pytest.raises(UserError):
        opened.explain(question | {"picture": 99})


def test_the_switches_begin_at_the_loss_that_the_page_shows(files):
    """The same kernels run both: XNNPACK's answers are not those of the plain ones."""
    for kernels in ("xnnpack", "builtin"):
        opened = live_inspection([files[INT8]], "scenes", float_models=[files[FLOAT]], limit=4, kernels=kernels)
        logits = opened.payload["files"][0]["layers"][-2]  # before the softmax
        assert opened.session().given.sqnr_db == pytest.approx(logits["values"]["sqnr_accumulated_db"], abs=1e-5)


def test_pictures_of_a_file_are_those_of_the_data_set(opened):
    images = open_images("scenes", limit=2)
    assert {picture["name"].split(",")[0] for picture in opened.payload["files"][0]["pictures"]} == {
        f"{images.name} {i}" for i in range(2)
    }
