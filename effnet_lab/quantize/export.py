"""One network to the files that a board needs, each with its metadata."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from effnet_lab.images import ImageSet
from effnet_lab.litert import ModelInfo, embed_info, read_graph, read_info
from effnet_lab.litert.edit import with_unique_names
from effnet_lab.litert.io_types import require_io, with_io
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.quantize.ranges import Ranging
from effnet_lab.quantize.recipes import FLOAT32, Recipe, as_recipe
from effnet_lab.quantize.requantize import requantize
from effnet_lab.quantize.schemes import AI_EDGE, CONVERTER, Scheme, get_scheme

if TYPE_CHECKING:  # TensorFlow is loaded where a Keras model is converted
    from effnet_lab.models.loaded import LoadedModel

Target = tuple[Scheme | Recipe, str]  # what to write, and the back end that writes it
_TOOLS = {
    "effnet_lab": "effnet-lab",
    "tensorflow": "tensorflow",
    "litert": "ai-edge-litert",
    "quantizer": "ai-edge-quantizer",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Origin:
    """The float file that every other one is made from."""

    content: bytes
    info: ModelInfo
    reconvert: Callable[..., bytes] | None = None  # (scheme, float_tensors) -> content, through the converter


def targets(wanted: Sequence[str | Recipe], backends: Sequence[str]) -> list[Target]:
    """What `export` can write of these: every scheme or recipe once per back end that can, in the given order."""
    chosen = [(get_scheme(name) if isinstance(name, str) else name, backend) for name in wanted for backend in backends]
    able, refusals = [], {}
    for scheme, backend in chosen:
        try:
            as_recipe(scheme).require_backend(backend)
            able.append((scheme, backend))
        except UserError as refusal:
            refusals[scheme.name] = refusal
    for name, refusal in refusals.items():
        if not any(scheme.name == name for scheme, _ in able):
            raise refusal
    return able


def export(
    model: LoadedModel,
    wanted: Sequence[Target],
    out: Path | str,
    *,
    calibration: ImageSet | Ranging | None = None,
    io: str | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> list[Path]:
    """Write one .tflite file per target.

    Parameters
    ----------
    model : LoadedModel
    wanted : sequence of (Scheme or Recipe, back end)
        See `targets`.
    out : path
        Folder for files named ``MODEL.SCHEME.BACKEND.tflite``; with one target also the .tflite file itself.
    calibration : ImageSet or Ranging, optional
        Needed by static schemes; not the evaluation split.
    io : str, optional
        Type of input and output of static schemes: "int8", "uint8" or "float32" for int8 activations, "int16" or
        "float32" for int16; by default that of the activations.
    progress : callable, optional
        Wraps the calibration images, and the targets, as `tqdm` does.

    Raises
    ------
    UserError
        Before any file is written: a combination that does not exist, a pattern that matches no layer, images of the
        evaluation split, an activation that is not a number.
    """
    from effnet_lab.quantize.convert import convert, saved_model

    if model.fake_quantized:
        from effnet_lab.quantize.trained import export_trained  # it needs this module

        return export_trained(model, wanted, out, calibration=calibration, io=io, progress=progress)
    ranging = _check(wanted, calibration, io)
    paths = paths_of(model.name, wanted, Path(out))
    info = ModelInfo(
        model=model.name,
        variant=model.spec.name if model.spec else "",
        scheme=FLOAT32.name,
        backend=CONVERTER,
        preprocess=model.preprocess,
        classes=model.classes,
    )
    with saved_model(model) as folder:
        reconvert = partial(convert, folder, model=model, calibration=ranging.images)
        origin = _Origin(content=convert(folder, FLOAT32, model), info=info, reconvert=reconvert)
        return _write_all(origin, wanted, paths, ranging, io, progress)


def export_file(
    float_model: Path | str,
    wanted: Sequence[Target],
    out: Path | str,
    *,
    calibration: ImageSet | Ranging | None = None,
    io: str | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> list[Path]:
    """As `export`, from a float32 .tflite file instead of a Keras model: no TensorFlow, no conversion.

    Only the AI Edge Quantizer starts from such a file.
    """
    ranging = _check(wanted, calibration, io)
    if any(backend != AI_EDGE for _, backend in wanted):
        raise UserError(f"{CONVERTER} does not start from a .tflite file. Use --backend {AI_EDGE}.")
    content, info = with_unique_names(float_model), read_info(float_model)  # the quantizer finds tensors by name
    if (scheme := read_graph(content).scheme) != FLOAT32.name:
        raise UserError(f"{float_model} is {scheme}. Only a float32 file can be requantized.")
    paths = paths_of(info.model, wanted, Path(out))
    return _write_all(_Origin(content=content, info=info), wanted, paths, ranging, io, progress)


def quantizer(target: Target, calibration: ImageSet | Ranging | None = None) -> Callable[[bytes], bytes]:
    """A function from a float32 file to the quantized one with its metadata, by the AI Edge Quantizer."""

    def quantize(content: bytes) -> bytes:
        with tempfile.TemporaryDirectory(prefix="effnet-lab-") as folder:
            source = Path(folder) / "source.tflite"
            source.write_bytes(content)
            (path,) = export_file(source, [target], Path(folder) / "quantized.tflite", calibration=calibration)
            return path.read_bytes()

    return quantize


def _check(wanted: Sequence[Target], calibration: ImageSet | Ranging | None, io: str | None) -> Ranging:
    """Refuse what cannot work before any work starts."""
    ranging = calibration if isinstance(calibration, Ranging) else Ranging(images=calibration)
    for scheme, backend in wanted:
        recipe = as_recipe(scheme)
        recipe.require_backend(backend)
        if io is not None and recipe.base.calibrated:
            require_io(recipe.base.activations, io)
        if recipe.calibrated and (backend == CONVERTER or not ranging.collected):
            ranging.require_images(recipe.name)
    if io is not None and not any(as_recipe(scheme).base.calibrated for scheme, _ in wanted):
        require_io(FLOAT32.activations, io)
    return ranging


def _write_all(
    origin: _Origin,
    wanted: Sequence[Target],
    paths: Sequence[Path],
    ranging: Ranging,
    io: str | None,
    progress: Callable[..., Iterable] | None,
) -> list[Path]:
    graph = read_graph(origin.content)
    recipes = [as_recipe(scheme) for scheme, _ in wanted]
    for recipe in recipes:
        recipe.resolve(graph)  # a pattern that matches no layer is refused before the first file
    statistics = None
    if any(recipe.calibrated for recipe in recipes):
        ranging.require_size(origin.info.preprocess)
        statistics = ranging.measure(origin.content, origin.info.preprocess, progress)
    steps = list(zip(recipes, [backend for _, backend in wanted], paths, strict=True))
    for recipe, backend, path in progress(steps) if progress else steps:
        ranges = statistics.ranges(ranging.method) if recipe.calibrated and backend == AI_EDGE else None
        content = _quantize(origin, recipe, backend, ranges)
        own = recipe.base.activations  # a file with float activations keeps its input and output
        wished = io if io is not None and recipe.base.calibrated else own
        if wished != own:
            content = with_io(content, wished)
        info = replace(
            origin.info,
            scheme=recipe.name,
            backend=backend,
            recipe=recipe.text if recipe.selective else "",
            io=wished,
            calibration=ranging.record(statistics, backend) if recipe.calibrated else None,
            versions=versions(),
        )
        store(path, embed_info(content, info))
    return list(paths)


def _quantize(origin: _Origin, recipe: Recipe, backend: str, ranges: dict | None) -> bytes:
    if backend == AI_EDGE:
        return requantize(origin.content, recipe, ranges)
    if recipe.selective:
        chosen = recipe.resolve(read_graph(origin.content))
        kept = tuple(tensor for tensor, scheme in chosen.items() if scheme is FLOAT32)
        return origin.reconvert(recipe.base, float_tensors=kept)
    return origin.content if recipe.base is FLOAT32 else origin.reconvert(recipe.base)


def versions() -> dict[str, str]:
    """Of this project and of the tools that can have had a part in the file."""
    found = {}
    for name, distribution in _TOOLS.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:  # a checkout that was not installed
            found[name] = ""
    return found


def store(path: Path, content: bytes) -> None:
    """Write a file, or say in one line why it cannot be."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(
            f"Cannot write {path} ({len(content):,} bytes): {error.strerror}. Free some space, or choose another --out."
        ) from None


def paths_of(name: str, wanted: Sequence[Target], out: Path) -> list[Path]:
    """Where each target goes."""
    if out.suffix != ".tflite":
        return [out / f"{name}.{scheme.name}.{backend}.tflite" for scheme, backend in wanted]
    if len(wanted) != 1:
        raise UserError(f"{str(out)!r} is one file, and {len(wanted)} were asked for. Give a folder.")
    return [out]
