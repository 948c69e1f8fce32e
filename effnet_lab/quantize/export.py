"""One network to the files that a board needs, each with its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from effnet_lab.images import ImageSet
from effnet_lab.litert import ModelInfo, embed_info
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.quantize.convert import convert, saved_model
from effnet_lab.quantize.requantize import requantize
from effnet_lab.quantize.schemes import Scheme, get_scheme, require_backend

Target = tuple[Scheme, str]  # a scheme and the back end that writes it


def targets(schemes: Sequence[str], backends: Sequence[str]) -> list[Target]:
    """What `export` can write of these: every scheme once per back end that knows it, in the given order."""
    chosen = [(get_scheme(name), backend) for name in schemes for backend in backends]
    able = [(scheme, backend) for scheme, backend in chosen if backend in scheme.backends]
    for scheme, backend in chosen:
        if not any(scheme is other for other, _ in able):
            require_backend(scheme, backend)
    return able


def export(
    model: LoadedModel,
    wanted: Sequence[Target],
    out: Path | str,
    *,
    calibration: ImageSet | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> list[Path]:
    """Write one .tflite file per target.

    Parameters
    ----------
    model : LoadedModel
    wanted : sequence of (Scheme, back end)
        See `targets`.
    out : path
        Folder for files named ``MODEL.SCHEME.BACKEND.tflite``; with one target also the .tflite file itself.
    calibration : ImageSet, optional
        Needed by static schemes; not the evaluation split.
    progress : callable, optional
        Wraps the targets, as `tqdm` does.
    """
    for scheme, backend in wanted:
        require_backend(scheme, backend)
        if scheme.calibrated and calibration is None:
            raise UserError(f"{scheme.name} needs calibration images. Name them with --calibration.")
    if calibration is not None and calibration.split == "evaluation":
        raise UserError(
            f"Calibration images must not be evaluation images. Got {calibration.name}, split 'evaluation'."
        )
    paths = _paths(model.name, wanted, Path(out))
    with saved_model(model) as source:
        float_content = convert(source, get_scheme("float32"), model)
        steps = list(zip(wanted, paths, strict=True))
        for (scheme, backend), path in progress(steps) if progress else steps:
            if scheme.name == "float32":
                content = float_content
            elif backend == "converter":
                content = convert(source, scheme, model, calibration)
            else:
                content = requantize(float_content, scheme, model.preprocess, calibration)
            info = ModelInfo(
                model=model.name,
                scheme=scheme.name,
                backend=backend,
                preprocess=model.preprocess,
                classes=model.classes,
            )
            write_atomically(path, embed_info(content, info))
    return paths


def _paths(name: str, wanted: Sequence[Target], out: Path) -> list[Path]:
    if out.suffix != ".tflite":
        return [out / f"{name}.{scheme.name}.{backend}.tflite" for scheme, backend in wanted]
    if len(wanted) != 1:
        raise UserError(f"{str(out)!r} is one file, and {len(wanted)} were asked for. Give a folder.")
    return [out]
