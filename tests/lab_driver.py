"""Drive JupyterLab and the app in a headless Chromium: start a server, open a notebook, run it, read the plots.

For any test of a notebook in a browser. Selectors and the retry were found by trial on JupyterLab 4.6.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
LOCAL = {"127.0.0.1", "localhost", "[::1]", "::1"}
ROOT = Path(__file__).parents[1]
PATIENCE_MS = 180_000  # for one thing on a page: a busy machine is no failure
NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook"
ERROR = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]'
# Every finished plot on the page as {title, xaxis, yaxis, traces: [{name, x, y}]}; typed arrays become lists.
READ_PLOTS = """() => [...document.querySelectorAll('.js-plotly-plot')].filter(p => p._fullData && p.querySelector('.main-svg'))
    .map(plot => ({
        title: plot.layout.title?.text,
        xaxis: plot.layout.xaxis?.title?.text,
        yaxis: plot.layout.yaxis?.title?.text,
        traces: plot._fullData.map(t => ({name: t.name, x: Array.from(t.x || []), y: Array.from(t.y || [])})),
    }))"""


@dataclass
class Traffic:
    """What a page asked for and complained about."""

    foreign: list[str] = field(default_factory=list)  # requests to a host that is not this machine
    errors: list[str] = field(default_factory=list)  # console errors and uncaught exceptions


def start_server(command: str, folder: Path, *options: str) -> tuple[str, subprocess.Popen]:
    """`effnet-lab lab` or `app` on a work folder. Returns its address with the token, and the process.

    Settings, runtime files and IPython's profile live beside the folder: nobody's own are read or written.
    """
    home = folder.with_name(f"{folder.name}.home")
    home.mkdir(exist_ok=True)
    places = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
    }  # fmt: skip
    env = os.environ | {name: str(home / place) for name, place in places.items()}
    env |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    words = [sys.executable, "-c", "from effnet_lab.cli import main; main()", command, "--folder", str(folder)]
    words += ["--port", str(_free_port()), "--no-browser", *options]
    with (home / f"{command}.log").open("wb") as log:
        process = subprocess.Popen(words, cwd=home, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        return _wait_for_address(home / f"{command}.log", process), process
    except BaseException:
        stop_server(process)
        raise


def stop_server(process: subprocess.Popen) -> None:
    """End the server, which ends its kernels."""
    process.terminate()
    try:
        process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The system's Chromium, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser, *, width: int = 1280, height: int = 1600) -> tuple[Page, Traffic]:
    """Page of a size, px, and the record of its traffic."""
    page, traffic = browser.new_page(viewport={"width": width, "height": height}), Traffic()
    page.set_default_timeout(PATIENCE_MS)
    page.on("request", lambda request: None if _is_local(request.url) else traffic.foreign.append(request.url))
    page.on("console", lambda entry: traffic.errors.append(entry.text) if entry.type == "error" else None)
    page.on("pageerror", lambda error: traffic.errors.append(str(error)))
    return page, traffic


def address(url: str, path: str) -> str:
    """Another page of the same server, with the token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{path}{'&' if '?' in path else '?'}{parts.query}"


def share_kernel(url: str, name: str, kernel: str = "") -> str:
    """Give a notebook a session with a kernel that runs already, or a new one (""); the kernel's id.

    Notebooks that are opened after that find their session: packages are loaded once for all of them.
    """
    session = {
        "path": name,
        "name": name,
        "type": "notebook",
        "kernel": {"id": kernel} if kernel else {"name": "python3"},
    }
    return str(ask(url, "api/sessions", "POST", session)["kernel"]["id"])


def ask(url: str, path: str, method: str, content: object) -> Any:
    """One request to the server, past any proxy; its answer as JSON, None where it is empty."""
    request = urllib.request.Request(
        address(url, path),
        data=json.dumps(content).encode(),
        method=method,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def open_notebook(page: Page, url: str, name: str) -> None:
    """Open a notebook by its path below the server's directory, and wait until its kernel is idle."""
    page.goto(address(url, f"lab/tree/{name}?reset"))
    page.wait_for_selector(NOTEBOOK)
    page.wait_for_selector("#jp-main-statusbar :text('| Idle')")


def run_all(page: Page, *, timeout_s: float = 1200) -> None:
    """Run every cell and wait for the last one. Run All is lost now and then, so it is asked for again if need be."""
    for attempt in range(1, 6):
        page.click('.lm-MenuBar-itemLabel:text-is("Run")')
        page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        try:
            page.wait_for_function(_PROMPTS + ".some(p => p !== '[ ]:')", timeout=10_000 * attempt)
            break
        except PlaywrightTimeoutError:
            if attempt == 5:
                raise
    done = _PROMPTS + r".every(p => /^\[\d+\]:$/.test(p))"
    page.wait_for_function(f"{done} || document.querySelector('{ERROR}')", timeout=timeout_s * 1000)
    failed = page.locator(ERROR)
    assert failed.count() == 0, f"A cell failed:\n{failed.first.inner_text()}"


_PROMPTS = f"[...document.querySelectorAll('{NOTEBOOK} .jp-CodeCell .jp-InputPrompt')].map(e => e.textContent.trim())"


def plots(page: Page) -> list[dict]:
    """Every plot on the page, from the top: title, axis titles, and name, x and y of its traces."""
    return page.evaluate(READ_PLOTS)


def wait_for_plots(page: Page, n: int, *, timeout_s: float = PATIENCE_MS / 1000) -> list[dict]:
    """Wait until `n` plots are drawn."""
    page.wait_for_function(f"n => ({READ_PLOTS})().length >= n", arg=n, timeout=timeout_s * 1000)
    return plots(page)


def wait_for_change(page: Page, index: int, before: list[dict], *, timeout_s: float = PATIENCE_MS / 1000) -> list[dict]:
    """Wait until plot `index` differs from what it was in `before` (all plots of the page); all plots as they are then.

    A plot that is being replaced is missing for a moment, and those below it move up: only complete pages count.
    """
    deadline = time.perf_counter() + timeout_s
    while time.perf_counter() < deadline:
        now = plots(page)
        if len(now) == len(before) and now[index] != before[index]:
            return now
        page.wait_for_timeout(20)
    raise AssertionError(f"Plot {index} ({before[index]['title']}) did not change within {timeout_s} s.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in LOCAL


def _wait_for_address(log: Path, process: subprocess.Popen, timeout_s: float = 400) -> str:
    """The address that the server prints, once it answers."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\S*token=\w+", log.read_text())
        if found and _listens(int(found.group(1))):  # it is printed a moment before
            return found.group()
        time.sleep(0.1)
    raise RuntimeError(f"No address after {timeout_s} s:\n{log.read_text()[-2000:]}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
