"""Draw the five pictures of the tour from the real thing: tour.py FILE IMAGES PICTURES (a quantized .tflite; needs Chromium).

The page is the inspector's own; a desk answers it as it does in a notebook.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from effnet_lab.studies.inspection import WhatIf, live_inspection
from effnet_lab.studies.inspection.desk import Desk
from effnet_lab.view.inspector import inspector_page
from effnet_lab.view.inspector.page import plain

WIDTH_PX, N_IMAGES = 1180, 8
SILENT = 'mount(document.getElementById("inspector"), payload);'
LIVE = 'window.inspector = mount(document.getElementById("inspector"), payload, (question) => window.questions.push(question));'
N_COLOURS = 256  # a small file
DARK_NAME = "5-two-files"


class Session:
    """One page and who answers it."""

    def __init__(self, page: Page, folder: Path, payload: Any, desk: Any) -> None:
        self.page, self.pictures, self.answers = page, folder, []
        self.desk: Desk = desk(self.answers.append)
        text = inspector_page(payload)
        assert SILENT in text
        file = Path(tempfile.mkdtemp()) / "page.html"
        file.write_text(text.replace(SILENT, f"window.questions = [];\n{LIVE}"), encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector(".effnet-inspector h2")
        shutil.rmtree(file.parent)

    def answer(self, *questions: dict[str, Any]) -> None:
        """Let the desk answer what the page has asked, and these questions."""
        asked = self.page.evaluate("() => window.questions.splice(0)")
        for question in (*questions, *asked):
            self.desk.ask(question)
        assert self.desk.wait(600)
        for answer in self.answers:
            self.page.evaluate("answer => window.inspector.hear(answer)", plain(answer))
        self.answers.clear()

    def draw(self, name: str, selector: str = ".effnet-inspector") -> None:
        """Write one picture."""
        path = self.pictures / f"{name}.png"
        self.page.locator(selector).first.screenshot(path=path, animations="disabled")
        Image.open(path).convert("RGB").quantize(N_COLOURS).save(path, optimize=True)


def main(file: str, images: str, pictures: str) -> None:
    folder = Path(pictures)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        what_if = WhatIf(file, images, limit=N_IMAGES)
        conv = [switch.layer for switch in what_if.switches.layers if switch.kind == "conv"]
        what_if.flip(conv[-8:], "int4")
        *_, mixed = what_if.export(work)
        opened = live_inspection([file, mixed], images, limit=N_IMAGES, out=work)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": 900}, device_scale_factor=1.5)
        alone = {**opened.payload, "files": opened.payload["files"][:1]}
        session = Session(page, folder, alone, opened.desk)
        session.answer({"kind": "open"})
        _one_file(session, opened.payload["files"][0]["layers"], conv)
        page.emulate_media(color_scheme="dark")
        session = Session(page, folder, opened.payload, opened.desk)
        page.add_style_tag(content=".what-if, .opened { display: none !important; }")
        session.draw(DARK_NAME)
        browser.close()


def _one_file(session: Session, layers: list[Any], conv: list[str]) -> None:
    page = session.page
    mapped = [layer for layer in layers if layer["maps"] and layer["maps"][0] is not None and "steps" in layer]
    worst = min(mapped[2:], key=lambda layer: layer["values"]["sqnr_accumulated_db"])["name"]
    page.evaluate("name => window.inspector.select(name)", worst)
    hidden = page.add_style_tag(content=".what-if, .opened { display: none !important; }")
    session.draw("1-strip")
    hidden.evaluate("style => style.remove()")
    session.draw("2-layer", "section.layer")
    page.locator(".map").first.click(position={"x": 150, "y": 120})
    session.answer()
    session.draw("3-integers", "details.steps")
    page.evaluate("name => window.inspector.select(name)", conv[-2])
    page.locator('.precisions input[value="int4"]').check()
    session.answer()
    session.draw("4-what-if", "section.what-if")


if __name__ == "__main__":
    main(*sys.argv[1:])
