"""What reaches the terminal and the disk: no control characters, no traceback for a closed pipe or a full disk."""

from __future__ import annotations

import ast
import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import typer

from effnet_lab import cli, frames, paths
from effnet_lab.images import open_images
from effnet_lab.names import UserError, WriteError, printable
from effnet_lab.progress import counted
from effnet_lab.regress import read_frame, record

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from effnet_lab.cli import shell_command; shell_command()"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes, signals and /dev/full of POSIX")


def start(*words: object, code: str = "", **how) -> subprocess.Popen:
    command = [sys.executable, "-c", code] if code else [*COMMAND, *map(str, words)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}  # unbuffered, Python itself loses half a write
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **how)


# ---- text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("bell\x07 del\x7f c1\x9b31m", "bell\\x07 del\\x7f c1\\x9b31m"),
        ("right\u202eto left\u2066", "right\\u202eto left\\u2066"),
        ("file\udcff", "file\\udcff"),
        ("tab\there\nand a line", "tab here\nand a line"),
        ("Größe, 猫, no\u00a0break", "Größe, 猫, no\u00a0break"),
    ],
)
def test_what_controls_a_terminal_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown


def test_names_from_files_do_not_reach_the_terminal_as_they_are(monkeypatch, capsys):
    from effnet_lab.cli.output import show

    show(pd.DataFrame({"layer": ["a\x1b]0;title\x07", "b"], "op": ["conv", "add"]}), as_json=False)
    monkeypatch.setattr(sys, "argv", ["effnet-lab", "lint", "no\x1b[2Jfile.tflite"])
    with pytest.raises(SystemExit):
        cli.main()
    said = "".join(capsys.readouterr())
    assert "\\x1b]0;title\\x07" in said
    assert "\\x1b[2J" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("width", [40, 80, 132])
def test_columns_share_the_width(monkeypatch, capsys, width):
    from effnet_lab.cli.tables import print_table

    monkeypatch.setenv("COLUMNS", str(width))
    words = "a sentence of several words that is far longer than any column may be in a terminal of this width"
    table = pd.DataFrame({"layer": [words, "short"], "op": ["conv", words], "params": [1, 1234567]})
    print_table(table.to_dict("records"), list(table))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert (
        " ".join(" ".join(line[: lines[0].find("op")].split()) for line in lines[1:]).split()[:3] == words.split()[:3]
    )


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [("ACCURACY", "top1"), ("LATENCY", "p50_ms"), ("AUDIT", "top1"), ("FOOTPRINT", "arena_bytes"), ("PRECISIONS", "top1"),
     ("LAYER_ERROR", "sqnr_accumulated_db"), ("PROFILE", "share"), ("CLASSIFICATION", "label")],
)  # fmt: skip
def test_what_a_command_is_asked_for_stands_in_80_columns_beside_long_names(monkeypatch, capsys, frame, wanted):
    from effnet_lab.cli.output import show

    monkeypatch.setenv("COLUMNS", "80")
    frame = frames.FRAMES[frame.lower()]
    texts = {name for name in frame.columns if frames.column(name).kind == "text"}
    rows = [
        {
            name: f"{'mlcommons__pretrained__' if name in ('model', 'layer') else ''}{name}_{i}"
            if name in texts
            else 0.25
            for name in frame.columns
        }
        for i in range(2)
    ]
    show(pd.DataFrame(rows), as_json=False)
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert wanted in lines[0].split()
    assert max(map(len, lines)) <= 80
    assert "with --wide" in said.err


@pytest.mark.parametrize("command", ["run", "check", "verdicts"])
def test_a_command_that_advises_wide_has_it(command):
    with pytest.raises(SystemExit) as ended:
        typer.main.get_command(cli.app)([command, "--wide", "--help"])
    assert not ended.value.code


