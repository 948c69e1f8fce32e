"""One network to the files that a board needs, by one call. What is asked for is checked before anything slow is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet_lab.models.catalog import require_source
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.schemes import FORMATS, KINDS, SCHEMES

if TYPE_CHECKING:
    import pandas as pd

    from effnet_lab.images import Source, Stated
    from effnet_lab.quantize.calibration import Statistics
    from effnet_lab.quantize.certificate import Certificate
    from effnet_lab.quantize.files import Target
    from effnet_lab.quantize.float_file import Network
    from effnet_lab.quantize.ranges import Ranging
    from effnet_lab.quantize.recipes import Recipe
    from effnet_lab.quantize.schemes import Scheme
    from effnet_lab.quantize.write import Written

FEW_IMAGES = 100  # below, the ranges of activations depend on which images were taken
LIMIT = 200  # images of a named source or a path
DEFAULT, DEFAULT_OF_FILE = ("float32", "int8"), ("int8",)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exported:
    """What was written."""

    table: pd.DataFrame  # one row per .tflite file: MEMORY without the arena; io, n_calibration, file
    files: tuple[Path, ...]  # .tflite
    folders: tuple[Path, ...] = ()  # SavedModels
    notes: tuple[str, ...] = ()  # one line each
    certificates: tuple[pd.DataFrame, ...] = ()  # CERTIFICATE of every static file, where it was asked for


def export(
    weights: Network,
    out: Path | str,
    *,
    format: str | Sequence[str] | None = None,
    recipe: str | Path | Recipe | None = None,
    backend: str | Sequence[str] | None = None,
    io: str | None = None,
    calibration: Source = "scenes",
    split: str | None = None,
    limit: int | None = LIMIT,
    statistics: Path | str | Statistics | None = None,
    method: str = "minmax",
    variant: str | None = None,
    preprocess: Stated = None,
    certificate: bool = False,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Exported:
    """Write .tflite files with their preprocessing, labels, scheme and calibration inside; or SavedModels.

    Parameters
    ----------
    weights : name, path, LoadedModel or Keras model
        From a float32 .tflite file or a Keras model, of any architecture, the AI Edge Quantizer writes.
    out : path
        Folder for files named ``MODEL.SCHEME.BACKEND.tflite``; with one file, the file or SavedModel itself.
    format : str or sequence of str, optional
        Of `schemes.FORMATS` and `schemes.KINDS`, several separated by commas. By default float32 and int8; from a file int8.
    recipe : str, path or Recipe, optional
        Schemes by layer, see `parse_recipe`: one file more.
    backend : str or sequence of str, optional
        Each of them writes every format; "all": every one that can; by default the first that can.
    io : str, optional
        Type of input and output of static schemes: "int8", "uint8" or "float32" for int8 activations, "int16" or
        "float32" for int16; by default that of the activations.
    calibration : name, path, ImageSet or ArraySet
        Images for static schemes, never evaluation images; or arrays, .npy or .npz, for networks that take no pictures.
    split, limit : str, int
        Of a named source or a path; its calibration split by default.
    statistics : path or Statistics, optional
        Of this very network; a file is read if it is there, else written.
    method : str
        How the AI Edge Quantizer's ranges follow from the statistics, see `Statistics.ranges`.
    variant : str, optional
        As for `load_model`.
    preprocess : StatedInput or Preprocess, optional
        What the network takes, where it is not known: a calibration on a guess is refused. With a size, weights are opened
        at that size.
    certificate : bool
        Say how sure the calibration is: between which ends the outputs would lie with other images of the same kind.
    progress : callable, optional
        Wraps the calibration images, and the files, as `tqdm` does.

    Raises
    ------
    UserError
        Before any file is written: input that is wrong, a combination that does not exist.
    """
    formats = format.split(",") if isinstance(format, str) else list(format or ())
    for name in formats:
        lookup("format", name, dict.fromkeys((*FORMATS, *SCHEMES, *KINDS)))
    require_source(weights)
    asked = _Asked.of(weights, formats, recipe, backend, variant)
    asked.require()
    ranging = asked.ranging(calibration, split, limit, statistics, method)
    if certificate:
        asked.require_certificate(ranging)
    files, folders, notes = asked.write(Path(out), calibration=ranging, io=io, preprocess=preprocess, progress=progress)
    if (images := ranging.images) is not None:
        few = f" Fewer than {FEW_IMAGES}: ranges depend on which ones; give more." if len(images) < FEW_IMAGES else ""
        notes.append(f"Calibrated on {len(images):,} {images.counted} of {images.name}, split {images.split}.{few}")
    found = asked.certificates(ranging, preprocess, progress) if certificate else {}
    notes += [f"{scheme}: {each.sentence}" for scheme, each in found.items()]
    return Exported(
        table=_table(files), files=tuple(files), folders=tuple(folders), notes=tuple(notes),
        certificates=tuple(each.table for each in found.values()),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is to be written, of what."""

    weights: Network
    variant: str | None
    wanted: list[Target]
    kinds: list[str]
    from_file: bool  # the AI Edge Quantizer starts from the network as it is

    @classmethod
    def of(
        cls,
        weights: Network,
        formats: list[str],
        recipe: str | Path | Recipe | None,
        backend: str | Sequence[str] | None,
        variant: str | None,
    ) -> _Asked:
        from effnet_lab.quantize.backends import targets
        from effnet_lab.quantize.float_file import is_float_tflite, is_foreign
        from effnet_lab.quantize.recipes import Recipe, parse_recipe

        from_file = is_foreign(weights) or (variant is None and is_float_tflite(weights))
        chosen = formats or ([] if recipe else list(DEFAULT_OF_FILE if from_file else DEFAULT))
        rules = [recipe if isinstance(recipe, Recipe) else parse_recipe(recipe)] if recipe else []
        wanted = targets([*(name for name in chosen if name not in KINDS), *rules], backend, from_file=from_file)
        kinds = [name for name in chosen if name in KINDS]
        return cls(weights=weights, variant=variant, wanted=wanted, kinds=kinds, from_file=from_file)

    @property
    def needs_no_weights(self) -> bool:
        """Whether the file can stay what it is: nothing has to be converted."""
        from effnet_lab.quantize.schemes import AI_EDGE

        return self.from_file and not self.kinds and all(backend == AI_EDGE for _, backend in self.wanted)

    def require(self) -> None:
        """Refuse weights that cannot be opened, where they have to be."""
        from effnet_lab.quantize.float_file import require_weights

        if isinstance(self.weights, str | Path) and not self.needs_no_weights:
            require_weights(self.weights, self.variant)

    def ranging(
        self,
        calibration: Source,
        split: str | None,
        limit: int | None,
        statistics: Path | str | Statistics | None,
        method: str,
    ) -> Ranging:
        """What it is calibrated with; images are opened only where they are needed."""
        from effnet_lab.quantize.ranges import Ranging, calibration_images
        from effnet_lab.quantize.schemes import AI_EDGE

        kept = Path(statistics) if isinstance(statistics, str) else statistics
        ranging = Ranging(statistics=kept, method=method)
        calibrated = [backend for scheme, backend in self.wanted if scheme.calibrated]
        if not calibrated or (ranging.collected and set(calibrated) == {AI_EDGE}):
            return ranging
        return Ranging(images=calibration_images(calibration, split, limit), statistics=kept, method=method)

    @property
    def certified(self) -> list[Scheme | Recipe]:
        """The static files that the AI Edge Quantizer writes: of these the ranges can be drawn anew."""
        from effnet_lab.quantize.schemes import AI_EDGE

        return [scheme for scheme, backend in self.wanted if scheme.calibrated and backend == AI_EDGE]

    def require_certificate(self, ranging: Ranging) -> None:
        """Refuse a certificate that cannot be had, before any file is written."""
        from effnet_lab.quantize.certificate import require_enough

        if not self.certified or ranging.images is None:
            raise UserError(
                "--certificate needs a static format, calibration images and --backend ai_edge_quantizer. Add them, or leave it "
                "out."
            )
        if not ranging.collected:
            require_enough(len(ranging.images))

    def certificates(
        self, ranging: Ranging, preprocess: Stated, progress: Callable[..., Iterable[Any]] | None
    ) -> dict[str, Certificate]:
        """Of every file that can have one, by its scheme; the images are run once more where no statistics are kept."""
        from effnet_lab.litert import settle
        from effnet_lab.litert.edit import with_unique_names
        from effnet_lab.quantize.certificate import certify
        from effnet_lab.quantize.float_file import float_file

        given = float_file(self.weights, self.variant)
        info = settle(given.info, preprocess, measures="a calibration", shown=ranging.images)
        content = with_unique_names(given.content)
        fitted = ranging.fitted(content, info)
        statistics, images = fitted.measure(content, info.preprocess, progress), fitted.images
        assert images is not None
        return {
            scheme.name: certify(
                content, scheme, statistics, images, info.preprocess, method=ranging.method, progress=progress
            )
            for scheme in self.certified
        }

    def write(self, out: Path, **options: Any) -> tuple[list[Path], list[Path], list[str]]:
        """Files, folders, and a line about each folder."""
        from effnet_lab.quantize.write import write_each

        if self.needs_no_weights:
            return self._told(write_each(self.weights, self.wanted, out, **options))
        from effnet_lab.images.stated import stated_side
        from effnet_lab.models.resize import at_size
        from effnet_lab.quantize.files import file_name
        from effnet_lab.quantize.float_file import open_weights
        from effnet_lab.quantize.saved_models import export_saved_model

        if self.from_file and not isinstance(self.weights, str | Path):
            raise UserError(
                "A Keras model has no metadata: only the AI Edge Quantizer can write it. Use --backend ai_edge_quantizer."
            )
        given = self.weights
        model = open_weights(given, self.variant) if isinstance(given, str | Path) else given
        model = at_size(model, stated_side(options["preprocess"]))
        files, _none, said = self._told(write_each(model, self.wanted, out, **options) if self.wanted else [])
        folders = []
        for kind in self.kinds:
            folder = out if self.kinds == [kind] and not self.wanted else out / f"{file_name(model.name)}.{kind}"
            folders.append(export_saved_model(model, folder, kind))
        notes = [f"{folder}: {KINDS[kind]}" for folder, kind in zip(folders, self.kinds, strict=True)]
        return files, folders, said + notes

    def _told(self, written: Sequence[Written]) -> tuple[list[Path], list[Path], list[str]]:
        return (
            [one.path for one in written],
            [],
            [f"{one.path.name}: {said}." for one in written for said in one.remarks],
        )


def _table(files: Sequence[Path]) -> pd.DataFrame:
    import pandas as pd

    from effnet_lab.board import measure_memory
    from effnet_lab.litert import read_info

    if not files:
        return pd.DataFrame()
    infos = [read_info(path) for path in files]
    return pd.concat([measure_memory(path) for path in files], ignore_index=True).drop(columns="arena_bytes").assign(
        io=[info.io for info in infos],
        n_calibration=[info.calibration.n_images if info.calibration else 0 for info in infos],
        file=[str(path) for path in files],
    )  # fmt: skip
