"""What every command makes of files that nobody here made: answered, refused in one line, or failed.

Prints a matrix of files and commands. A command is given pictures where the network takes them, else arrays.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effnet_lab.litert import Graph, read_graph
from effnet_lab.names import UserError

WILD = sorted((Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "wild").glob("*.tflite"))
TIMEOUT_S = 300
N_SAMPLES = 4
MARKS = {"answered": "yes", "refused": "no", "failed": "FAILED"}


class Given:
    """A file, and what its network can be fed with."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.file, self.out = str(file), str(folder / "out")
        self.picture, self.arrays = str(folder / "picture.png"), folder / "inputs.npz"
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 256, (160, 200, 3), np.uint8)).save(self.picture)
        try:
            graph = read_graph(file)
        except UserError:
            self.pictures = True
            return
        self.pictures = takes_pictures(graph)
        shapes = {f"input_{i}": graph.tensors[index].shape for i, index in enumerate(graph.inputs)}
        np.savez(self.arrays, **{name: rng.uniform(0, 1, (N_SAMPLES, *shape[1:])) for name, shape in shapes.items()})

    def images(self, option: str, pictures: str = "scenes") -> list[str]:
        """The option that names the samples."""
        if not self.pictures:
            return ["--inputs", str(self.arrays)]
        return [option, pictures, *(["--limit", str(N_SAMPLES)] if pictures == "scenes" else []), "--guess"]


def takes_pictures(graph: Graph) -> bool:
    """One input of four axes, with one or three channels, at least as large as a thumbnail."""
    if len(graph.inputs) != 1:
        return False
    shape = graph.tensors[graph.inputs[0]].shape
    return (
        len(shape) == 4 and (min(shape[1:3]) >= 32 or min(shape[2:4]) >= 32) and {shape[1], shape[3]} & {1, 3} != set()
    )


COMMANDS: dict[str, Callable[[Given], list[str]]] = {
    "lint": lambda f: ["lint", f.file],
    "bench": lambda f: ["bench", f.file, "--runs", "6"],
    "profile": lambda f: ["bench", f.file, "--profile", "--runs", "3"],
    "footprint": lambda f: ["footprint", f.file],
    "ethosu": lambda f: ["ethosu", f.file],
    "layer-error": lambda f: ["layer-error", "--quantized", f.file, *f.images("--images")],
    "verdicts": lambda f: ["verdicts", "--quantized", f.file, *f.images("--images")],
    "explain": lambda f: ["explain", f.file, *f.images("--image", f.picture)],
    "classify": lambda f: ["classify", f.picture, "--weights", f.file],
    "features": lambda f: ["features", f.picture, "--weights", f.file, "--out", f"{f.out}.npz"],
    "evaluate": lambda f: ["evaluate", f.file, *f.images("--data"), "--against", f.file],
    "export": lambda f: ["export", "--weights", f.file, "--out", f"{f.out}.tflite", *f.images("--calibration")],
    "calibrate": lambda f: ["calibrate", "--weights", f.file, "--out", f"{f.out}.stats.npz", *f.images("--data")],
}  # fmt: skip


def run(words: list[str]) -> tuple[str, str]:
    """("answered" | "refused" | "failed", the last line that was said)."""
    command = [sys.executable, "-c", "from effnet_lab import cli; cli.main()", *words]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "failed", f"no answer for {TIMEOUT_S} s"
    said = [line for line in done.stderr.strip().splitlines() if line]
    took = f" ({time.monotonic() - start:.0f} s)"
    if done.returncode in (0, 1) and "Traceback" not in done.stderr:
        return "answered", took
    last = said[-1] if said else ""
    in_order = done.returncode == 2 and last.startswith("effnet-lab: ") and len(last) <= 330
    return ("refused" if in_order and "Traceback" not in done.stderr else "failed"), f"{done.returncode}: {last[-300:]}"


@pytest.mark.real
def test_every_command_answers_or_says_why_not(tmp_path):
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for file in WILD:
        folder = tmp_path / file.stem
        folder.mkdir()
        given = Given(file, folder)
        for name, words in COMMANDS.items():
            found[file.stem, name] = run(words(given))
    width = max(len(file.stem) for file in WILD)
    print("\n" + " " * width, *COMMANDS)
    for file in WILD:
        cells = (MARKS[found[file.stem, name][0]].center(len(name)) for name in COMMANDS)
        print(file.stem.ljust(width), *cells)
    for (file, name), (outcome, why) in found.items():
        if outcome != "answered":
            print(f"{outcome}: {name} {file}: {why}")
    for outcome in MARKS:
        print(outcome, sum(got == outcome for got, _ in found.values()))
    assert not [key for key, (outcome, _) in found.items() if outcome == "failed"]