@pytest.mark.parametrize("width", [40, 80, 132])
def test_sentences_share_the_width(monkeypatch, capsys, width):
    from effnet_lab.cli.saying import WIDE, say, write

    monkeypatch.setenv("COLUMNS", str(width))
    name = ";".join(f"network/blocks_{i}/conv2d/BiasAdd" for i in range(9))
    text = (
        f"  {name} is at fault, as its range ends far below the largest of its values. Give it a wider range.\nShort."
    )
    say(text, hang=2)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert max(map(len, lines)) <= width
    assert {len(line) - len(line.lstrip()) for line in lines[1:-1]} == {4}
    assert "".join(out.split()) == "".join(text.split())  # nothing is lost
    assert all(part == "" or part[-1] in "/;_" for part in [line.strip() for line in lines if "/" in line][:-1])
    say(text, err=True)
    write(text)
    WIDE.set(True)
    say(text)
    WIDE.set(False)
    said = capsys.readouterr()
    assert said.err == said.out[: len(said.out) // 2] == said.out[len(said.out) // 2 :] == f"{text}\n"


# ---- bars


def shown(*words: str, pipe: bool = False, **environment: str) -> bytes:
    """All that a command writes into a terminal of 80 columns, or into a pipe."""
    env = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS")
    }
    env |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"} | environment
    reading, writing = os.pipe() if pipe else os.openpty()
    if not pipe:
        import termios

        termios.tcsetwinsize(writing, (24, 80))
    said = b""
    with subprocess.Popen([*COMMAND, *words], stdout=writing, stderr=writing, env=env):
        os.close(writing)
        try:
            while piece := os.read(reading, 65536):
                said += piece
        except OSError:  # a pseudo-terminal whose other end is closed
            pass
    os.close(reading)
    return said


@POSIX
def test_colour_only_where_there_is_a_terminal():
    """Help has colour; through a pipe, or where NO_COLOR asks for none, there is not one escape."""
    said = {"terminal": shown("--help"), "pipe": shown("--help", pipe=True), "no colour": shown("--help", NO_COLOR="1")}
    assert all(b"Commands" in text for text in said.values())
    assert b"\x1b[" not in said["pipe"]
    colour = re.compile(rb"\x1b\[(?:\d+;)*3\d[;m]")
    assert colour.search(said["terminal"])
    assert not colour.search(said["no colour"])


@POSIX
def test_training_shows_where_an_epoch_is_in_a_terminal_and_nothing_of_it_through_a_pipe(tmp_path):
    words = ("train", "--variant", "micro0", "--data", "scenes?n=100&side_px=32", "--epochs", "2", "--batch", "10")
    out = tmp_path / "weights.safetensors"
    line = re.compile(r"epoch (\d)/2  loss [\d.]+  train [\d.]+  validation [\d.]+(  [\d:]+ left)?")
    terminal = shown(*words, "--out", str(out)).decode()
    pieces = [piece.strip() for piece in re.split(r"[\r\n]+", terminal) if piece.strip()]
    assert max(len(piece) for piece in pieces if piece.startswith("epoch")) <= 80
    bars = [piece for piece in pieces if re.match(r"epoch \d/2:", piece)]
    counts = {int(n) for bar in bars for n in re.findall(r" (\d+)/95 ", bar)}
    assert 0 in counts
    assert counts & {10, 20, 30, 40, 50, 60, 70, 80, 90, 95}
    assert any(re.search(r"loss \d\.\d{4}\]$", bar) for bar in bars)
    assert [line.fullmatch(piece)[1] for piece in pieces if line.fullmatch(piece)] == ["1", "2"]
    piped = shown(*words, "--out", str(out), pipe=True).decode().splitlines()
    assert (
        [one for one in piped if one.startswith("epoch")] == [one for one in piped if line.fullmatch(one)] == piped[:2]
    )
    assert (piped[0].endswith("left"), piped[1].endswith("left")) == (True, False)


def test_a_bar_counts_the_images_of_a_batch():
    seen, total = [], []

    def bar(items, total):
        seen.append(total)
        for item in items:
            yield item
            seen.append(item)

    for batch in counted(bar, [[0] * 3, [0] * 2], 5):
        total += batch
    assert len(total) == 5
    assert seen == [5, 0, 1, 2, 3, 4]


def test_a_bar_that_is_left_early_is_closed():
    closed = []

    def bar(items, total):
        try:
            yield from items
        finally:
            closed.append(total)

    for _ in counted(bar, [[0], [0]], 2):
        break
    assert closed == [2]
    assert list(counted(None, [[1], [2]], 2)) == [[1], [2]]


# ---- standard output that is closed or full


MUCH = """
import sys; sys.argv = ["effnet-lab", "variants", "--json"]
from effnet_lab import scaling
scaling.variant_rows = lambda classes: [{"params": n} for n in range(50_000)]
from effnet_lab.cli import shell_command; shell_command()
"""


@POSIX
def test_a_reader_that_goes_away_is_no_error():
    with start(code=MUCH) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(120) == 141
        assert process.stderr.read() == ""


