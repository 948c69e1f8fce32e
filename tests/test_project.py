"""pyproject.toml, requirements.lock, environment.yml, Makefile and .ci/run tell one story."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
OURS = {"effnet_lab", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
PINS = [  # name, version, where it counts
    (canonicalize_name(name), version, Marker(marker) if marker else None)
    for name, version, marker in re.findall(r"^([\w.-]+)==([^\s\\;]+)(?: ; (.+?))? \\$", LOCK, re.MULTILINE)
]
PLATFORMS = {  # uv's name -> what a marker sees there
    "x86_64-manylinux_2_28": ("linux", "Linux", "x86_64", "posix"),
    "aarch64-manylinux_2_28": ("linux", "Linux", "aarch64", "posix"),
    "aarch64-apple-darwin": ("darwin", "Darwin", "arm64", "posix"),
    "x86_64-pc-windows-msvc": ("win32", "Windows", "AMD64", "nt"),
}
PYTHONS = ("3.11", "3.12", "3.13")
EVERYWHERE = pytest.mark.parametrize(
    ("platform", "python"), [(platform, python) for platform in PLATFORMS for python in PYTHONS]
)


def declared() -> list[Requirement]:
    project = PYPROJECT["project"]
    return [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]]


def environment(platform: str, python: str) -> dict[str, str]:
    system, name, machine, os_name = PLATFORMS[platform]
    return default_environment() | {
        "sys_platform": system, "platform_system": name, "platform_machine": machine, "os_name": os_name,
        "python_version": python, "python_full_version": f"{python}.7", "implementation_version": f"{python}.7",
    }  # fmt: skip


def pinned(where: dict[str, str]) -> dict[str, str]:
    """Version by name on one platform; no name twice."""
    pairs = [(name, version) for name, version, marker in PINS if marker is None or marker.evaluate(where)]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def needed(requirement: Requirement, where: dict[str, str]) -> list[Requirement]:
    """What a requirement needs in turn, read from the installed package; nothing if it is not installed here."""
    try:
        texts = requires(requirement.name) or []
    except PackageNotFoundError:
        return []
    found = [Requirement(text) for text in texts]
    extras = ["", *requirement.extras]
    return [r for r in found if r.marker is None or any(r.marker.evaluate(where | {"extra": e}) for e in extras)]


@EVERYWHERE
def test_the_lock_is_a_whole_environment(platform, python):
    """Whatever is asked for, by us or by what we ask for, has one pin on every platform, and a version that will do."""
    where, seen = environment(platform, python), set()
    pins, waiting = pinned(where), [r for r in declared() if r.marker is None or r.marker.evaluate(where)]
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        assert key[0] in pins, f"{requirement} is not in the lock for {platform}, Python {python}"
        assert requirement.specifier.contains(pins[key[0]], prereleases=True), f"{requirement}: {pins[key[0]]}"
        if key not in seen:
            seen.add(key)
            waiting += needed(requirement, where)
    assert ("tflite-micro" in pins) == (platform == "x86_64-manylinux_2_28")


@EVERYWHERE
def test_every_platform_has_wheels(platform, python, tmp_path):
    """With an index in reach: nothing in the lock has to be compiled on the user's machine."""
    command = [
        sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-deps", "--only-binary", ":all:", "--require-hashes",
        "--python-platform", platform, "--python-version", python, "--target", str(tmp_path / "nowhere"),
        "--python", sys.executable, "--requirement", str(ROOT / "requirements.lock"),
    ]  # fmt: skip
    quick = os.environ | {"UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=quick, capture_output=True, text=True)
    if re.search("Failed to fetch|error sending request|Network connectivity is disabled", done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    assert f"Would install {len(pinned(environment(platform, python)))} packages" in done.stderr


def test_what_runs_needs_no_development_tools():
    names = {canonicalize_name(Requirement(text).name) for text in PYPROJECT["project"]["dependencies"]}
    assert not names & {"pytest", "ruff", "mypy", "uv", "playwright", "kaleido", "mkdocs", "hypothesis"}


def test_what_is_imported_is_asked_for():
    """Not left to what other packages happen to bring."""
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    texts = [*PYPROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)]
    asked = {canonicalize_name(Requirement(text).name) for text in texts}
    distributions = packages_distributions()
    for path in [*(ROOT / "effnet_lab").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {name.split(".")[0] for name in modules} - sys.stdlib_module_names - OURS:
                homes = {canonicalize_name(name) for name in distributions.get(module, [module])}
                assert homes & asked, f"{path.name} imports {module}: ask for {homes} in pyproject.toml"


def test_every_pin_has_hashes_and_no_address():
    blocks = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(PINS)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in LOCK
    assert "index-url" not in re.sub(r"--no-emit-index-url", "", LOCK)


def test_the_lock_is_compiled_by_the_named_command():
    recipe = (ROOT / "Makefile").read_text().split("\nlock:")[1].split("\n\n")[0]
    header = LOCK.splitlines()[1].removeprefix("#").strip().removeprefix("uv ")
    words = recipe.split("$(BIN)/uv ")[1].replace("\\", " ").split()
    assert set(header.split()) == set(words) - {"--quiet"}


def test_conda_gets_the_same_environment():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *specs, pip = environment["dependencies"]
    names = {MatchSpec(spec).name.normalized: MatchSpec(spec) for spec in specs}
    assert {"python", "pip"} <= names.keys()
    assert str(names["python"].version).startswith("3.11")
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert pip["pip"] == ["--require-hashes", "--requirement requirements.lock"]


def test_pip_takes_condas_list(tmp_path):
    """conda writes the pip section, line by line, into a requirements file beside environment.yml."""
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    (_bare_copy(tmp_path) / "conda.txt").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "-r", "conda.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def fake_python(folder: Path, name: str, version: str) -> Path:
    """Program that says it is a Python of that version, and can do no more."""
    good = 0 if version.rpartition(".")[0] in PYTHONS else 1
    path = folder / name
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo Python {version} && exit 0\nexit {good}\n')
    path.chmod(0o755)
    return path


def make(folder: Path, *words: str, path: Path | None = None) -> subprocess.CompletedProcess:
    command = [shutil.which("make"), "--no-print-directory", "-f", str(ROOT / "Makefile"), *words]
    env = os.environ | ({"PATH": str(path)} if path else {})
    return subprocess.run(command, cwd=_bare_copy(folder), env=env, capture_output=True, text=True)


def test_a_missing_python_gets_a_message(tmp_path):
    done = make(tmp_path, "run", "PYTHON=python3.11-is-not-here")
    assert done.returncode != 0
    assert "effnet-lab needs Python 3.11, 3.12 or 3.13, and there is no 'python3.11-is-not-here'" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_another_python_gets_a_message(tmp_path):
    done = make(tmp_path, "run", f"PYTHON={fake_python(tmp_path, 'python-old', '3.9.1')}")
    assert "is Python 3.9.1" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("there", ["python3.12", "python3.13", "python3"])
def test_make_takes_the_python_that_is_there(tmp_path, there):
    """A python3.11 that does not start (pyenv leaves such) is passed over."""
    (shims := tmp_path / "bin").mkdir()
    fake_python(shims, "python3.11", "3.9.1")
    fake_python(shims, there, "3.12.4")
    done = make(tmp_path, "--dry-run", "run", path=shims)
    assert f"\n{there} -m venv --clear .venv\n" in done.stdout


def test_no_python_gets_a_message(tmp_path):
    (shims := tmp_path / "bin").mkdir()
    done = make(tmp_path, "run", path=shims)
    assert done.returncode != 0
    assert "effnet-lab needs Python 3.11, 3.12 or 3.13, and none is on the PATH" in done.stderr
    assert not (tmp_path / ".venv").exists()


def _bare_copy(folder: Path) -> Path:
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def test_the_top_of_the_house():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    top = {Path(name).parts[0] for name in listed if name}
    assert top == {
        "notebooks", "effnet_lab", "tests", "data", "environment.yml", "README.md", "pyproject.toml", "requirements.lock",
        "Makefile", "docs", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", ".ci", ".gitignore",
    }  # fmt: skip
    assert not [name for name in listed if name and (ROOT / name).stat().st_size > 2_500_000]
