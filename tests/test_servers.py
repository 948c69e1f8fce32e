"""`lab` and `app`: the user's copies of the notebooks, and servers that only this machine reaches, with a token."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from effnet_lab.names import UserError
from effnet_lab.paths import notebooks_dir
from effnet_lab.regress import prepare_work_folder, serve_app, serve_lab

lab = pytest.importorskip("lab_driver", reason="playwright is not installed (pip install effnet-lab[dev])")


@pytest.fixture
def shipped(tmp_path) -> list[Path]:
    """Two notebooks of a version, as the workbench would have them."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("01_a.ipynb", "02_b.ipynb"):
        (folder / name).write_text(f"first {name}")
    return sorted(folder.iterdir())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.ipynb"))


def test_every_notebook_is_copied_and_the_original_left_alone(tmp_path):
    done = prepare_work_folder(tmp_path / "work")
    originals = {path.name: path.read_bytes() for path in notebooks_dir().glob("*.ipynb")}
    assert {path.name: path.read_bytes() for path in done.path.glob("*.ipynb")} == originals
    assert sorted(done.added) == sorted(originals)
    assert done.path == (tmp_path / "work").resolve()


def test_what_was_not_saved_is_replaced_by_its_newer_version(tmp_path, shipped):
    prepare_work_folder(tmp_path / "work", shipped)
    shipped[0].write_text("second")
    done = prepare_work_folder(tmp_path / "work", shipped)
    assert (done.added, done.updated, done.beside) == ((), ("01_a.ipynb",), ())
    assert (done.path / "01_a.ipynb").read_text() == "second"
    assert names(done.path) == ["01_a.ipynb", "02_b.ipynb"]


def test_what_was_saved_is_kept_and_the_newer_version_lies_beside_it_once(tmp_path, shipped):
    work = prepare_work_folder(tmp_path / "work", shipped).path
    (work / "01_a.ipynb").write_text("mine")
    assert prepare_work_folder(work, shipped).sentences == []  # nothing newer, nothing to offer
    for version in ("second", "third"):
        shipped[0].write_text(version)
        done = prepare_work_folder(work, shipped)
        assert done.beside == (("01_a.ipynb", "01_a.new.ipynb"),)
        assert done.sentences == ["01_a.ipynb: yours is kept; the newer version is 01_a.new.ipynb."]
        assert (work / "01_a.new.ipynb").read_text() == version
        assert prepare_work_folder(work, shipped).sentences == []
    (work / "01_a.new.ipynb").write_text("mine, too")
    shipped[0].write_text("fourth")
    assert prepare_work_folder(work, shipped).beside == (("01_a.ipynb", "01_a.new2.ipynb"),)
    assert (work / "01_a.ipynb").read_text() == "mine"
    assert (work / "01_a.new.ipynb").read_text() == "mine, too"
    assert (work / "01_a.new2.ipynb").read_text() == "fourth"


def test_a_removed_copy_comes_back_and_lost_notes_cost_no_work(tmp_path, shipped):
    work = prepare_work_folder(tmp_path / "work", shipped).path
    (work / "02_b.ipynb").unlink()
    assert prepare_work_folder(work, shipped).added == ("02_b.ipynb",)
    (work / "01_a.ipynb").write_text("mine")
    (work / ".effnet-lab" / "copies.json").write_text("{damaged")
    assert prepare_work_folder(work, shipped).beside == (("01_a.ipynb", "01_a.new.ipynb"),)
    assert (work / "01_a.ipynb").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, shipped):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot write to the work folder .*file: .*--folder"):
        prepare_work_folder(tmp_path / "file", shipped)


@pytest.mark.parametrize("port", [0, 80, 65536])
def test_a_port_that_cannot_be_is_refused_before_anything_is_written(tmp_path, port):
    for serve in (serve_lab, serve_app):
        with pytest.raises(UserError, match=rf"Port {port} cannot be used. Choose one from 1024 to 65535."):
            serve(tmp_path / "work", port=port, browser=False)
    assert not (tmp_path / "work").exists()


def test_an_unknown_theme_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"Unknown theme 'drak'. Did you mean 'dark'"):
        serve_app(tmp_path / "work", theme="drak", browser=False)


def ask(url: str, *, data: bytes | None = None, host: str | None = None) -> tuple[int, str]:
    """Status and text of an answer; no redirection is followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    request = urllib.request.Request(url, data=data, headers={"Host": host} if host else {})
    opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").is_file() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def children(pid: int) -> list[int]:
    found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == pid]
    return found + [grandchild for child in found for grandchild in children(child)]


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it ended meanwhile
        return -1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_lab_needs_its_token_opens_the_first_steps_and_ends_by_sigterm_with_its_kernels(tmp_path):
    url, process = lab.start_server("lab", tmp_path / "work")
    try:
        assert urlsplit(url).path == "/lab/tree/00_first_steps.ipynb"
        assert len(parse_qs(urlsplit(url).query)["token"][0]) >= 32
        assert ask(lab.address(url, "api/contents").partition("?")[0])[0] == 403
        status, text = ask(lab.address(url, "api/contents"))
        assert status == 200
        assert {entry["name"] for entry in json.loads(text)["content"]} == set(names(notebooks_dir()))
        assert ask(lab.address(url, "api/contents"), host="elsewhere.example")[0] == 403
        page = ask(lab.address(url, "lab"))[1]
        assert '"news": {"disabled": true}' in page
        assert ask(lab.address(url, "api/kernels"), data=b"{}")[0] == 201
        kernels = children(process.pid)
        assert kernels
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(timeout=400)
    assert ended == 0
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and any(map(alive, kernels)):
        time.sleep(0.1)
    assert not any(map(alive, kernels))


def test_app_needs_its_token_asks_the_questions_and_ends_by_sigterm(tmp_path):
    url, process = lab.start_server("app", tmp_path / "work")
    try:
        assert ask(url.partition("?")[0])[0] == 302  # to the login page
        assert ask(lab.address(url, "voila/render/01_scaling.ipynb").partition("?")[0])[0] == 302
        assert ask(url, host="elsewhere.example")[0] == 403
        status, text = ask(url)
        assert status == 200
        assert "What do alpha, beta, gamma and phi buy?" in text
        assert "://" not in text  # nothing from another host
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(timeout=400)
    assert ended == 0
