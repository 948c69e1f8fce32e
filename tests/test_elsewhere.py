"""The files to copy for GitHub Actions, GitLab CI, cron, Slurm, SSH and Kubernetes: each passes its own schema or linter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import croniter
import nbformat
import pytest
import yaml

from effnet_lab.regress.parameters import read_parameters
from effnet_lab.regress.sweeps.sweep import make_plan

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "docs" / "pages" / "how-to" / "files"
COMMANDS = ("run", "check", "sweep")


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.mark.parametrize(
    ("name", "schema"), [("github-actions.yml", "vendor.github-workflows"), ("gitlab-ci.yml", "vendor.gitlab-ci")]
)
def test_pipelines_keep_to_the_schema_of_their_service(tmp_path, name, schema):
    command = [program("check-jsonschema"), "--builtin-schema", schema]
    done = subprocess.run([*command, str(FILES / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / name
    broken.write_text((FILES / name).read_text().replace("script:", "scripts:").replace("runs-on:", "run-on:"))
    assert subprocess.run([*command, str(broken)], capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("name", ["nightly.sh", "slurm.sh", "ssh.sh"])
def test_scripts_pass_shellcheck(name):
    done = subprocess.run([program("shellcheck"), str(FILES / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_crontab_names_moments_and_a_script_that_is_there():
    lines = [
        line for line in (FILES / "crontab").read_text().splitlines() if line and not line.startswith(("#", "MAILTO"))
    ]
    (line,) = lines
    when, command = " ".join(line.split()[:5]), line.split(maxsplit=5)[5]
    assert croniter.croniter.is_valid(when)
    (script,) = re.findall(r"sh (\S+\.sh)", command)
    assert (ROOT / script).is_file()


def test_kubernetes_gets_a_cluster_of_the_operators_kind():
    cluster = yaml.safe_load((FILES / "kubernetes.yaml").read_text())
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    ports = {port["name"] for port in cluster["spec"]["scheduler"]["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in cluster["spec"]["scheduler"]["service"]["ports"]} == ports
    assert "worker" in cluster["spec"]["worker"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize("path", sorted(FILES.glob("*")), ids=lambda path: path.name)
def test_what_they_call_exists(path):
    from typer.main import get_command

    from effnet_lab.cli import app

    known = get_command(app).commands
    for command, rest in re.findall(r"(?m)^[^#\n]*effnet-lab (run|check|sweep|report)\b([^\n|>]*)", path.read_text()):
        options = {option for parameter in known[command].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options, path.name


def test_the_grid_to_copy_fits_the_notebook_to_copy():
    nbformat.validate(nbformat.read(FILES / "point.ipynb", as_version=4))
    plan = make_plan(FILES / "point.ipynb", FILES / "grid.yaml", profile="smoke")
    assert len(plan.points) == 12
    assert {"profile", "out_dir"} <= read_parameters(FILES / "point.ipynb").keys()
    assert not any(cell.get("outputs") for cell in json.loads((FILES / "point.ipynb").read_text())["cells"])