@POSIX
@pytest.mark.parametrize(("where", "code", "lines"), [("/dev/full", 2, 1), ("closed", 0, 0)])
def test_standard_output_that_is_full_or_closed(where, code, lines):
    redirected = ">&-" if where == "closed" else f"> {where}"
    words = f"exec '{sys.executable}' -c 'from effnet_lab.cli import shell_command; shell_command()' variants --json {redirected}"
    done = subprocess.run(
        ["sh", "-c", words], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == lines, done.stderr
    assert "Traceback" not in done.stderr


LEAVING = """
import atexit, sys
from effnet_lab import cli
from effnet_lab.litert.trial_process import trial_process
class Loaded:
    def __del__(self): print("taken apart")
def work():
    atexit.register(print, "last words")
    print(trial_process()._process.pid)
    main()
main, cli.main, loaded = cli.main, work, Loaded()
sys.argv = ["effnet-lab", {word!r}]
cli.shell_command()
"""


@POSIX
@pytest.mark.parametrize(("word", "code"), [("--version", 0), ("no-such", 2)])
def test_the_command_leaves_at_once_when_all_is_done(word, code):
    """Its child process is ended, and what was registered for the end is called; what was loaded is not taken apart."""
    with start(code=LEAVING.format(word=word)) as process:
        said, _ = process.communicate(timeout=120)
    pid, *words = said.splitlines()
    assert process.returncode == code
    assert words[-1] == "last words"
    assert len(words) == 2 - bool(code)  # the version
    assert not psutil.pid_exists(int(pid))


# ---- files


def test_one_way_to_write():
    """Every file of the user's goes through `write_atomically`, so a full disk is one line at every door."""
    allowed = {  # in folders of our own, or of the user's with their own check
        "paths.py": "the way itself", "board/ethosu.py": "scratch", "litert/micro.py": "scratch", "litert/trial.py": "scratch",
        "studies/repair_run.py": "scratch", "quantize/any_network.py": "scratch",
        "studies/inspection/op_times.py": "scratch",
        "models/weights/keras_file.py": "scratch", "models/weights/archive.py": "scratch",
        "litert/trial_child.py": "a pipe", "cli/saying.py": "/dev/null",
    }  # fmt: skip
    writers = {"write_bytes", "write_text", "to_parquet", "to_excel", "tofile", "dump", "savetxt"}
    for path in sorted((ROOT / "effnet_lab").rglob("*.py")):
        home = path.relative_to(ROOT / "effnet_lab").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or home in allowed:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            modes = [a.value for a in [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
                     if isinstance(a, ast.Constant) and isinstance(a.value, str)]  # fmt: skip
            writes = name in writers or (name in ("open", "fdopen") and any(set(mode) & set("wax+") for mode in modes))
            assert not writes, f"{home}:{node.lineno}: {name}"


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"Cannot write .*file/inside\.csv: File exists\. Make room") as caught:
        paths.write_atomically(tmp_path / "file" / "inside.csv", b"")
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.EEXIST

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    paths.write_atomically(tmp_path / "kept.csv", b"before")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match="No space left on device"):
        paths.write_atomically(tmp_path / "kept.csv", b"after")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "kept.csv"]
    assert (tmp_path / "kept.csv").read_bytes() == b"before"


def test_what_was_computed_is_kept_where_there_is_room(files, tmp_path, monkeypatch):
    """A disk that fills up while images run costs no image: calibrate and features leave their file somewhere else."""
    from effnet_lab.evaluate import features
    from effnet_lab.images import open_images
    from effnet_lab.quantize import calibrate
    from effnet_lab.quantize.calibration import Statistics

    spare, small, open_beside = tmp_path / "spare", tmp_path / "small", paths.open_beside
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))

    def full(path):
        if path.parent == small:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_beside(path)

    monkeypatch.setattr(paths, "open_beside", full)
    network, images = files["float32 converter"], open_images("scenes", "calibration", limit=3)
    said = r"Cannot write .*: No space left on device\. What was computed is kept in .*\.npz\."
    with pytest.raises(UserError, match=said):
        calibrate(network, images, out=small / "ranges.npz")
    with pytest.raises(UserError, match=said):
        features(images, network, out=small / "features.npz")
    kept = {path.name.split(".", 2)[-1]: path for path in spare.iterdir()}
    assert Statistics.load(kept["ranges.npz"]).n_images == 3
    with np.load(kept["features.npz"]) as stored:
        assert len(stored["features"]) == 3
    assert list(small.iterdir()) == []
    monkeypatch.setattr(paths, "open_beside", lambda path: full(small / path.name))
    with pytest.raises(WriteError, match="Make room, or choose another place"):
        paths.write_or_keep(small / "more.npz", b"")


