"""The first bad point: of the commits between two, or of the versions of one dependency, each in its own environment."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effnet_lab.names import UserError
from effnet_lab.paths import scratch_folder
from effnet_lab.regress.candidates import Suspected, commits_between, versions_between

GOOD, BAD, SKIPPED = "good", "bad", "skipped"
CANNOT_TELL = 125  # exit code of a check that cannot tell, as for `git bisect run`
SIGNALLED = 128  # from here on a check did not end by itself
COLUMNS = ("candidate", "verdict", "exit_code", "seconds", "about")
_LAST_WORDS = 200  # characters of what a check said


@dataclass(frozen=True, kw_only=True, slots=True)
class Bisection:
    """What was tried, and the first that is bad."""

    table: pd.DataFrame  # COLUMNS, one row per candidate that was tried, in their own order
    first_bad: str
    last_good: str
    sentence: str


def bisect(
    good: str,
    bad: str,
    check: str,
    *,
    package: str = "",
    repo: str | Path = ".",
    versions: Sequence[str] = (),
    find_links: str | Path = "",
    tell: Callable[[str], object] = lambda sentence: None,
) -> Bisection:
    """Find the first commit, or the first version of a dependency, with which a check fails.

    Parameters
    ----------
    good, bad : str
        Commits of `repo`, or versions of `package`: the check passes with the first and fails with the second.
    check : str
        A command, run in the checkout; exit code 0 is good, 125 cannot tell, any other is bad.
    package : str
        Look through its versions instead of commits; the code is that of `repo` as it stands.
    repo : path
        A git repository. Where it has a pyproject.toml it is installed, after its requirements.lock if there is one.
    versions : sequence of str
        Those to look through, in order; by default what the package index offers.
    find_links : path
        Folder of wheels to install from, instead of the index.
    tell : callable
        Takes a sentence per candidate.

    Raises
    ------
    UserError
        If the check fails with the good one or passes with the bad one, or an environment cannot be made.
    """
    words = _words(check)
    place = Path(repo).resolve()
    candidates = (
        versions_between(package, good, bad, versions, place, find_links)
        if package
        else commits_between(place, good, bad)
    )
    with scratch_folder() as folder:
        search = _Halving(candidates, words, folder, tell)
        search.run()
    return search.found()


class _Halving:
    """A binary search that steps aside where a check cannot tell."""

    def __init__(self, candidates: Suspected, check: list[str], folder: Path, tell: Callable[[str], object]) -> None:
        self._candidates, self._check, self._folder, self._tell = candidates, check, folder, tell
        self._tried: dict[int, tuple[str, int, float, str]] = {}
        self._good, self._bad = 0, len(candidates.names) - 1

    def run(self) -> None:
        """Try both ends, then halve what lies between."""
        for end, expected in ((0, GOOD), (self._bad, BAD)):
            verdict = self._try(end)
            if verdict != expected:
                name, said = self._candidates.names[end], self._tried[end][3]
                raise UserError(
                    f"The check should be {expected} with {name} and is {verdict}. Give other versions, or another check. "
                    f"It said: {said[-80:] or 'nothing'}"
                )
        while (at := self._next()) is not None:
            verdict = self._try(at)
            if verdict == GOOD:
                self._good = at
            elif verdict == BAD:
                self._bad = at

    def found(self) -> Bisection:
        """The verdict; several where what lies between could not be told."""
        names = self._candidates.names
        rows = [(names[at], verdict, code, seconds, self._candidates.about[at])
                for at, (verdict, code, seconds, _said) in sorted(self._tried.items())]  # fmt: skip
        between = names[self._good + 1 : self._bad]
        sentence = (
            f"{self._candidates.kind} {names[self._bad]} is the first bad one: {self._candidates.about[self._bad]}"
        )
        if between:
            sentence += f" (or one of {', '.join(between)}, of which the check cannot tell)"
        return Bisection(
            table=pd.DataFrame(rows, columns=list(COLUMNS)), first_bad=names[self._bad],
            last_good=names[self._good], sentence=sentence.rstrip(": "),
        )  # fmt: skip

    def _next(self) -> int | None:
        """The nearest to the middle that was not tried."""
        left = [at for at in range(self._good + 1, self._bad) if at not in self._tried]
        return min(left, key=lambda at: abs(2 * at - self._good - self._bad)) if left else None

    def _try(self, at: int) -> str:
        begun = time.perf_counter()
        place, environment = self._candidates.prepare(at, self._folder)
        code, said = _run(self._check, place, environment)
        verdict = GOOD if code == 0 else SKIPPED if code == CANNOT_TELL else BAD
        seconds = time.perf_counter() - begun
        self._tried[at] = (verdict, code, seconds, said)
        self._tell(f"{self._candidates.names[at]}: {verdict} ({seconds:.0f} s)")
        return verdict


def _words(check: str) -> list[str]:
    try:
        words = shlex.split(check)
    except ValueError as error:
        raise UserError(f"The check cannot be read: {error}. Give a command, as in 'python check.py'.") from None
    if not words:
        raise UserError("The check is empty. Give a command, as in 'effnet-lab check --results results'.")
    return words


def _run(check: list[str], place: Path, environment: Path) -> tuple[int, str]:
    """Exit code and last words of the check, with the environment's programs first."""
    path = os.pathsep.join([str(environment / "bin"), str(environment / "Scripts"), os.environ.get("PATH", "")])
    around = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    around |= {"PATH": path, "VIRTUAL_ENV": str(environment)}
    program = _program(check[0], environment)
    try:
        done = subprocess.run([program, *check[1:]], cwd=place, env=around, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"The check {check[0]!r} cannot be started: {error.strerror}. Give a command.") from None
    if done.returncode < 0 or done.returncode >= SIGNALLED:
        raise UserError(
            f"The check ended by a signal ({done.returncode}), which says neither good nor bad. Run it again."
        )
    said = " ".join((done.stdout + done.stderr).split())
    return done.returncode, said[-_LAST_WORDS:]


def _program(name: str, environment: Path) -> str:
    """The environment's own program, where it has one of that name."""
    mine = [environment / "bin" / name, environment / "Scripts" / f"{name}.exe"]
    return str(next((path for path in mine if path.exists()), name))
