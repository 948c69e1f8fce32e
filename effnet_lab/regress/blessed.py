"""The accepted numbers: where they lie, how closely each must be met, and who accepted them, when and why."""

from __future__ import annotations

import getpass
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from effnet_lab.frames import FRAMES, Frame
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import data_dir, write_atomically
from effnet_lab.regress.csv_files import read_csv, write_csv
from effnet_lab.regress.recorded import frame_of
from effnet_lab.regress.rules import Exact, Ratio, Relative, Rule, Within, parse_rule
from effnet_lab.regress.sweeps.ledger import is_sweep

LOG = "blessed.jsonl"  # one line per blessing
TOLERANCES = "tolerances.yaml"  # in a folder of one's own: rules beside those below, or instead of them
NOT_SAID = "not said"
Rules = Mapping[str, Mapping[str, Rule]]

_COUNT = Exact()
RULES: dict[str, dict[str, Rule]] = {
    "counts": dict.fromkeys(
        ("op", "out_side_px", "out_channels", "params", "madds", "activation_bytes", "weight_bytes"), _COUNT
    ),
    "variants": dict.fromkeys(
        ("width", "depth", "resolution_px", "params", "madds", "peak_activation_bytes", "flash_bytes"), _COUNT
    ),
    "layer_error": {
        "op": _COUNT,
        "data": _COUNT,  # a condition, not a result: other images explain other numbers
        "n_images": _COUNT,
        "kernels": _COUNT,
        "float_min": Relative(1e-3, 1e-3),  # of the float network: moves with the input and the weights, not with int8
        "float_max": Relative(1e-3, 1e-3),
        "scale": Relative(1e-3),  # a range; the float kernels that it comes from differ by less
        "sqnr_accumulated_db": Within(1.0),  # kernels of other processors differ by up to 1.1 dB
        "weight_sqnr_db": Within(0.1),
        "weight_worst_channel_sqnr_db": Within(0.1),
    },
    "layer_effect": {
        "op": _COUNT,
        "data": _COUNT,
        "n_images": _COUNT,
        "sqnr_effect_db": Within(1.0),  # as the accumulated error: kernels of other processors differ
    },
    "accuracy": {"n_images": _COUNT, "top1": Within(0.01)},
    "latency": {"relative_p50": Ratio(3.0)},  # never a time: those belong to one machine
    "memory": {
        "size_bytes": Ratio(1.01),  # converters change their metadata between releases
        "peak_activation_bytes": _COUNT,
        "params": _COUNT,
        "madds": _COUNT,
    },
    "footprint": {"weight_bytes": _COUNT, "arena_head_bytes": _COUNT, "planned_head_bytes": _COUNT},
    "ethosu": {"npu_ops": _COUNT, "cpu_ops": _COUNT, "madds": _COUNT, "inference_ms": Ratio(1.02)},
    "repair": {"n_images": _COUNT, "top1": Within(0.02)},
    "activation_style": {"n_images": _COUNT, "float_top1": Within(0.01), "int8_top1": Within(0.03)},
    "claims": {"verdict": _COUNT, "ours": Ratio(1.0001)},
    "grid_effects": {"variance_share": Within(1e-6), "n_files": _COUNT},  # of a table that comes with the workbench
}


def baselines_folder(baselines: str | Path | None) -> Path:
    """The folder that was named, or the one that comes with the workbench."""
    return data_dir() / "baselines" if baselines is None else Path(baselines)


def rules_of(folder: Path) -> Rules:
    """The rules above, and those that the folder states itself.

    Raises
    ------
    UserError
        If a frame or column is unknown, or a rule cannot be read.
    """
    path = folder / TOLERANCES
    if not path.exists():
        return RULES
    import yaml

    try:
        stated = yaml.safe_load(path.read_bytes())
        pairs = [(frame, dict(columns)) for frame, columns in dict(stated).items()]
    except (OSError, yaml.YAMLError, TypeError, ValueError):
        raise UserError(
            f"{path} must name frames and columns, as in 'accuracy: {{top1: \"± 0.02\"}}'. Mend it."
        ) from None
    rules: dict[str, dict[str, Rule]] = {name: dict(columns) for name, columns in RULES.items()}
    for name, columns in pairs:
        known = {column: column for column in lookup("frame", str(name), FRAMES).values}  # noqa: PD011
        for column, rule in columns.items():
            rules.setdefault(str(name), {})[lookup(f"column of {name}", str(column), known)] = parse_rule(str(rule))
    return rules


def blessed_rows(folder: Path, rules: Rules, results: str | Path) -> dict[str, pd.DataFrame]:
    """Baseline rows per frame, indexed by the keys that the rows of `results` have."""
    if is_sweep(results) and folder == baselines_folder(None):
        raise UserError(
            f"{results} is a sweep; the baselines of the workbench are those of runs. Compare it with another sweep "
            "(--against), or with baselines of its own (--baselines)."
        )
    paths = {name: folder / f"{name}.csv" for name in rules}
    keys = {name: list(frame_of(name, results).keys) for name in paths}
    return {name: read_csv(path, keys[name]).set_index(keys[name]) for name, path in paths.items() if path.exists()}


def no_rows(frame: Frame) -> pd.DataFrame:
    """A frame without rows, indexed by key."""
    return pd.DataFrame(columns=list(frame.columns)).set_index(list(frame.keys))


def write_blessed(rows: pd.DataFrame, path: Path) -> bool:
    """Write or remove one file; whether that changed anything."""
    before = path.read_bytes() if path.exists() else None
    if len(rows):
        write_csv(rows.reset_index(), path)
    else:
        path.unlink(missing_ok=True)
    return before != (path.read_bytes() if path.exists() else None)


def log_blessing(folder: Path, changed: Sequence[Path], *, why: str, who: str = "") -> Path:
    """Add who accepted which files, when and why, as one line."""
    line = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": who or _user(),
        "why": why or NOT_SAID,
        "files": [path.name for path in changed],
    }
    path = folder / LOG
    before = path.read_bytes() if path.exists() else b""
    write_atomically(path, before + (json.dumps(line, ensure_ascii=False) + "\n").encode())
    return path


def _user() -> str:
    """As git knows the user, or else the system."""
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(  # nosec B607  # the user's own git
            ["git", "config", "user.name"], capture_output=True, text=True, timeout=10, check=True
        )
        if said.stdout.strip():
            return said.stdout.strip()
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return "not known"
