"""Ctrl-C in the middle of every long command: one line, exit code 130, and of the files what the help promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
INT8, FLOAT = "static_wi8_ai8 converter", "float32 converter"
WAITS = """
import sys, time, tqdm
class Bar:
    '''In place of the bar: says that the second round has begun, and waits there to be stopped.'''
    def __init__(self, items):
        self.items = items
    def __iter__(self):
        for i, item in enumerate(self.items):
            if i == 1:
                print("begun", file=sys.__stdout__, flush=True)
                time.sleep(600)
            yield item
theirs = tqdm.tqdm
tqdm.tqdm = lambda *items, **how: Bar(*items) if how.get("unit", "")[:1] == " " else theirs(*items, **how)
from effnet_lab.cli import main
main()
"""
COMMANDS = {
    "calibrate": ["--workers", "1", "--weights", "{float}", "--data", "scenes", "--limit", "20", "--out", "{out}/statistics.npz"],
    "export": ["--weights", "{float}", "--format", "float32,int8", "--limit", "20", "--out", "{out}/files"],
    "repair": ["--workers", "1", "--weights", "{float}", "--calibration", "scenes", "--data", "scenes", "--limit", "20",
               "--limit-data", "40", "--out", "{out}/mended.tflite"],
    "bench": ["{int8}", "{float}", "--runs", "40", "--json"],
    "audit-preprocess": ["{int8}", "--data", "scenes", "--limit", "40"],
    "features": ["{first}", "{second}", "--weights", "{int8}", "--out", "{out}/features.npz"],
    "layer-error": ["--workers", "1", "--quantized", "{int8}", "--images", "scenes", "--limit", "9", "--out", "{out}/errors.csv"],
    "verdicts": ["--workers", "1", "--quantized", "{int8}", "--images", "scenes", "--limit", "9"],
}  # fmt: skip
KEPT = {"layer-error": "the table holds the first 1 images", "verdicts": "the verdicts rest on the first 1 images"}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def stopped(code: str, words: list[str]) -> tuple[int, list[str]]:
    """Exit code and lines on standard error of a command that gets Ctrl-C when it says that it has begun."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert "begun" in iter(process.stdout.readline, "").__next__(), process.communicate()[1]
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=500)[1]
    return process.returncode, [line for line in said.splitlines() if line.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_is_one_line_and_leaves_nothing_half_written(tmp_path, files, command):
    out, words = tmp_path / "out", {"int8": files[INT8], "float": files[FLOAT], "out": tmp_path / "out"}
    out.mkdir()
    words |= {"first": out.parent / "first.png", "second": out.parent / "second.png"}
    for name, grey in (("first", 60), ("second", 200)):
        Image.new("RGB", (40, 40), (grey, grey, 90)).save(words[name])
    code, said = stopped(WAITS, [command, *(word.format(**words) for word in COMMANDS[command])])
    assert code == 130, said
    assert said[-1].startswith(f"stopped: {KEPT[command]}" if command in KEPT else "effnet-lab: stopped.")
    assert not [line for line in said if "Error" in line or "Traceback" in line or "KeyboardInterrupt" in line]
    left = sorted(path.name for path in out.rglob("*") if path.is_file())
    if command == "layer-error":
        assert left == ["errors.csv"]
        assert pd.read_csv(out / "errors.csv")["n_images"].eq(1).all()
    else:
        assert all(name.endswith(".float32.converter.tflite") for name in left), left  # whole files of finished jobs


def test_ctrl_c_while_it_trains_keeps_the_finished_epochs(tmp_path):
    """From weights: `--resume` goes on after the epoch that was finished. From none: nothing is left."""
    slow = (
        "import time\n"
        "from effnet_lab.cli import main, training\n"
        "tell = training._Epochs.epoch\n"
        "def stop(self, row):\n"
        "    tell(self, row)\n"
        "    if row['epoch'] == 2: print('begun', flush=True), time.sleep(600)\n"
        "training._Epochs.epoch = stop\n"
        "main()\n"
    )
    data, out = "scenes?n=60&side_px=32", tmp_path / "weights.safetensors"
    words = ["train", "--data", data, "--out", str(out), "--epochs", "3", "--from", "micro0"]
    code, said = stopped(slow, words)
    assert (code, said[-1]) == (130, "effnet-lab: stopped."), said
    assert [line[:9] for line in said[:-1]] == ["epoch 1/3", "epoch 2/3"]
    kept = [f"weights.{name}.safetensors" for name in ("best", "unfinished")]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    done = subprocess.run(
        [sys.executable, "-c", "from effnet_lab.cli import main; main()", *words, "--resume"],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert [line[:9] for line in done.stderr.splitlines()][-2:] == ["epoch 3/3", "Next: eff"]
    written = ["weights.best.safetensors", "weights.history.csv", "weights.json", "weights.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == written
