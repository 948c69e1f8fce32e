"""Would the tests notice? Changes one operator, number or condition at a time and runs the quick tests on it.

The changes are cosmic-ray's. Each is tried in a fork of a process that has the libraries loaded, and is compiled from
memory: no file is written, and a change costs as much as the tests that it has to fail. plan.toml says which modules are
changed and which tests have to notice; survivors.md lists what went unnoticed, with a reason.

    python tests/mutation/run.py [GROUP ...] [--jobs N] [--sample N] [--write]

With --sample, only so many changes of each group are tried, drawn with a fixed seed, and survivors.md says how many there are.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import gc
import itertools
import math
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SURVIVORS = HERE / "survivors.md"
SUMS = "All groups"
HEAD = """# Changes that no test notices

Written by `make mutate`, which changes one operator, number or condition at a time (plan.toml says where and which) and runs
the quick tests on it. What went unnoticed stands below its table, with the reason why it may; a line without a reason is a
test to be written. The run fails if less than 85 % are noticed.
"""
SEED = 0  # of samples
LEAST = 0.85  # share that has to be noticed
WALL_S, MEMORY = 3600, 8 << 30  # what one run of the tests may take before it counts as failed; CPU time: see `Trial`
UNNOTICED, NOTICED, NOTICED_BY = 0, 1, 2  # exit codes of a fork; the last one plus the place of the test that failed


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One changed line of one module."""

    path: str  # of the module, from the root of the checkout
    line: int
    was: str
    becomes: str
    code: str  # of the whole module

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same when lines move."""
        return self.path, self.was, self.becomes

    @property
    def module(self) -> str:
        """Its name in imports."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def mutants(path: str, operators: list[str]) -> Iterator[Mutant]:
    """Every change of one module that compiles and can matter; none at all first, which no test may notice."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    source = (ROOT / path).read_text()
    silent = _silent(source)
    yield Mutant(path=path, line=0, was="", becomes="", code=source)
    for name in operator_names():
        if not any(fnmatch.fnmatch(name, f"core/{pattern}") for pattern in operators):
            continue
        operator = get_operator(name)()
        places = [place for node in ast_nodes(get_ast(source)) for place in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(places):
            if any(first <= start < last for first, last in silent):
                continue
            changed = mutate_code(source, operator, occurrence)
            if changed is None or changed == source or not _compiles(changed):
                continue
            was, becomes = _lines_that_differ(source, changed)
            if was.replace("*,", "/,") == becomes:  # arguments by name only: design
                continue
            yield Mutant(path=path, line=start[0], was=was, becomes=becomes, code=changed)


def _silent(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where a change says nothing.

    Annotations are never evaluated; arguments of a class's decorators are design (`slots=True`); `zip(strict=True)` guards
    against what does not happen.
    """
    nodes = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes += [
                node.returns,
                *(argument.annotation for argument in ast.walk(node.args) if isinstance(argument, ast.arg)),
            ]
        elif isinstance(node, ast.AnnAssign):
            nodes.append(node.annotation)
        elif isinstance(node, ast.keyword) and node.arg == "strict":
            nodes.append(node.value)
        elif isinstance(node, ast.ClassDef):
            nodes += [call for call in node.decorator_list if isinstance(call, ast.Call)]
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes if n is not None]


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _lines_that_differ(source: str, changed: str) -> tuple[str, str]:
    old, new = source.splitlines(), changed.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return " ".join(line.strip() for line in old), " ".join(line.strip() for line in new)


class Trial:
    """A pytest plugin that runs the collected tests on every change, each time in a fork of this process.

    The fork executes the changed module and all that import it anew, in their own namespaces: the modules of the tests, too.
    """

    def __init__(self, changes: Iterable[Mutant], jobs: int) -> None:
        self._waiting, self._jobs = iter(changes), jobs
        self._running: dict[int, tuple[Mutant, float]] = {}
        self._first: list[
            int
        ] = []  # tests that noticed the changes before, the last one first: the next is not far away
        self.outcomes: list[tuple[Mutant, bool]] = []  # whether it was noticed
        self.healthy, self._cpu_s = False, 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """First the code as it is, which also warms up whatever is loaded late; then every change."""
        before = time.process_time()
        self.healthy = bool(session.items) and not session.testsfailed and _failing(session, session.items) is None
        self._cpu_s = 3 + math.ceil(5 * (time.process_time() - before))  # a change that makes a loop endless
        order = _by_dependence() if self.healthy else {}
        gc.freeze()
        while self.healthy:
            while len(self._running) < self._jobs and (mutant := next(self._waiting, None)) is not None:
                pid = os.fork() or _child(session, mutant, order, self._first, self._cpu_s)
                self._running[pid] = mutant, time.monotonic() + WALL_S
            if not self._running:
                break
            self._collect()
        return True

    def _collect(self) -> None:
        for pid, (mutant, deadline) in list(self._running.items()):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._running[pid]
                code = os.waitstatus_to_exitcode(status)
                self.outcomes.append((mutant, code != UNNOTICED))
                if len(self.outcomes) % 100 == 0:
                    print(f"{len(self.outcomes)} changes tried", file=sys.stderr, flush=True)
                if code >= NOTICED_BY:
                    self._first = [code - NOTICED_BY, *(i for i in self._first if i != code - NOTICED_BY)]
        time.sleep(0.02)


