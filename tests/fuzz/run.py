"""Throws damaged files at every command: half with damaged bytes, half valid but for one absurd statement.

    python tests/fuzz/run.py [--seconds N] [--share F] [--seed N] [--door NAME ...] [--keep FOLDER] [--write PAGE]

Counted are: done, refused in one line; and the faults, of which there may be none: a traceback, a death of the process, over
20 s, over 2 GB, a file outside the output folder, a refusal that is not one line of 300 characters, a warning of a library.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import formats
from doors import DOORS

MUTANTS = {  # how many a whole run tries; 2,000 of .tflite, 500 of every other format
    "lint": 400, "footprint": 200, "classify": 400, "evaluate": 250, "layer-error": 200, "verdicts": 150, "explain": 150,
    "export of weights": 50, "bench": 100, "features": 100, "export": 100, "baseline": 400,
    "results": 100, "labels": 250, "labels.json": 250,
}  # fmt: skip
OTHERS = 500
QUICK = ("lint", "footprint", "classify", "evaluate", "layer-error", "explain", "safetensors", "statistics", "answers",
         "notebook", "baseline", "labels.json", "pictures in a tar", "png", "tfrecord", "h5")  # fmt: skip
LATE_S, MOST_BYTES = 20.0, 2 << 30  # of processor time: other programs may keep the machine busy
PATIENCE = 8  # wall seconds for one of these
RENEW = 400  # commands after which a process is replaced, so that one mutant does not pay for those before it
GOOD = ("done", "refused")


class Attacked:
    """The process behind `doors.py`, in a home of its own."""

    def __init__(self, home: Path, healthy: Path) -> None:
        env = os.environ | {
            "HOME": str(home), "TMPDIR": str(home / "tmp"), "EFFNET_LAB_CACHE": str(home / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3",
            "EFFNET_LAB_FUZZ": str(healthy), "NUMBA_CACHE_DIR": str(home / "numba"), "COLUMNS": "100",
        }  # fmt: skip
        for name in ("tmp", "cache"):
            (home / name).mkdir(parents=True, exist_ok=True)
        self.count, self.healthy = 0, healthy
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "doors.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=env, cwd=home,
        )  # fmt: skip

    def ask(self, question: dict[str, str], late_s: float = LATE_S) -> dict[str, Any]:
        """Its answer, or how it ended; with seconds and bytes."""
        self.count += 1
        ended: list[str] = []
        most, done = [0], threading.Event()
        watcher = threading.Thread(target=self._watch, args=(late_s, ended, most, done))
        start, before = time.monotonic(), _cpu_s([psutil.Process(self.process.pid)])
        watcher.start()
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        done.set()
        watcher.join()
        if line:
            answer = json.loads(line)
        else:
            code = self.process.wait()
            answer = {"outcome": ended[0] if ended else f"died ({code})", "said": ""}
        try:
            seconds = _cpu_s([psutil.Process(self.process.pid)]) - before
        except (psutil.Error, ValueError):
            seconds = time.monotonic() - start
        return answer | {"seconds": seconds, "bytes": most[0]}

    def _watch(self, late_s: float, ended: list[str], most: list[int], done: threading.Event) -> None:
        """End the process when it takes too long or too much."""
        start, whole = time.monotonic(), psutil.Process(self.process.pid)
        used = _cpu_s([whole])
        while not done.wait(0.1):
            try:
                family = [whole, *whole.children(recursive=True)]
                most[0] = max(most[0], sum(one.memory_info().rss for one in family))
                busy = _cpu_s(family) - used
            except psutil.Error:
                continue
            if busy > late_s or time.monotonic() - start > PATIENCE * late_s:
                ended.append("late")
            elif most[0] > MOST_BYTES:
                ended.append("memory")
            if ended:
                self.process.kill()
                return

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def _cpu_s(family: list[psutil.Process]) -> float:
    """Processor time of a process and of those that it has started, the ended ones, too."""
    return sum(sum(one.cpu_times()[:4]) for one in family)


@dataclass(kw_only=True)
class Attack:
    """What is counted."""

    seed: int
    keep: Path | None = None  # folder for the mutants that show a fault
    healthy: Path | None = None  # folder of the healthy files, made where it is empty
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def run(self, doors: Sequence[str], share: float, seconds: float) -> None:
        """Every door in turn, each with its share of the time."""
        deadline = time.monotonic() + seconds
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            home = Path(name)
            healthy = self.healthy or home / "healthy"
            attacked = Attacked(home, healthy)
            try:
                if not (notes := healthy / "made.json").exists():
                    healthy.mkdir(parents=True, exist_ok=True)
                    made = attacked.ask({"make": str(healthy)}, late_s=600.0)
                    notes.write_text(json.dumps({form: made[form] for form in formats.DAMAGE}), encoding="utf-8")
                    attacked.close()
                    attacked = Attacked(home, healthy)
                contents = {form: Path(path).read_bytes() for form, path in json.loads(notes.read_text()).items()}
                for place, door in enumerate(doors):
                    until = time.monotonic() + (deadline - time.monotonic()) / (len(doors) - place)
                    attacked = self._door(door, contents[DOORS[door][0]], attacked, home, share, until)
                    print(door, dict(self.counts[door]), flush=True)  # what is stopped has said how far it came
            finally:
                attacked.close()

    def _door(self, door: str, content: bytes, attacked: Attacked, home: Path, share: float, until: float) -> Attacked:
        form, name, _words = DOORS[door]
        rng = np.random.default_rng([self.seed, zlib.crc32(door.encode())])
        counts = self.counts.setdefault(door, Counter())
        self._healthy(door, content, attacked, home)
        for number in range(max(1, round(share * MUTANTS.get(door, OTHERS)))):
            if time.monotonic() > until:
                break
            mutant = formats.damaged(form, content, number, rng)
            question = place(door, name, mutant, home)
            answer = attacked.ask(question)
            counts[answer["outcome"]] += 1
            self.slowest[door] = max(self.slowest.get(door, 0.0), answer["seconds"])
            if answer["outcome"] not in GOOD:
                self._fault(door, number, mutant, name, answer)
            if attacked.process.poll() is not None or attacked.count >= RENEW:
                attacked.close()
                attacked = Attacked(home, attacked.healthy)
                self._healthy(door, content, attacked, home)
        return attacked

    def _healthy(self, door: str, content: bytes, attacked: Attacked, home: Path) -> None:
        """The healthy file first: it loads what a command loads once, and shows that the door is open."""
        answer = attacked.ask(place(door, DOORS[door][1], content, home), late_s=300.0)
        assert answer["outcome"] == "done", f"{door}: the healthy file: {answer}"

    def _fault(self, door: str, number: int, mutant: bytes, name: str, answer: dict[str, Any]) -> None:
        last = (answer["said"].strip().splitlines() or [""])[-1]
        self.faults.append(
            f"{door} {number}: {answer['outcome']}, {answer['seconds']:.1f} s, {answer['bytes'] >> 20} MB: {last[:200]}"
        )
        print(self.faults[-1], flush=True)
        if self.keep is not None:
            (folder := self.keep / f"{door} {number}".replace(" ", "_")).mkdir(parents=True, exist_ok=True)
            (folder / Path(name).name).write_bytes(mutant)
            (folder / "said.txt").write_text(answer["said"], encoding="utf-8", errors="backslashreplace")

    def table(self) -> str:
        """One line per door, as Markdown."""
        lines = [
            "| door | format | mutants | done | refused in one line | faults | longest, s |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        for door, counts in self.counts.items():
            good = [counts[outcome] for outcome in GOOD]
            numbers = [counts.total(), *good, counts.total() - sum(good)]
            lines.append(
                f"| {door} | {DOORS[door][0]} | "
                + " | ".join(f"{n:,}" for n in numbers)
                + f" | {self.slowest.get(door, 0.0):.1f} |"
            )
        return "\n".join(lines)


def place(door: str, name: str, content: bytes, home: Path) -> dict[str, str]:
    """Put a mutant where its command looks for it, beside an empty output folder."""
    for folder in (home / "in", home / "out"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    file = home / "in" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return {"door": door, "file": str(file), "out": str(home / "out")}


def write_page(page: Path, table: str) -> None:
    """Replace the table of the page; doors that were not tried now keep their rows."""
    before, mark, rest = page.read_text(encoding="utf-8").partition("<!-- counts -->\n")
    old, end, after = rest.partition("<!-- end -->")
    head, new = table.splitlines()[:2], _rows(table)
    known = _rows(old) | new
    rows = [known[door] for door in [*DOORS, *known.keys() - DOORS.keys()] if door in known]
    page.write_text(before + mark + "\n".join([*head, *rows]) + f"\n{end}{after}", encoding="utf-8")


def _rows(table: str) -> dict[str, str]:
    """Lines of a table below its head, by their door."""
    return {line.split("|")[1].strip(): line for line in table.splitlines()[2:]}


def main() -> int:
    """Exit code 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants of a whole run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--door", action="append", choices=list(DOORS))
    parser.add_argument("--keep", type=Path, help="folder for the mutants that show a fault")
    parser.add_argument("--healthy", type=Path, help="folder of the healthy files, to be used again")
    parser.add_argument("--write", type=Path, help="page of the documentation whose table gets these counts")
    asked = parser.parse_args()
    attack = Attack(seed=asked.seed, keep=asked.keep, healthy=asked.healthy and asked.healthy.resolve())
    attack.run(asked.door or [door for door in DOORS if door != "planted"], asked.share, asked.seconds)
    print(attack.table())
    if asked.write:
        write_page(asked.write, attack.table())
    return 1 if attack.faults else 0


if __name__ == "__main__":
    sys.exit(main())
