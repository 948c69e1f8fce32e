"""The same sweep as a Snakefile, for those who live there: one rule, one file per point."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effnet_lab.ledger import POINT, POINTS
from effnet_lab.paths import write_atomically
from effnet_lab.regress.sweeps.fingerprint import with_absolute_paths
from effnet_lab.regress.sweeps.ledger import SweepFolder
from effnet_lab.regress.sweeps.sweep import make_plan

GRID = "grid.json"  # YAML, too
_TEXT = """# {n} points of {notebook}; made by: effnet-lab sweep --snakemake
# Run:  snakemake --cores 2 --keep-going
KEYS = {keys}


rule all:
    input:
        expand("{points}/{{key}}/{point}", key=KEYS)


rule point:
    output:
        "{points}/{{key}}/{point}"
    shell:
        {command}
"""


def write_snakefile(
    notebook: str | Path, grid: str | Path | Mapping[str, Any], *, out: str | Path = "sweep", profile: str = "smoke"
) -> Path:
    """Write ``Snakefile``, the grid and the notebook into the folder of a sweep, and run nothing.

    Returns
    -------
    Path
        The Snakefile. Run it in its folder: ``snakemake --cores 2``.
    """
    given = make_plan(notebook, grid, profile=profile)
    points = {"points": [with_absolute_paths(values) for values in given.points.values()]}
    plan, root = make_plan(given.notebook, points, profile=profile), SweepFolder(out).root
    write_atomically(root / GRID, json.dumps(points, indent=1).encode())
    write_atomically(root / plan.notebook.name, plan.source)
    words = ["effnet-lab", "sweep", f"./{plan.notebook.name}", "--grid", GRID, "--out", ".", "--profile", profile]
    command = f"{shlex.join(words)} --point {{wildcards.key}}"
    text = _TEXT.format(
        n=len(plan.points), notebook=plan.notebook.stem, keys=json.dumps(list(plan.points), indent=4), points=POINTS,
        point=POINT, command=json.dumps(command),
    )  # fmt: skip
    write_atomically(root / "Snakefile", text.encode())
    return root / "Snakefile"
