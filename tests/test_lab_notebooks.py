"""Every notebook in a real JupyterLab, and some in the app: they run, show their plots, and answer a hand."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from test_notebooks import IN_LAB, QUICK, require_recorded

from effnet_lab.paths import notebooks_dir

lab = pytest.importorskip("lab_driver", reason="playwright is not installed (pip install effnet-lab[dev])")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(lab.CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)"),
]
RESTING = {  # states of QUICK from which a hand below would have nothing to move
    "01_scaling": {"mode": "multipliers", "width": "1.0", "column": "madds", "y": "params"},
    "02_quantization_error": {"layer": "", "notions": "['accumulated']"},
    "03_tradeoffs": {"x": "p50_ms", "max_flash_kib": "0", "min_top1": "0"},
    "06_deploy": {"format": "int8", "device": "nrf52840"},
}


def test_what_runs_here_alone_runs_in_its_quick_state():
    assert not set(IN_LAB) & RESTING.keys()
    assert set(IN_LAB) <= QUICK.keys()


def make_quick(path: Path) -> None:
    """Write into the parameters cell what a reader would type to be quick."""
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    for name, value in (QUICK[path.stem] | RESTING.get(path.stem, {})).items():
        pattern = rf"^{name}: (\w+) = .*?(  #.*)$"
        assert re.search(pattern, cell.source, re.MULTILINE), name
        cell.source = re.sub(
            pattern,
            lambda found, name=name, value=value: (
                f"{name}: {found[1]} = {repr(value) if found[1] == 'str' else value}{found[2]}"
            ),
            cell.source,
            flags=re.MULTILINE,
        )
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with lab.open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """JupyterLab from `effnet-lab lab` on its work folder, the notebooks made quick: (address, folder).

    All notebooks have one kernel, so that TensorFlow is loaded once.
    """
    folder = tmp_path_factory.mktemp("lab") / "work"
    url, process = lab.start_server("lab", folder)
    kernel = ""
    for path in sorted(folder.glob("*.ipynb")):
        make_quick(path)
        kernel = lab.share_kernel(url, path.name, kernel)
    yield url, folder
    lab.stop_server(process)


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[str]:
    """The app, dark: its address."""
    folder = tmp_path_factory.mktemp("app") / "work"
    url, process = lab.start_server("app", folder, "--theme", "dark")
    for path in folder.glob("*.ipynb"):
        make_quick(path)
    yield url
    lab.stop_server(process)


def find(plots: list[dict], title: str) -> int:
    return next(i for i, plot in enumerate(plots) if plot["title"].startswith(title))


def choose(page, menu: str, label: str) -> None:
    page.locator(".widget-dropdown", has_text=menu).locator("select").first.select_option(label=label)


def move_width(page) -> None:
    """The first slider of 01 moves the star."""
    before = lab.plots(page)
    yours = find(before, "The family, and where your network stands")
    handle = page.locator(".widget-slider:visible .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    after = lab.wait_for_change(page, yours, before)
    star = [next(t for t in plots[yours]["traces"] if t["name"] == "yours")["x"][0] for plots in (before, after)]
    assert star[1] > star[0] == 385_187_552


def open_a_layer(page) -> None:
    """The menu of 02 opens the values of another layer."""
    before = lab.plots(page)
    values = find(before, "Values of")
    choose(page, "layer", "0: stem_conv")
    after = lab.wait_for_change(page, values, before)
    assert after[values]["title"] == "Values of stem_conv"
    assert {trace["name"] for trace in after[values]["traces"]} >= {"float", "quantized"}


def switch_axes(page) -> None:
    """The menu of 03 changes what is on the x axis; a budget that nothing keeps takes the ring away and says so."""
    before = lab.plots(page)
    front = find(before, "Top-1 accuracy against")
    choose(page, "x axis", "file size (bytes)")
    after = lab.wait_for_change(page, front, before)
    assert after[front]["xaxis"] == "file size (bytes)"
    assert "take this" in names(after[front])
    page.locator(".widget-slider", has_text="at most KiB flash").locator(".noUi-handle").press("ArrowRight")
    lab.wait_for_change(page, front, after)
    page.get_by_text("nothing fits").first.wait_for()
    assert "take this" not in names(lab.plots(page)[front])


def choose_and_upload(page) -> None:
    """The menu of 04 opens another picture, the button one from the disk."""
    before = lab.plots(page)
    answers = next(i for i, plot in enumerate(before) if "picture" in names(plot))
    menu = page.locator(".widget-dropdown", has_text="picture").locator("select").first
    menu.select_option(index=5)
    after = lab.wait_for_change(page, answers, before)
    assert {"picture", "float32", "static_wi8_ai8"} <= names(after[answers])
    content = io.BytesIO()
    Image.new("RGB", (90, 60), "teal").save(content, "PNG")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="your picture").click()
    chooser.value.set_files({"name": "mine.png", "mimeType": "image/png", "buffer": content.getvalue()})
    mine = lab.wait_for_change(page, answers, after)
    assert mine[answers]["title"].startswith("mine.png: ")


def change_device(page) -> None:
    """The menus of 06: another board is held against the same numbers, another format has other numbers."""
    before = lab.plots(page)
    arena = next(i for i, plot in enumerate(before) if "alive in the fullest op" in names(plot))
    page.get_by_text(re.compile("fits on nrf52840")).first.wait_for()
    choose(page, "board", "stm32h747")
    page.get_by_text(re.compile("fits on stm32h747")).first.wait_for()
    choose(page, "format", "float32")
    after = lab.wait_for_change(page, arena, before)
    assert "float32" in after[arena]["title"]
    page.get_by_text(re.compile("takes none of the")).first.wait_for()


def names(plot: dict) -> set[str]:
    return {trace["name"] for trace in plot["traces"]}


HANDS = {
    "01_scaling": move_width, "02_quantization_error": open_a_layer, "03_tradeoffs": switch_axes,
    "04_classify": choose_and_upload, "06_deploy": change_device,
}  # fmt: skip


def test_lab_opens_the_first_steps_without_an_announcement(server, browser):
    url, _folder = server
    page, traffic = lab.new_page(browser)
    page.goto(url)  # the first page of this server: later ones find the tabs of the last
    page.wait_for_selector(lab.NOTEBOOK)
    assert page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel").all_inner_texts() == ["00_first_steps.ipynb"]
    page.get_by_text("Where do I start?").first.wait_for(state="attached")
    page.wait_for_timeout(2000)  # an announcement comes a moment after the page
    assert page.locator(".jp-toast-message, .jp-Dialog, .Toastify__toast").count() == 0
    page.wait_for_selector(f"{lab.NOTEBOOK} .cm-foldGutter", state="attached")  # code can be folded
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()


@pytest.mark.parametrize("name", sorted(path.stem for path in notebooks_dir().glob("*.ipynb")))
def test_notebook_runs_and_answers_in_jupyterlab(server, browser, name):
    url, folder = server
    page, traffic = lab.new_page(browser, height=6000)
    lab.open_notebook(page, url, f"{name}.ipynb")
    lab.run_all(page)
    lab.wait_for_plots(page, 1)
    require_recorded(folder / "results", name)
    if name in HANDS:
        HANDS[name](page)
    page.screenshot(path=folder.with_name(f"{name}.png"))
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()


def test_dark_jupyterlab_has_dark_figures(server, browser):
    url, _folder = server
    set_theme(url, "JupyterLab Dark")
    page, traffic = lab.new_page(browser, height=3000)
    lab.open_notebook(page, url, "00_first_steps.ipynb")
    lab.run_all(page)
    lab.wait_for_plots(page, 1)
    assert page.get_attribute("body", "data-jp-theme-light") == "false"
    assert brightness(page) < 0.3
    set_theme(url, "JupyterLab Light")
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()


def set_theme(url: str, theme: str) -> None:
    lab.ask(url, "lab/api/settings/@jupyterlab/apputils-extension:themes", "PUT", {"raw": json.dumps({"theme": theme})})


def brightness(page) -> float:
    """Of the ground of the first plot, 0 to 1."""
    colour = page.evaluate("getComputedStyle(document.querySelector('.js-plotly-plot .main-svg')).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 765


@pytest.mark.parametrize(
    ("theme", "name", "last"),
    [("dark", "01_scaling", "Specifications within the budgets"), ("light", "00_first_steps", "The family")],
)
def test_app_runs_and_answers_without_code(app, browser, theme, name, last):
    page, traffic = lab.new_page(browser, height=5000)
    page.goto(app)
    page.wait_for_selector(f"a[href*='{name}']")
    page.goto(lab.address(app, f"voila/render/{name}.ipynb?theme={theme}"))
    drawn = f"last => ({lab.READ_PLOTS})().some(plot => plot.title.startsWith(last))"
    page.wait_for_function(drawn, arg=last, timeout=1_200_000)  # cells come as they are done; then the kernel is free
    assert page.locator(".jp-InputArea-editor:visible, .jp-Cell-inputWrapper .cm-editor:visible").count() == 0
    assert (brightness(page) < 0.3) == (theme == "dark")
    if name in HANDS:
        HANDS[name](page)
    assert (traffic.foreign, traffic.errors) == ([], [])
    page.close()
