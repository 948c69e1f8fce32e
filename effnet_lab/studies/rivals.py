"""The family beside the networks that a user would otherwise pick: measured here, next to what is published of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.bench.latency import N_RUNS, measure_latency
from effnet_lab.images import open_images
from effnet_lab.litert import read_info
from effnet_lab.names import lookup
from effnet_lab.scaling import LITE, published

if TYPE_CHECKING:  # TensorFlow is loaded where a file has to be built
    from effnet_lab.models import LoadedModel

OTHERS = ("mobilenet_v2", "resnet50", "inception_v3")
RIVALS = (*LITE, *OTHERS)
N_CALIBRATION = 8  # ranges of random weights change neither size nor latency
SCHEMES = {"float32": "converter", "static_wi8_ai8": "ai_edge_quantizer"}  # scheme: back end
# Where accuracies are taken from; of two that state the same, the first in the tables counts.
SOURCES = ("tensorflow/tpu", "Keras Applications", "TensorFlow Lite, model optimization")
_QUANTITIES = {  # scheme: published accuracy, published latency on a Pixel 4, CPU, 4 threads
    "float32": ("top1_float32", "latency_ms_float32_cpu"),
    "static_wi8_ai8": ("top1_int8", "latency_ms_int8_cpu"),
}
_LATENCY = ("host", "threads", "n_runs", "p50_ms", "p50_lo_ms", "p50_hi_ms", "guard")
_RELATIVE = ("relative_p50", "relative_p50_lo", "relative_p50_hi")


def rivals(
    names: Sequence[str] = RIVALS,
    folder: Path | str = "rivals",
    *,
    measured: Sequence[str] | None = None,
    size_px: int | None = None,
    threads: int = 1,
    n_runs: int = N_RUNS,
    n_blocks: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> pd.DataFrame:
    """RIVALS frame: two rows per network, float32 and int8.

    The files have random weights: size and latency do not depend on them. Accuracies and the latencies on a Pixel 4 are
    published, never ours, and NaN where nobody published one.

    Parameters
    ----------
    names : sequence of str
        Of `RIVALS`: lite0 to lite4, mobilenet_v2, resnet50, inception_v3.
    folder : path
        Where the files are kept; one of the right input size that is there already is not built again.
    measured : sequence of str, optional
        Those of the names that are built and measured here, by default all; the others keep NaN.
    size_px : int, optional
        Another input side for all, for a quick look; the published numbers are those of the full size.
    threads, n_runs, n_blocks
        See `measure_latency`.
    progress : callable, optional
        Wraps the networks while they are built, and the blocks of the measurement, as `tqdm` does.
    """
    for name in (*names, *(measured or ())):
        lookup("network", name, dict.fromkeys(RIVALS))
    chosen = [name for name in names if measured is None or name in measured]
    paths = []
    for name in progress(chosen) if progress else chosen:
        paths += _files(name, Path(folder), size_px)
    ours = _measure(paths, threads=threads, n_runs=n_runs, n_blocks=n_blocks, progress=progress) if paths else {}
    known = published()
    known = known[known["source"].str.startswith(SOURCES)].drop_duplicates(["model", "quantity"])
    stated = known.set_index(["model", "quantity"]).to_dict("index")
    rows = [
        dict(zip(frames.MODEL_FILE, (name, scheme, backend), strict=True))
        | _published(stated, name, scheme)
        | ours.get((name, scheme), {"host": "", "guard": ""})
        for name in names
        for scheme, backend in SCHEMES.items()
    ]
    return frames.build(frames.RIVALS, rows)


def _published(stated: dict[Hashable, dict[Hashable, Any]], name: str, scheme: str) -> dict[str, object]:
    """Columns of somebody else's numbers."""
    top1, latency = (stated.get((name, quantity), {}) for quantity in _QUANTITIES[scheme])
    return {
        "published_top1": top1.get("value", float("nan")),
        "published_source": top1.get("source", ""),
        "published_conditions": top1.get("conditions", ""),
        "published_ms": latency.get("value", float("nan")),
        "published_ms_source": latency.get("source", ""),
        "published_ms_conditions": latency.get("conditions", ""),
    }


def _measure(paths: Sequence[Path], **how: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Columns of our own numbers, by name and scheme."""
    table = measure_latency(paths, **how)
    return {
        (row["model"], row["scheme"]): {column: row[column] for column in (*_LATENCY, *_RELATIVE)}
        | {"size_bytes": path.stat().st_size, "size_px": _size_px(path)}
        for path, row in zip(paths, table.to_dict("records"), strict=True)
    }


def _size_px(path: Path) -> int | None:
    preprocess = read_info(path).preprocess
    return None if preprocess is None else preprocess.size_px


def _files(name: str, folder: Path, size_px: int | None) -> list[Path]:
    """Float and int8 file, built unless they are there."""
    from effnet_lab.models import REFERENCE_NETWORKS
    from effnet_lab.quantize import get_scheme, write_files
    from effnet_lab.quantize.files import paths_of

    side = size_px or (LITE[name].resolution if name in LITE else REFERENCE_NETWORKS[name].size_px)
    wanted = [(get_scheme(scheme), backend) for scheme, backend in SCHEMES.items()]
    paths = paths_of(name, wanted, folder)
    if all(path.is_file() and _size_px(path) == side for path in paths):
        return paths
    images = open_images(f"scenes?side_px={side}", split="calibration", limit=N_CALIBRATION)
    built: list[Path] = write_files(_build(name, side), wanted, folder, calibration=images)
    return built


def _build(name: str, size_px: int) -> LoadedModel:
    """A network with random weights."""
    from effnet_lab.images import Preprocess
    from effnet_lab.models import LoadedModel, build_model, build_reference

    if name not in LITE:
        return build_reference(name, size_px=size_px)
    spec = replace(LITE[name], resolution=size_px)
    classes = tuple(str(i) for i in range(1000))
    return LoadedModel(
        name=name, spec=spec, keras=build_model(spec), preprocess=Preprocess(size_px=size_px), classes=classes
    )
