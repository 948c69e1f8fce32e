"""The documentation: it builds without a warning, asks no other host, and what it shows is executed."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

import effnet_lab
from effnet_lab import cli
from effnet_lab.cli.notebooks import join_pairs

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "pages"
WRITTEN = [ROOT / "README.md", *sorted(PAGES.rglob("*.md"))]
COMMANDS = typer.main.get_command(cli.app).commands


def flat(known, before=""):
    """Every command with its whole name, those of groups, too."""
    for name, command in known.items():
        if hasattr(command, "commands"):
            yield from flat(command.commands, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def shell_lines(page: Path) -> list[list[str]]:
    """The words of every command in blocks of shell and in tables, without `effnet-lab` and what is behind a #."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(effnet-lab [a-z-]+ [^`]+)`", text)
    return [shlex.split(line, comments=True)[1:] for line in lines if line.strip().startswith("effnet-lab ")]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The documentation, built with every warning an error."""
    out = tmp_path_factory.mktemp("docs") / "site"
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-f",
        str(ROOT / "docs/mkdocs.yml"),
        "-d",
        str(out),
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return out


class Fetched(HTMLParser):
    """Addresses that a browser asks for without a click."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe") or (tag == "link" and given.get("rel") != "canonical"):
            self.addresses += [given[key] for key in ("src", "href") if given.get(key)]


def test_no_page_asks_another_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        (reader := Fetched()).feed(page.read_text(encoding="utf-8"))
        assert not [address for address in reader.addresses if re.match(r"(https?:)?//", address)], page


def test_the_reference_has_every_command_option_and_function(site):
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name, command in flat(COMMANDS):
        assert f'id="{name.replace(" ", "-")}"' in commands
        for parameter in command.params:
            assert parameter.opts[0] in commands or parameter.opts[0].upper() in commands
    functions = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in effnet_lab.__all__:
        assert re.search(rf'id="effnet_lab\.[\w.]+\.{getattr(effnet_lab, name).__name__}"', functions), name


@pytest.mark.parametrize("page", [page for page in WRITTEN if ">>> " in page.read_text()], ids=lambda page: page.stem)
def test_python_examples(page):
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert tried
    assert not failed


@pytest.mark.parametrize("page", [page for page in WRITTEN if shell_lines(page)], ids=lambda page: page.stem)
def test_commands_exist_with_their_options(page):
    for words in shell_lines(page):
        known = dict(flat(COMMANDS))
        n = 2 if " ".join(words[:2]) in known else 1
        name = " ".join(words[:n])
        assert name in known, words
        known[name].make_context(name, join_pairs(words[n:]))  # raises on an unknown option or a missing one


def test_the_tutorial_works_from_its_first_line_to_its_last(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the kernels
    lines = shell_lines(PAGES / "tutorial.md")
    assert len(lines) >= 6
    for words in lines:
        monkeypatch.setattr(sys, "argv", ["effnet-lab", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code, (words, capfd.readouterr().err)
    assert (tmp_path / "errors.csv").is_file()
    assert (tmp_path / "mine" / "report.html").is_file()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_front_pages(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", text):
        assert (ROOT / target).exists(), target


def test_the_readme_keeps_to_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_figure_is_drawn_by_the_script_and_shown():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    spec.loader.exec_module(figures := importlib.util.module_from_spec(spec))
    drawn = {path.stem for path in (PAGES / "figures").glob("*.png")}
    shown = {name for page in WRITTEN for name in re.findall(r"figures/(\w+)\.png", page.read_text(encoding="utf-8"))}
    assert drawn == set(figures.FIGURES) == shown
