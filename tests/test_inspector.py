"""The inspector: what it shows are the numbers of the API; the page works by mouse and by keys, and asks nobody for anything."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import lab_driver
import numpy as np
import portpicker
import pytest
from axe_playwright_python.sync_playwright import Axe
from lab_driver import CHROMIUM
from typer.testing import CliRunner

from effnet_lab.analysis import layer_error, verdicts
from effnet_lab.cli import app
from effnet_lab.images import StatedInput, open_images
from effnet_lab.names import UserError
from effnet_lab.paths import notebooks_dir
from effnet_lab.regress import own_file
from effnet_lab.regress.parameters import read_parameters
from effnet_lab.studies.inspection import inspection
from effnet_lab.studies.inspection.look import error_map
from effnet_lab.view.inspector import error_data, inspector_page, verdict_data
from effnet_lab.view.inspector.page import as_json

GRAVE = ("serious", "critical")
INT8, INT4, FLOAT = "static_wi8_ai8 ai_edge_quantizer", "static_wi4_ai8 ai_edge_quantizer", "float32 converter"
EVIL = "<!--<script>alert(1)</script>" + "x" * 300


@pytest.fixture(scope="module")
def payload(files):
    return inspection([files[INT8], files[INT4]], "scenes", float_models=[files[FLOAT]], limit=4)


def test_the_numbers_are_those_of_the_api(files, payload):
    scenes = open_images("scenes", limit=4)
    errors = layer_error(files[INT8], scenes, float_model=files[FLOAT], notions=("accumulated", "local"))
    judged = verdicts(files[INT8], scenes, float_model=files[FLOAT])
    shown = payload["files"][0]["layers"]
    assert [layer["name"] for layer in shown] == list(errors.table["layer"])
    for name in ("sqnr_accumulated_db", "sqnr_local_db", "weight_sqnr_db", "saturation_share"):
        np.testing.assert_array_equal([layer["values"][name] for layer in shown], errors.table[name])
    assert [layer["verdict"] for layer in shown] == list(judged.table["verdict"])
    assert payload["files"][0]["summary"].endswith(judged.closing[-1])


def test_ctrl_c_makes_no_page_on_some_of_the_images(files):
    """Nobody would see that the page is of less."""

    def stopping(work, total):
        yield from itertools.islice(work, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspection([files[INT8]], "scenes", limit=4, progress=stopping)


def test_histograms_count_every_value_and_channels_come_worst_first(payload):
    for layer in payload["files"][0]["layers"]:
        histogram, channels = layer["histogram"], layer["channels"]
        assert sum(histogram["float"]) == sum(histogram["quantized"]) > 0
        errors = [error for error in channels["error"] if not np.isnan(error)]
        assert errors == sorted(errors)


def test_pictures_whose_answer_changes_come_first(payload):
    for file in payload["files"]:
        changed = [picture["changed"] for picture in file["pictures"]]
        assert changed == sorted(changed, reverse=True)
        for picture in file["pictures"]:
            assert picture["changed"] == (picture["float_top"][0][0] != picture["quantized_top"][0][0])
            assert sum(score for _, score in picture["float_top"]) <= 1 + 1e-6


def test_an_error_map_is_the_mean_over_channels():
    difference = np.zeros((1, 4, 60, 2))
    difference[0, 1, 30] = [3.0, -1.0]  # mean absolute error 2
    found = error_map(difference)
    assert (found["width"], found["height"]) == (20, 4)
    codes = np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(4, 20)
    assert found["peak"] == pytest.approx(2 / 3)  # three columns share one place of the map
    assert codes[1, 10] == 255
    assert np.count_nonzero(codes) == 1
    assert error_map(np.zeros((1, 10))) is None


def test_more_than_four_files_are_refused(files):
    with pytest.raises(UserError, match="1 to 4 files"):
        inspection([files[INT8]] * 5, "scenes")


@pytest.mark.parametrize("asked", ["report", "page"])
def test_what_is_said_of_the_files_is_handed_on(monkeypatch, tmp_path, asked):
    """What the input is, and that a float model of another network is wanted: as the notebook takes it, and the page."""
    seen, file = {}, tmp_path / "model.tflite"
    file.touch()
    monkeypatch.setattr(own_file, "execute_notebooks", lambda *_, parameters, **__: seen.update(parameters))
    monkeypatch.setattr(own_file, "write_report", lambda folder: folder / "report.html")
    monkeypatch.setattr("effnet_lab.studies.inspection.inspection", lambda *_, **given: seen.update(given) or {})
    monkeypatch.setattr("effnet_lab.view.inspector.inspector_page", lambda *_, **__: "")
    words = ["inspect", str(file), "--images", "scenes", "--anyway", "--mean", "0", "--std", "1,2,3", "--crop", "none"]
    words += ["--no-open", *(["--html", str(tmp_path / "page.html")] if asked == "page" else ["--out", str(tmp_path)])]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert seen["anyway"] is True
    if asked == "page":
        assert seen["preprocess"] == StatedInput(mean="0", std="1,2,3", crop="none")
    else:
        read = read_parameters(notebooks_dir() / "02_quantization_error.ipynb")
        assert seen.keys() <= read.keys()
        stated = {name: seen[name] for name in ("mean", "std", "crop")}
        assert stated == {"mean": "0", "std": "1,2,3", "crop": "none"}
        assert "size" not in seen
        own_file.inspect_file(file, "scenes", preprocess=StatedInput(mean=0.0, std=(1, 2, 3)), out=tmp_path)
        assert (seen["mean"], seen["std"]) == ("0.0", "1,2,3")


@pytest.mark.real
def test_a_network_that_takes_no_pictures_has_no_map(shared, tmp_path):
    np.save(tmp_path / "mfcc.npy", np.random.default_rng(0).normal(0, 20, (3, 49, 10, 1)).astype(np.float32))
    found = inspection([shared / "fixtures/wild/mlcommons__kws_ref_model.tflite"], tmp_path / "mfcc.npy")
    assert found["files"][0]["pictures"] == []
    assert all(layer["maps"] == [] for layer in found["files"][0]["layers"])
    assert "over 3 samples" in found["files"][0]["summary"]


def test_no_name_ends_the_page(payload):
    page = inspector_page(json.loads(json.dumps(payload).replace("stem_conv", EVIL.replace('"', ""))), title=EVIL)
    assert "<!--<script>alert" not in page
    (stored,) = re.findall(r'<script type="application/json" id="payload">(.*?)</script>', page, re.DOTALL)
    assert json.loads(stored)["files"][0]["layers"][0]["name"].startswith("<!--<script>")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium from the system's packages")
    with lab_driver.open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(payload, browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("inspector") / "page.html"
    path.write_text(inspector_page(payload), encoding="utf-8")
    opened, traffic = lab_driver.new_page(browser, height=900)
    opened.goto(path.as_uri())
    opened.wait_for_selector(".effnet-inspector h2")
    yield opened
    assert traffic.errors == []
    assert [url for url in traffic.foreign if not url.startswith(("file:", "data:"))] == []


def chosen(page) -> str:
    return page.locator("section.layer h2").inner_text()


@pytest.mark.browser
def test_an_outcome_of_an_earlier_state_is_not_said_to_be_of_this_one(payload, browser, tmp_path):
    """A kernel that is busy may answer for the switches as they were after one has been flipped."""
    html = inspector_page(payload).replace(
        'const inspector = mount(document.getElementById("inspector"), payload);',
        'window.asked = []; const inspector = mount(document.getElementById("inspector"), payload, (one) => asked.push(one));'
        "window.inspector = inspector;",
    )
    (tmp_path / "live.html").write_text(html, encoding="utf-8")
    opened, traffic = lab_driver.new_page(browser)
    opened.goto((tmp_path / "live.html").as_uri())
    layer = payload["files"][0]["layers"][0]["name"]
    status = opened.locator(".status")

    def hear(**answer):
        opened.evaluate("answer => inspector.hear(answer)", answer)

    def outcome(recipe):
        numbers = {"recipe": recipe, "n_run": 3, "n_ops": 9, "n_images": 4, "sqnr_db": 20, "agreement": 1, "top1": None}
        return {
            "now": numbers | {"size_bytes": 1, "arena_bytes": 1},
            "given": numbers | {"size_bytes": 1, "arena_bytes": 1},
        }

    options = {layer: [{"format": name, "reason": ""} for name in ("int8", "float32")]}
    states = {name: {"recipe": name, "chosen": {layer: name}, "can_undo": False} for name in ("int8", "float32")}
    opened.locator('rect[data-layer="0"][data-row="0"]').click()
    hear(kind="switches", options=options, **states["int8"])
    opened.locator('.precisions input[value="float32"]').check()
    assert opened.evaluate("asked.at(-1)")["format"] == "float32"
    hear(kind="outcome", cpu_s=1.0, before=None, **outcome("int8"))
    hear(kind="state", **states["float32"])
    assert status.inner_text() == "Working."
    hear(kind="outcome", cpu_s=1.0, before=None, **outcome("float32"))
    assert status.inner_text() == "3 of 9 ops were run again, 1.00 s."
    assert traffic.errors == []
    opened.close()


@pytest.mark.browser
def test_a_layer_is_chosen_by_click_by_key_and_by_name(page, payload):
    names = [layer["name"] for layer in payload["files"][0]["layers"]]
    page.locator('rect[data-layer="2"][data-row="0"]').click()
    assert chosen(page) == names[2]
    page.locator("[role=slider]").first.focus()
    page.keyboard.press("ArrowRight")
    assert chosen(page) == names[3]
    page.keyboard.press("End")
    assert chosen(page) == names[-1]
    page.keyboard.press("Home")
    assert chosen(page) == names[0]
    page.locator("input[type=search]").fill(names[5])
    assert chosen(page) == names[5]
    page.locator("circle.dot").nth(1).dispatch_event("click")
    assert chosen(page) == names[1]


@pytest.mark.browser
def test_labels_beside_the_strips_tell_files_apart_where_they_are_cut(page, payload):
    shown = page.locator(".strips .name.key").all_inner_texts()
    assert shown == ["…wi8_ai8 ai_edge_quantizer", "…wi4_ai8 ai_edge_quantizer"]
    assert page.locator(".strips .name.key").first.get_attribute("title") == payload["files"][0]["label"]


def test_the_numbers_on_the_screen_are_those_of_the_payload(page, payload):
    layer = payload["files"][0]["layers"][3]
    page.locator('rect[data-layer="3"][data-row="0"]').click()
    card = page.locator("section.layer article").first
    shown = dict(zip(card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts(), strict=True))
    assert shown == dict(layer["facts"])
    assert layer["sentence"] in card.inner_text()
    assert page.locator("section.layer article").count() == 2  # the other file's layer beside it
    track = page.locator("[role=slider]").first
    assert layer["name"] in track.get_attribute("aria-valuetext")


@pytest.mark.browser
def test_another_picture_and_another_measure_change_what_is_drawn(page):
    canvas = "() => document.querySelector('section.layer canvas').toDataURL()"
    page.locator('rect[data-layer="1"][data-row="0"]').click()
    before = page.evaluate(canvas)
    page.locator("button.picture").nth(2).click()
    assert page.evaluate(canvas) != before
    assert page.locator("button.picture").nth(2).get_attribute("aria-pressed") == "true"
    colours = "() => [...document.querySelectorAll('rect[data-row=\"0\"]')].map(cell => cell.getAttribute('fill'))"
    accumulated = page.evaluate(colours)
    page.locator(".controls select").first.select_option("weight_sqnr_db")
    assert page.evaluate(colours) != accumulated
    assert page.locator(".legend").inner_text().startswith("60 dB good")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.locator("button[data-channel]").first.click()
    page.locator("details.steps summary").first.click()
    faults = [fault for fault in Axe().run(page).response["violations"] if fault["impact"] in GRAVE]
    page.emulate_media(color_scheme="light")
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []


@pytest.mark.browser
def test_everything_is_reached_and_used_by_keys_alone(page):
    """Tab comes by every control; each does by keys what it does by the mouse, and keeps the focus."""
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    kinds = (
        "() => { const e = document.activeElement;"
        " return e.dataset.channel !== undefined ? 'channel' : e.className || e.type || e.tagName; }"
    )
    seen = []
    for _ in range(120):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(kinds))
    for wanted in ("select-one", "search", "track", "SUMMARY", "channel", "range"):
        assert wanted in seen
    assert any(kind.startswith("picture") for kind in seen)
    page.locator("button.picture").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("button.picture").nth(1).get_attribute("aria-pressed") == "true"
    assert page.evaluate(kinds).startswith("picture")
    page.locator("button[data-channel]").nth(1).focus()
    page.keyboard.press("Space")
    assert page.locator("button[data-channel]").nth(1).get_attribute("aria-pressed") == "true"
    assert page.evaluate(kinds) == "channel"
    page.locator(".controls select").nth(1).focus()
    page.keyboard.press("ArrowDown")
    widths = page.evaluate(
        "() => [...document.querySelectorAll('rect[data-row=\"0\"]')].map(cell => +cell.getAttribute('width'))"
    )
    assert max(widths) > 2 * min(widths)
    page.keyboard.press("ArrowUp")


def test_a_channel_shows_its_range_and_its_weights(payload):
    layer = next(one for one in payload["files"][0]["layers"] if one["op"] == "depthwise")
    channels = layer["channels"]
    assert len(channels["weight_scale"]) == len(channels["weight_error"]) == len(channels["index"])
    assert len(set(channels["weight_scale"])) > 1  # one scale per channel
    assert min(channels["weight_error"]) > 20


@pytest.mark.browser
def test_six_hundred_layers_with_long_names(payload, browser, tmp_path):
    """Opened, searched, walked through; a name is text wherever it stands, and the page is no wider than its window."""
    found = json.loads(as_json({"metrics": payload["metrics"], "files": payload["files"][:1]}))
    layers = found["files"][0]["layers"]
    found["files"][0]["layers"] = [
        layers[i % len(layers)] | {"name": f"{i} {EVIL}", "parents": [f"{i - 1} {EVIL}"]} for i in range(600)
    ]
    path = tmp_path / "deep.html"
    path.write_text(inspector_page(found), encoding="utf-8")
    page, traffic = lab_driver.new_page(browser, height=900)
    page.goto(path.as_uri())
    page.locator("[role=slider]").first.focus()
    page.keyboard.press("End")
    assert chosen(page) == f"599 {EVIL}"
    page.locator("input[type=search]").fill(f"300 {EVIL}")
    assert chosen(page) == f"300 {EVIL}"
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert path.stat().st_size < 12_000_000
    assert traffic.errors == []


def _address(log: Path, process: subprocess.Popen, timeout_s: float = 400) -> str:
    """What the server prints when it is ready."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S*", log.read_text()):
            return found.group()
        time.sleep(0.1)
    raise RuntimeError(log.read_text()[-2000:])