def test_a_place_without_room_is_found_before_the_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    paths.require_room(tmp_path / "new" / "folder" / "out.csv")
    paths.require_room(tmp_path / "file")  # will be replaced
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    monkeypatch.setattr(
        sys,
        "argv",
        ["effnet-lab", "evaluate", "none.tflite", "--data", "scenes", "--out", str(tmp_path / "file" / "x")],
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"effnet-lab: Cannot write {tmp_path / 'file' / 'x'}: Not a directory")


def test_an_error_of_the_system_is_one_line_at_any_command(monkeypatch, capsys):
    from effnet_lab import scaling

    def refused(**_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "some/place")

    monkeypatch.setattr(scaling, "variant_rows", refused)
    monkeypatch.setattr(sys, "argv", ["effnet-lab", "variants"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert (
        said == "effnet-lab: Cannot go on with some/place: Too many open files. Make room, or choose another place.\n"
    )


def _record(folder: str, first: int) -> None:
    for i in range(first, first + 8):
        row = dict.fromkeys(frames.COUNTS.columns, 1) | {"model": "m", "layer": f"layer {i}", "op": "conv"}
        record(pd.DataFrame([row])[list(frames.COUNTS.columns)], "counts", folder, notebook="n", profile="smoke")


def test_processes_that_record_at_once_lose_no_row(tmp_path):
    """Without a lock, 15 of 80 rows were lost."""
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    recording = [context.Process(target=_record, args=(str(tmp_path), 8 * i)) for i in range(4)]
    for process in recording:
        process.start()
    for process in recording:
        process.join(120)
        assert process.exitcode == 0
    assert set(read_frame(tmp_path, "counts")["layer"]) == {f"layer {i}" for i in range(32)}
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["counts.csv"]


# ---- what killed processes leave


def test_what_a_killed_process_left_is_removed_at_the_next_start(tmp_path, monkeypatch):
    (cache := tmp_path / "cache").mkdir()
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(cache))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    holds = (
        "from effnet_lab import paths; from pathlib import Path; import sys, time\n"
        f"with paths.scratch_folder() as folder, paths.only_one(Path({str(cache)!r}) / 'weights.gz'):\n"
        "    (folder / 'half').write_text('half')\n"
        f"    paths.open_beside(Path({str(cache)!r}) / 'weights.gz')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with start(code=holds) as process:
        assert process.stdout.readline() == "ready\n"
        (stranger := temporary / "effnet-lab-notes").mkdir()  # without the mark: not ours to remove
        assert paths.remove_left_behind() == []  # its owner is alive
        process.kill()
    removed = paths.remove_left_behind()
    assert {path.parent for path in removed} == {cache, temporary}
    assert list(temporary.iterdir()) == [stranger]
    assert list(cache.iterdir()) == []


# ---- signals


@POSIX
def test_ctrl_c_keeps_the_answers_from_the_first_image_on(tmp_path, files):
    model, kept = files["static_wi8_ai8 converter"], tmp_path / "answers.npz"
    code = (
        "import sys, time; from effnet_lab.evaluate import predictions as p\n"
        "slow = p._Run.take\n"
        "def take(self, said):\n    slow(self, said)\n    print(len(self.answers), flush=True)\n    time.sleep(0.05)\n"
        "p._Run.take = take\n"
        f"sys.argv = ['effnet-lab', 'evaluate', {str(model)!r}, '--data', 'scenes', '--resume', {str(kept)!r}]\n"
        "from effnet_lab.cli import main; main()\n"
    )
    for number, ending in ((signal.SIGINT, (130, 1)), (signal.SIGTERM, (143, 0))):
        with start(code=code) as process:
            begun = int(process.stdout.readline())
            process.send_signal(number)
            said = process.communicate(timeout=500)[1]
        assert (process.returncode, len(said.splitlines())) == ending, said
        with np.load(kept) as stored:
            assert begun <= len(stored["ranked0"]) < len(open_images("scenes"))
    assert begun > 1  # the second run went on where the first was stopped


@POSIX
def test_ctrl_c_in_a_run_ends_with_one_line(tmp_path):
    """The kernels get the signal, too, as from a terminal; the second notebook is far from its end when the first is done."""
    with start(
        "run", "01_scaling", "03_tradeoffs", "--out", tmp_path, "--workers", "2", start_new_session=True
    ) as process:
        deadline = time.monotonic() + 500
        while time.monotonic() < deadline and not list((tmp_path / "shown").glob("*.json")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=500)[1]
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.strip() and "cell" not in line]
    assert process.returncode == 130
    assert lines == ["effnet-lab: stopped."]