def _failing(session: pytest.Session, items: list[pytest.Item]) -> int | None:
    """Place of the first test that fails."""
    for i, (item, following) in enumerate(itertools.zip_longest(items, items[1:])):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return i
    return None


def _child(
    session: pytest.Session, mutant: Mutant, order: dict[str, set[str]], first: list[int], cpu_s: int
) -> NoReturn:
    """Run the tests on one change and end, by a signal where a limit is reached."""
    code = NOTICED
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        used = math.ceil(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + cpu_s, used + cpu_s))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        exec(compile(mutant.code, str(ROOT / mutant.path), "exec"), sys.modules[mutant.module].__dict__)
        for name, needs in order.items():
            if mutant.module in needs:
                sys.modules[name].__spec__.loader.exec_module(sys.modules[name])
        places = dict.fromkeys([*first, *range(len(session.items))])
        failing = _failing(session, [session.items[i] for i in places])
        code = UNNOTICED if failing is None else min(NOTICED_BY + list(places)[failing], 255)
    finally:  # whatever happened: the parent's work is not for a child to go on with
        os._exit(code)


def _by_dependence() -> dict[str, set[str]]:
    """Loaded modules of the checkout, each after those that it imports, with all of them, directly or not."""
    loaded = {
        name: Path(module.__spec__.origin)
        for name, module in sys.modules.items()
        if name != "conftest" and str(getattr(getattr(module, "__spec__", None), "origin", "")).startswith(str(ROOT))
    }
    direct = {name: _imports(path) & loaded.keys() - {name} for name, path in loaded.items()}
    needs: dict[str, set[str]] = {}

    def visit(name: str) -> None:
        for other in sorted(direct[name] - visited):
            visited.add(other)
            visit(other)
        needs[name] = direct[name].union(*(needs.get(other, ()) for other in direct[name]))

    visited: set[str] = set()
    for name in sorted(loaded):
        if name not in visited:
            visited.add(name)
            visit(name)
    return needs


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def try_changes(changes: Iterable[Mutant], tests: list[str], jobs: int) -> list[tuple[Mutant, bool]]:
    """Every change, and whether the tests noticed it."""
    trial = Trial(changes, jobs)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        options = ["-q", "-s", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "not real and not browser"]
        pytest.main([*options, *tests], plugins=[trial])
    if not trial.healthy:
        raise SystemExit(f"{' '.join(tests)}: they fail on the code as it is, so nothing can be said of changes.")
    return trial.outcomes


def read_reasons() -> dict[tuple[str, str, str], str]:
    """Reasons by the key of a mutant, from survivors.md."""
    reasons, path = {}, ""
    for line in SURVIVORS.read_text(encoding="utf-8").splitlines() if SURVIVORS.exists() else []:
        if line.startswith("### "):
            path = line.removeprefix("### ")
        elif found := re.fullmatch(r"- `` (.*) `` becomes `` (.*) ``: (.*)", line):
            reasons[path, found[1], found[2]] = found[3]
    return reasons


def drawn(changes: list[Mutant], n: int) -> list[Mutant]:
    """So many of the changes, always the same, and those that change nothing."""
    real = [change for change in changes if change.line]
    kept = {id(change) for change in random.Random(SEED).sample(real, min(n, len(real)))}
    return [change for change in changes if not change.line or id(change) in kept]


