"""What a bisection looks through, and the checkout and environment of each: made by git and uv."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically

LOCK, PROJECT = "requirements.lock", "pyproject.toml"
_SUFFIXES = (".whl", ".tar.gz")


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspected:
    """In order, the good one first and the bad one last."""

    kind: str  # "commit", or the name of a package
    names: tuple[str, ...]
    about: tuple[str, ...]  # a line for people
    prepare: Callable[[int, Path], tuple[Path, Path]]  # number and a folder -> checkout and environment


def commits_between(repo: Path, good: str, bad: str) -> Suspected:
    """The commits from the good one to the bad one, along first parents.

    Raises
    ------
    UserError
        If there is no repository, a commit is unknown, or the good one is no ancestor of the bad one.
    """
    ends = [_git(repo, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") for name in (good, bad)]
    between = _git(repo, "rev-list", "--first-parent", "--reverse", f"{ends[0]}..{ends[1]}").split()
    parent = _git(repo, "rev-list", "--first-parent", "--max-count=1", f"{between[0]}^") if between else ""
    if parent != ends[0]:
        raise UserError(
            f"{good} is no ancestor of {bad} along first parents. Name an older good commit of its history."
        )
    names = (ends[0], *between)
    about = tuple(_git(repo, "log", "-1", "--format=%s", name) for name in names)

    def prepare(number: int, folder: Path) -> tuple[Path, Path]:
        checkout = folder / "checkout"
        if not checkout.exists():
            _git(repo, "clone", "--quiet", "--shared", "--no-checkout", str(repo), str(checkout))
        _git(checkout, "checkout", "--quiet", "--force", "--detach", names[number])
        _git(checkout, "clean", "--quiet", "-fdx")
        return checkout, _project_environment(checkout, folder)

    return Suspected(kind="commit", names=tuple(name[:12] for name in names), about=about, prepare=prepare)


def versions_between(
    package: str, good: str, bad: str, versions: Sequence[str], repo: Path, find_links: str | Path
) -> Suspected:
    """The versions of a package from the good one to the bad one, which may be the older.

    Raises
    ------
    UserError
        If one of the two is not offered.
    """
    from packaging.version import InvalidVersion, Version

    offered = list(versions) or _offered(package, find_links)
    try:
        known = sorted({Version(version) for version in offered})
        first, last = Version(good), Version(bad)
    except InvalidVersion as error:
        raise UserError(f"{error}. Give versions such as 1.2.0.") from None
    for version in (first, last):
        if version not in known:
            shown = ", ".join(map(str, known[-8:])) or "none"
            raise UserError(f"There is no version {version} of {package}. The last are: {shown}.")
    low, high = sorted((known.index(first), known.index(last)))
    chosen = known[low : high + 1] if first <= last else known[low : high + 1][::-1]
    names = tuple(map(str, chosen))
    links = ["--find-links", str(Path(find_links).resolve()), "--no-index"] if str(find_links) else []

    def prepare(number: int, folder: Path) -> tuple[Path, Path]:
        environment = folder / f"version-{names[number]}"
        exact = folder / f"version-{names[number]}.txt"
        write_atomically(exact, f"{package}=={names[number]}\n".encode())
        _venv(environment)
        project = ["--editable", str(repo)] if (repo / PROJECT).is_file() else []
        _uv("pip", "install", "--python", str(environment), "--override", str(exact), f"{package}=={names[number]}",
            *project, *links)  # fmt: skip
        return repo, environment

    return Suspected(kind=package, names=names, about=tuple(f"{package} {name}" for name in names), prepare=prepare)


def _project_environment(checkout: Path, folder: Path) -> Path:
    """One environment per lock and project file; the commit's own code is installed from the checkout."""
    parts = [checkout / name for name in (LOCK, PROJECT)]
    content = b"\0".join(path.read_bytes() if path.is_file() else b"" for path in parts)
    environment = folder / f"environment-{hashlib.sha256(content).hexdigest()[:16]}"
    if not environment.exists():
        _venv(environment)
        if parts[0].is_file():
            _uv("pip", "install", "--python", str(environment), "--requirement", str(parts[0]))
        if parts[1].is_file():
            alone = ["--no-deps"] if parts[0].is_file() else []
            _uv("pip", "install", "--python", str(environment), *alone, "--editable", str(checkout))
    return environment


def _venv(environment: Path) -> None:
    _uv("venv", "--quiet", "--python", sys.executable, str(environment))


def _offered(package: str, find_links: str | Path) -> list[str]:
    """Versions in a folder of wheels, or on the package index."""
    if str(find_links):
        names = [path.name for path in Path(find_links).glob("*") if path.name.endswith(_SUFFIXES)]
        pairs = [name.removesuffix(".tar.gz").split("-")[:2] for name in names]
        return [pair[1] for pair in pairs if len(pair) == 2 and _same(pair[0], package)]
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("Available versions:")]
    if not lines:
        raise UserError(f"The package index offers no {package!r}. Check the name, or give the versions.")
    return [version.strip() for version in lines[0].partition(":")[2].split(",")]


def _same(name: str, other: str) -> bool:
    return name.lower().replace("_", "-").replace(".", "-") == other.lower().replace("_", "-").replace(".", "-")


def _git(repo: Path, *words: str) -> str:
    return _said("git", ["git", "-C", str(repo), *words])


def _uv(*words: str) -> str:
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise UserError("bisect makes its environments with uv, which is not here. Install it: pip install uv.")
    return _said("uv", [program, *words])


def _said(tool: str, command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"{tool} cannot be started: {error.strerror}. Install it.") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-120:]
        raise UserError(
            f"{tool} {command[1] if tool == 'uv' else command[3]} failed: {said or command[-1]}. Mend that, then repeat."
        )
    return done.stdout.strip()
