"""What several tests share: the reference data beside the checkout, and exported files of two embedded models."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import absl.logging
import filelock
import hypothesis
import pytest

# Its stream would be pytest's capture file, which it closes as soon as another library configures logging.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Networks as small as the tests' train two to three times cheaper on one thread than on several.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
# A busy machine is no failure: no example has to be quick.
hypothesis.settings.register_profile("here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("here")
SHARED = Path(__file__).resolve().parents[2] / "shared"
LONG = (  # files that take more than half a minute, the longest first: with several processes, none is left for the end
    "lab_notebooks", "from_weights", "qat", "notebooks", "sweep", "strategies", "integer", "training_runs", "weights", "verdicts",
    "photographs", "cli", "stopping", "fuzz", "any_network", "inspector_live", "calibration", "docs", "compress",
    "mixed_precision", "check", "export", "measure", "layer_notions", "report", "scaling_study", "training", "inspector",
    "repair", "reference_networks", "servers", "rivals",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, each in its own order."""
    order = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with other people's data and outputs; absent in a plain clone."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) are not beside this checkout")
    return SHARED


@pytest.fixture
def flowers_cache(shared, monkeypatch) -> Path:
    """The download cache with the flower photographs in it."""
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(shared / "data"))
    return shared / "data"


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    """micro0 in every scheme that both back ends write, by "scheme backend": one set for all processes of the run."""
    from effnet_lab.quantize import SCHEMES, targets

    wanted = targets(list(SCHEMES), "all")
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / "files", root / "files.json"
    with filelock.FileLock(root / "files.lock"):
        if not done.exists():
            done.write_text(json.dumps([str(path) for path in _written(wanted, folder)]))
    paths = [Path(path) for path in json.loads(done.read_text())]
    return {f"{scheme.name} {backend}": path for (scheme, backend), path in zip(wanted, paths, strict=True)}


def _written(wanted: list[tuple], folder: Path) -> list[Path]:
    from effnet_lab.images import open_images
    from effnet_lab.models import load_model
    from effnet_lab.quantize import write_files

    folder.mkdir()
    calibration = open_images("scenes", split="calibration", limit=60)
    return write_files(load_model("micro0"), wanted, folder, calibration=calibration)