def run_group(
    name: str, plan: dict, jobs: int, only: set | None, sample: int | None
) -> tuple[list[dict], list[Mutant]]:
    """Rows of the table, one per module, and what went unnoticed."""
    group, started = plan["groups"][name], time.monotonic()
    paths = [str(path.relative_to(ROOT)) for pattern in group["modules"] for path in sorted(ROOT.glob(pattern))]
    changes: Iterable[Mutant] = (
        m for path in paths for m in mutants(path, plan["operators"]) if only is None or not m.line or m.key in only
    )
    found = 0
    if sample is not None:
        every = list(changes)
        found, changes = sum(bool(m.line) for m in every), drawn(every, sample)
    outcomes = try_changes(changes, group["tests"], jobs)
    if odd := [mutant.path for mutant, seen in outcomes if seen and not mutant.line]:
        raise SystemExit(
            f"{', '.join(odd)}: tests fail when the module is executed anew, so nothing can be said of changes."
        )
    outcomes = [(mutant, seen) for mutant, seen in outcomes if mutant.line]
    rows = []
    for path in paths:
        noticed = [seen for mutant, seen in outcomes if mutant.path == path]
        rows.append(
            {"group": name, "module": path, "changes": len(noticed), "noticed": sum(noticed), "drawn_from": found}
        )
    print(f"{name}: {len(outcomes)} changes in {time.monotonic() - started:.0f} s", flush=True)
    return rows, sorted((m for m, seen in outcomes if not seen), key=lambda m: (m.path, m.line))


def table(rows: list[dict]) -> str:
    """Markdown: a line per row, and one of all."""
    lines = ["| | changes | noticed | share |", "| --- | ---: | ---: | ---: |"]
    whole = {"module": "**all**"} | {name: sum(row[name] for row in rows) for name in ("changes", "noticed")}
    for row in [row for row in rows if row["changes"]] + [whole]:
        name, total, noticed = row["module"].removeprefix("effnet_lab/"), row["changes"], row["noticed"]
        lines.append(f"| {name} | {total:,} | {noticed:,} | {noticed / max(total, 1):.1%} |")
    return "\n".join(lines)


def write(rows: list[dict], survivors: list[Mutant], reasons: dict) -> None:
    """The sections of survivors.md about what was run, with the reasons known so far, and the sums over all sections."""
    _, *sections = SURVIVORS.read_text(encoding="utf-8").split("\n## ") if SURVIVORS.exists() else [""]
    by_name = {section.split("\n", 1)[0]: section.rstrip() for section in sections if section.split("\n", 1)[0] != SUMS}
    for name in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == name]
        lines = [name, "", table(mine)]
        if found := mine[0]["drawn_from"]:
            lines += [
                "",
                f"A sample: {sum(row['changes'] for row in mine)} of {found} changes, drawn with seed {SEED}.",
            ]
        for path in (row["module"] for row in mine):
            keys = dict.fromkeys(m.key for m in survivors if m.path == path)
            lines += ["", f"### {path}", ""] if keys else []
            lines += [
                f"- `` {was} `` becomes `` {becomes} ``: {reasons.get((path, was, becomes), '')}"
                for _, was, becomes in keys
            ]
        by_name[name] = "\n".join(lines)
    sums = [
        {
            "group": "",
            "module": name,
            "changes": int(found[1].replace(",", "")),
            "noticed": int(found[2].replace(",", "")),
        }
        for name, text in by_name.items()
        if (found := re.search(r"\*\*all\*\* \| ([\d,]+) \| ([\d,]+)", text))
    ]
    parts = [HEAD, f"{SUMS}\n\n{table(sums)}", *by_name.values()]
    SURVIVORS.write_text("\n\n## ".join(part.strip() for part in parts) + "\n", encoding="utf-8")


def main() -> int:
    """Run, print the table, and fail below the share that has to be noticed."""
    plan = tomllib.loads((HERE / "plan.toml").read_text())
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("groups", nargs="*", choices=[[], *plan["groups"]])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--sample", type=int, help="changes per group at most, drawn with a fixed seed")
    parser.add_argument("--again", action="store_true", help="only what survivors.md lists")
    parser.add_argument("--write", action="store_true", help="write survivors.md")
    parser.add_argument("--show", action="store_true", help="print what went unnoticed")
    asked = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    reasons = read_reasons()
    rows, survivors = [], []
    for name in asked.groups or plan["groups"]:
        more = run_group(name, plan, asked.jobs, set(reasons) if asked.again else None, asked.sample)
        rows, survivors = rows + more[0], survivors + more[1]
    print(table(rows))
    unexplained = [m for m in survivors if not reasons.get(m.key)]
    for m in survivors if asked.show else unexplained:
        print(f"{m.path}:{m.line}\n    {m.was}\n    {m.becomes}")
    if asked.write:
        write(rows, survivors, reasons)
    noticed, total = sum(row["noticed"] for row in rows), sum(row["changes"] for row in rows)
    return 0 if noticed >= LEAST * total else 1


if __name__ == "__main__":
    sys.exit(main())