@pytest.mark.browser
def test_model_explorer_opens_the_overlay(files, payload, browser, tmp_path):
    """In its own package: its adapter's nodes are the ones that are named, and its page takes the numbers."""
    from model_explorer.builtin_tflite_flatbuffer_adapter import BuiltinTfliteFlatbufferAdapter

    errors, verdicts_file = tmp_path / "errors.json", tmp_path / "errors.verdicts.json"
    errors.write_text(error_data(payload))
    verdicts_file.write_text(verdict_data(payload))
    (graph,) = BuiltinTfliteFlatbufferAdapter().convert(str(files[INT8]), {})["graphCollections"][0].graphs
    ((name, data),) = json.loads(errors.read_text()).items()
    assert name == graph["id"]
    labels = {node["id"]: node["label"] for node in graph["nodes"]}
    ops = {str(layer["node"]): layer["op"] for layer in payload["files"][0]["layers"]}
    assert set(data["results"]) <= set(labels)
    assert {labels[node] for node in data["results"] if ops[node] == "depthwise"} == {"depthwise_conv_2d"}
    port, log = portpicker.pick_unused_port(), tmp_path / "log.txt"
    words = [
        "model-explorer",
        str(files[INT8]),
        "--no_open_in_browser",
        "--host=127.0.0.1",
        "--skip_health_check",
        f"--port={port}",
    ]
    words.append(f"--node_data_paths={errors},{verdicts_file}")
    with log.open("wb") as out:
        process = subprocess.Popen([str(Path(sys.executable).with_name(words[0])), *words[1:]], stdout=out, stderr=out)
        try:
            page, _traffic = lab_driver.new_page(browser)
            page.goto(_address(log, process))
            page.get_by_text("accumulated SQNR").first.wait_for()
            page.get_by_text("verdict").first.wait_for()
            first = payload["files"][0]["layers"][0]
            rows = page.locator("tr", has_text=str(first["values"]["sqnr_accumulated_db"]))
            rows.filter(has_text=first["verdict"]).first.wait_for()  # beside the row of the largest value
        finally:
            lab_driver.stop_server(process)
