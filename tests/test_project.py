"""pyproject.toml, requirements.lock, environment.yml, Makefile and .ci/run tell one story."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
OURS = {"effnet_lab", *(path.stem for path in (ROOT / "tests").glob("*.py"))}
PINS = {
    canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s\\;]+)", LOCK, re.MULTILINE)
}


def declared() -> list[Requirement]:
    project = PYPROJECT["project"]
    return [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_holds_what_the_project_asks_for(requirement):
    version = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_what_is_imported_is_asked_for():
    """Not left to what other packages happen to bring."""
    asked = {canonicalize_name(requirement.name) for requirement in declared()}
    distributions = packages_distributions()
    for path in [*(ROOT / "effnet_lab").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {name.split(".")[0] for name in modules} - sys.stdlib_module_names - OURS:
                homes = {canonicalize_name(name) for name in distributions[module]}
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
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.12"
    assert pip["pip"] == ["--require-hashes", "--requirement requirements.lock"]


def test_pip_takes_condas_list(tmp_path):
    """conda writes the pip section, line by line, into a requirements file beside environment.yml."""
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    (_bare_copy(tmp_path) / "conda.txt").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "-r", "conda.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_python_gets_a_message(tmp_path):
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "run", "PYTHON=python3.11-is-not-here"],
        cwd=_bare_copy(tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "effnet-lab needs Python 3.11" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_another_python_gets_a_message(tmp_path):
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1 || exit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "run", f"PYTHON={old}"],
        cwd=_bare_copy(tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    assert "is Python 3.9.1" in done.stderr
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
        "Makefile", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".ci", ".gitignore",
    }  # fmt: skip
    assert not [name for name in listed if name and (ROOT / name).stat().st_size > 2_500_000]
