"""From one float network to files in any number of schemes, each with its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet_lab.images import Samples, Stated
from effnet_lab.litert import ModelInfo, embed_info, read_graph, settle
from effnet_lab.litert.edit import with_unique_names
from effnet_lab.litert.io_types import require_io, with_io
from effnet_lab.names import UserError
from effnet_lab.quantize.ai_edge import requantize
from effnet_lab.quantize.carried_out import remarks
from effnet_lab.quantize.files import Target, paths_of, store, tool_versions
from effnet_lab.quantize.float_file import Network, float_file, info_of_weights, is_loaded
from effnet_lab.quantize.ranges import Ranging
from effnet_lab.quantize.recipes import Recipe, as_recipe
from effnet_lab.quantize.schemes import AI_EDGE, CONVERTER, FLOAT32, INT8

if TYPE_CHECKING:  # TensorFlow is loaded where a Keras model is converted
    from effnet_lab.models.loaded import LoadedModel

TRAINED = "qat"  # stands as back end in the file: the converter, with ranges that quantization-aware training has found
Progress = Callable[..., Iterable[Any]]  # wraps what is gone through, as `tqdm` does


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The float file that every other one is made from, and what only the weights themselves can be asked for."""

    content: bytes
    info: ModelInfo
    reconvert: Callable[..., bytes] | None = None  # (scheme, float_tensors) -> content, through the converter
    trained: Callable[[], bytes] | None = None  # int8 with trained ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A file, and what its back end did not do for all layers: one sentence each."""

    path: Path
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One file to write."""

    recipe: Recipe
    backend: str
    path: Path

    @property
    def calibrated(self) -> bool:
        """Whether activation ranges have to be measured on images first."""
        return self.recipe.calibrated and self.backend != TRAINED


def write_each(
    network: Network,
    wanted: Sequence[Target],
    out: Path | str,
    *,
    calibration: Samples | Ranging | None = None,
    io: str | None = None,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> list[Written]:
    """Write one .tflite file of a network per target: all of them, or none.

    Of a network with fake quantization, ``static_wi8_ai8`` through the converter takes the trained ranges; the file says back
    end "qat" and has no calibration. Every other target starts from the trained weights without fake quantization.

    Parameters
    ----------
    network : LoadedModel, path of a float32 .tflite file, or Keras model
        The converter starts from a LoadedModel only; of the others no weights are converted again.
    wanted : sequence of (Scheme or Recipe, back end)
    out : path
        Folder for files named ``MODEL.SCHEME.BACKEND.tflite``; with one target also the .tflite file itself.
    calibration : Samples or Ranging, optional
        Needed by static schemes; not the evaluation split.
    io : str, optional
        Type of input and output of static schemes; by default that of the activations.
    preprocess : StatedInput or Preprocess, optional
        What the network takes, where the file does not say it, or to correct it; it is written into the files.
    progress : callable, optional
        Wraps the calibration images, and the targets.

    Raises
    ------
    UserError
        Before any file is written: a combination that does not exist, a pattern that matches no layer, a rule that the back
        end does not follow, images of the evaluation split, an activation that is not a number.
    """
    ranging = _ranging(calibration)
    if is_loaded(network):
        network = _with_input(network, preprocess, wanted)
        jobs = _jobs(network.name, [_as_trained(network, target) for target in wanted], out)
        _check(jobs, ranging, io)
        return _write_all(_origin(network, ranging), jobs, ranging, io, progress)
    given = float_file(network, keep_quantized=True)
    if (scheme := read_graph(given.content).scheme) != FLOAT32.name:
        raise UserError(f"{network} is {scheme}. Only a float32 file can be requantized.")
    info = settle(given.info, preprocess, measures=_measures(wanted), shown=ranging.images)
    jobs = _jobs(info.model, wanted, out)
    _check(jobs, ranging, io)
    if any(job.backend != AI_EDGE for job in jobs):
        raise UserError(f"{CONVERTER} does not start from a .tflite file. Use --backend {AI_EDGE}.")
    content = with_unique_names(given.content)  # the quantizer finds tensors by name
    return _write_all(Origin(content=content, info=info), jobs, ranging, io, progress)


def write_files(network: Network, wanted: Sequence[Target], out: Path | str, **options: Any) -> list[Path]:
    """As `write_each`: the paths alone."""
    return [written.path for written in write_each(network, wanted, out, **options)]


def quantizer(target: Target, calibration: Samples | Ranging | None = None) -> Callable[[bytes], bytes]:
    """A function from a float32 file to the quantized one with its metadata, by the AI Edge Quantizer."""

    def quantize(content: bytes) -> bytes:
        ranging, origin = _ranging(calibration), _origin_of_content(content)
        (job,) = _jobs(origin.info.model, [target], "")
        _check([job], ranging, None)
        ((quantized, _remarks),) = _contents(origin, [job], ranging, None, None)
        return quantized

    return quantize


@lru_cache(maxsize=2)  # the same file is quantized again and again
def _origin_of_content(content: bytes) -> Origin:
    return Origin(content=with_unique_names(content), info=float_file(content).info)


def _with_input(model: LoadedModel, preprocess: Stated, wanted: Sequence[Target]) -> LoadedModel:
    """The weights with what is stated of their input."""
    info = settle(info_of_weights(model), preprocess, measures=_measures(wanted))
    return model if info.preprocess is None else replace(model, preprocess=info.preprocess)


def _measures(wanted: Sequence[Target]) -> str:
    """What would be wrong with guessed values; "" where nothing is measured, and the guess is passed on as one."""
    return "a calibration" if any(as_recipe(scheme).calibrated for scheme, _ in wanted) else ""


def _jobs(name: str, wanted: Sequence[Target], out: Path | str) -> list[Job]:
    paths = paths_of(name, wanted, Path(out))
    return [
        Job(recipe=as_recipe(scheme), backend=backend, path=path)
        for (scheme, backend), path in zip(wanted, paths, strict=True)
    ]


def _as_trained(model: LoadedModel, target: Target) -> Target:
    if not model.fake_quantized or target != (INT8, CONVERTER):
        return target
    from effnet_lab.quantize.trained import trained_recipe

    return trained_recipe(model), TRAINED


def _origin(model: LoadedModel, ranging: Ranging) -> Origin:
    """What files of a Keras network are made from."""
    from effnet_lab.models.fake_quant import strip_fake_quant
    from effnet_lab.quantize.convert import convert, trace_model
    from effnet_lab.quantize.trained import convert_trained

    plain = strip_fake_quant(model)
    traced = trace_model(plain)
    return Origin(
        content=convert(traced, FLOAT32, plain),
        info=info_of_weights(plain),
        reconvert=partial(convert, traced, model=plain, calibration=ranging.images),
        trained=partial(convert_trained, model),
    )


def _ranging(calibration: Samples | Ranging | None) -> Ranging:
    return calibration if isinstance(calibration, Ranging) else Ranging(images=calibration)


def _check(jobs: Sequence[Job], ranging: Ranging, io: str | None) -> None:
    """Refuse what cannot work before any work starts."""
    for job in jobs:
        recipe = job.recipe
        if job.backend != TRAINED:
            recipe.require_backend(job.backend)
        if io is not None and recipe.base.calibrated:
            require_io(recipe.base.activations, io)
        if job.calibrated and (job.backend == CONVERTER or not ranging.collected):
            ranging.require_images(recipe.name)
    if io is not None and not any(job.recipe.base.calibrated for job in jobs):
        require_io(FLOAT32.activations, io)


def _write_all(
    origin: Origin, jobs: Sequence[Job], ranging: Ranging, io: str | None, progress: Progress | None
) -> list[Written]:
    made = list(_contents(origin, jobs, ranging, io, progress))  # the last one may be refused
    for job, (content, _remarks) in zip(jobs, made, strict=True):
        store(job.path, content)
    return [Written(path=job.path, remarks=tuple(said)) for job, (_content, said) in zip(jobs, made, strict=True)]


def _contents(
    origin: Origin, jobs: Sequence[Job], ranging: Ranging, io: str | None, progress: Progress | None
) -> Iterator[tuple[bytes, list[str]]]:
    """Every file in turn, with remarks."""
    graph = read_graph(origin.content)
    for job in jobs:
        if job.backend != TRAINED:
            job.recipe.resolve(graph)  # a pattern that matches no layer is refused before the first file
    statistics = None
    if any(job.calibrated for job in jobs):
        ranging = ranging.fitted(origin.content, origin.info)
        ranging.require_size(origin.info.preprocess)
        statistics = ranging.measure(origin.content, origin.info.preprocess, progress)
    for job in progress(jobs, unit=" file") if progress else jobs:
        recipe = job.recipe
        ranges = statistics.ranges(ranging.method) if statistics and job.calibrated and job.backend == AI_EDGE else None
        content = _quantize(origin, job, ranges)
        said = remarks(recipe, job.backend, graph, read_graph(content)) if job.backend != TRAINED else []
        own = recipe.base.activations  # a file with float activations keeps its input and output
        wished = io if io is not None and recipe.base.calibrated else own
        if wished != own:
            content = with_io(content, wished)
        info = replace(
            origin.info,
            scheme=recipe.name,
            backend=job.backend,
            recipe=recipe.text if recipe.selective else "",
            io=wished,
            calibration=ranging.record(statistics, job.backend) if statistics and job.calibrated else None,
            versions=tool_versions(),
        )
        yield embed_info(content, info), said


def _quantize(origin: Origin, job: Job, ranges: dict[str, Any] | None) -> bytes:
    recipe = job.recipe
    if job.backend == AI_EDGE:
        return requantize(origin.content, recipe, ranges)
    assert origin.trained is not None  # `write_each` lets nothing else through
    assert origin.reconvert is not None
    if job.backend == TRAINED:
        return origin.trained()
    if recipe.selective:
        chosen = recipe.resolve(read_graph(origin.content))
        kept = tuple(tensor for tensor, scheme in chosen.items() if scheme is FLOAT32)
        return origin.reconvert(recipe.base, float_tensors=kept)
    return origin.content if recipe.base is FLOAT32 else origin.reconvert(recipe.base)
