"""What numbers depend on beside the code: versions, the processor's features, and the kernels that run a file."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.versions import version_of

FILE = "environment.json"
CALIBRATION, INPUT = "calibration", "input"  # of a file: what is compared as a number is
_DISTRIBUTIONS = (
    "effnet-lab", "tensorflow", "tf_keras", "tensorflow-model-optimization", "ai-edge-litert", "ai-edge-quantizer",
    "tflite-micro", "ethos-u-vela", "numpy", "scipy", "pandas", "pillow", "scikit-learn", "numba", "plotly", "papermill",
    "ipykernel",
)  # fmt: skip
_FEATURES = {  # that choose kernels, in /proc/cpuinfo: of x86 and of Arm
    "sse4_1", "avx", "fma", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8", "amx_tile",
    "asimd", "asimddp", "i8mm", "fphp", "sve", "sve2",
}  # fmt: skip

NOT_RECORDED = "not recorded"
Environment = Mapping[str, str]


def environment() -> dict[str, str]:
    """What this process would compute with, as texts by name."""
    found = {f"version of {name}": version_of(name) or "not installed" for name in _DISTRIBUTIONS}
    return found | {
        "Python": ".".join(map(str, sys.version_info[:2])),
        "system": f"{platform.system()} {platform.machine()}",
        "processor features": processor_features(),
        "kernel path": kernel_path(),
    }


def processor_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Those that libraries choose their kernels by; "not known" where the system does not list them."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return "not known"
    flags = next(
        (line.split(":", 1)[1].split() for line in lines if line.lower().startswith(("flags", "features"))), []
    )
    return " ".join(sorted(_FEATURES & set(flags))) or "none"


def kernel_path() -> str:
    """The kernels that runs a .tflite file here when nothing else is asked for."""
    return "xnnpack" if version_of("ai-edge-litert") else "none"


def write_environment(folder: str | Path) -> Path:
    """Keep it beside the numbers, with what the files of the run say of their calibration and input."""
    path = Path(folder) / FILE
    write_atomically(path, as_bytes(environment() | conditions(Path(folder) / "files")))
    return path


def as_bytes(found: Environment) -> bytes:
    """The content of the file."""
    return json.dumps(dict(found), indent=1, sort_keys=True, ensure_ascii=False).encode()


def conditions(files: Path) -> dict[str, str]:
    """What .tflite files were calibrated with, and what they take: as their metadata say."""
    from effnet_lab.litert import read_info

    found = {}
    for path in sorted(files.rglob("*.tflite")):
        try:
            info = read_info(path)
        except UserError:
            continue
        name = path.relative_to(files).as_posix()
        if info.calibration is not None:
            c = info.calibration
            found[f"{CALIBRATION} of {name}"] = (
                f"{c.n_images} images of {c.name} {c.split} ({c.fingerprint}), {c.method}"
            )
        if info.preprocess is not None:
            found[f"{INPUT} of {name}"] = str(info.preprocess)
    return found


def read_environment(folder: str | Path) -> dict[str, str] | None:
    """What was kept beside the numbers of a folder; None if nothing was.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = Path(folder) / FILE
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"Cannot read {path}. Restore it, or remove it: then no drift of the environment is told.")
    return {str(name): str(value) for name, value in found.items()}


def drift(was: Environment | None, now: Environment | None) -> list[str]:
    """What differs between two environments, one sentence each; nothing where one is not known."""
    names = [name for name in dict.fromkeys((*(was or ()), *(now or ()))) if not _of_file(name)]
    return [f"{name} was {old}, is {new}" for name, old, new in _differences(was, now, names)]


def moved_conditions(was: Environment | None, now: Environment | None) -> list[tuple[str, str, str]]:
    """Files of both sides that were calibrated otherwise, or take another input: what of which, was, is."""
    return _differences(was, now, [name for name in was or () if _of_file(name) and name in (now or ())])


def _differences(was: Environment | None, now: Environment | None, names: list[str]) -> list[tuple[str, str, str]]:
    if was is None or now is None:
        return []
    pairs = [(name, was.get(name, NOT_RECORDED), now.get(name, NOT_RECORDED)) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _of_file(name: str) -> bool:
    return name.startswith((f"{CALIBRATION} of ", f"{INPUT} of "))
