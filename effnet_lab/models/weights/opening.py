"""Weights from every origin: by registered name, or from a file or folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

from effnet_lab.models.catalog import IMAGENET, KINDS, embedded_models, require_source
from effnet_lab.models.loaded import LoadedModel, from_keras
from effnet_lab.models.weights import archive, checkpoint, keras_file, native, saved_model, tflite, timm
from effnet_lab.models.weights.assemble import with_new_head
from effnet_lab.models.weights.files import REMOTE, fetch
from effnet_lab.names import UserError, lookup, suggest
from effnet_lab.scaling import LITE

if TYPE_CHECKING:
    import tf_keras

__all__ = ["embedded_models", "fetch", "load_model", "save_model", "with_new_head"]

PICKLES = (".pth", ".pt", ".bin", ".pkl")


def load_model(
    source: Union[str, Path, LoadedModel, tf_keras.Model],  # noqa: UP007
    variant: str | None = None,
    *,
    classes: int | Sequence[str] | None = None,
) -> LoadedModel:
    """Load a network with its weights, preprocessing and classes.

    Parameters
    ----------
    source : str, Path, LoadedModel or Keras model
        Name of an embedded model ("micro0"); "imagenet", the official weights of `variant`, downloaded once, which
        "imagenet-lite0" says in one word; or the path
        of a .safetensors (this project's or timm's), .keras, .h5, .weights.h5 or .tflite file, of a TF1 checkpoint
        (folder, prefix or official .tar.gz), or of a SavedModel or TF Hub module folder. What is loaded already comes back;
        a Keras model as a network of no family, whose input is guessed.
    variant : str, optional
        What the weights must belong to; recognised from the weights by default.
    classes : int or sequence of str, optional
        Put a new, random classifier of so many classes, or with these names, on the backbone.

    Returns
    -------
    LoadedModel
        With no classes, and pooled features as output, if the weights have no classifier and `classes` is not given.

    Raises
    ------
    UserError
        If there are no such weights, or they are damaged, or not of this kind or variant.
    """
    if isinstance(source, str | Path):
        model = _open(source, variant)
    else:
        model = source if isinstance(source, LoadedModel) else from_keras(source)
    if variant is not None and variant != model.family_spec.name:
        raise UserError(
            f"{source} holds weights of {model.family_spec.name!r}. Got variant {variant!r}; leave it out or correct it."
        )
    return model if classes is None else with_new_head(model, classes)


def save_model(model: str | Path | LoadedModel, path: str | Path) -> None:
    """Write weights, specification, preprocessing and classes; the suffix chooses the format.

    ".safetensors" (the same model gives the same bytes), ".keras", ".h5" or ".weights.h5". A name or a path is loaded first,
    which converts weights from one format to another.
    """
    path, model = Path(path), load_model(model)
    if path.name.endswith(keras_file.SUFFIXES):
        keras_file.save(model, path)
    elif path.suffix == ".safetensors":
        native.save_model(model, path)
    else:
        known = (".safetensors", *keras_file.SUFFIXES)
        raise UserError(f"{suggest('format', path.suffix, known)} Got {str(path)!r}.")


def _open(source: str | Path, variant: str | None) -> LoadedModel:
    embedded = embedded_models()
    if str(source) in REMOTE:
        source, variant = IMAGENET, str(source).removeprefix(f"{IMAGENET}-")
    if str(source) == IMAGENET:
        if variant is None:
            raise UserError(f"{IMAGENET!r} needs a variant: one of {', '.join(LITE)}.")
        lookup("variant with official weights", variant, LITE)
        return _open_archive(fetch(f"{IMAGENET}-{variant}"), variant)
    path = embedded.get(str(source), Path(source))
    if path.is_dir():
        return _open_folder(path, variant)
    if path.name.endswith(PICKLES):
        raise UserError(
            f"{path} is a pickle, which may hold code, and is never opened. Convert it where you trust it: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')."
        )
    if path.with_name(f"{path.name}.index").is_file() or path.name.endswith(".index"):
        return checkpoint.load(path, variant)
    if not path.is_file():
        require_source(source)
    return _open_file(path, variant)


def _open_file(path: Path, variant: str | None) -> LoadedModel:
    if path.suffix == ".safetensors":
        text, tensors = native.read(path)
        return timm.load(path, tensors, variant) if text is None else native.from_tensors(text, tensors, str(path))
    if path.suffix == ".tflite":
        return tflite.load(path, variant)
    if path.name.endswith(keras_file.SUFFIXES):
        return keras_file.load(path, variant)
    if path.name.endswith(archive.SUFFIXES):
        return _open_archive(path, variant)
    if ".ckpt" in path.name:  # a checkpoint of the first format is one file
        return checkpoint.load(path, variant)
    raise UserError(f"{path} is not a known kind of weights. Known: {KINDS}.")


def _open_archive(path: Path, variant: str | None) -> LoadedModel:
    with archive.unpacked(path) as folder:
        try:
            return _open_folder(folder, variant)
        except UserError as error:  # the user knows the archive, not where it was unpacked
            raise UserError(str(error).replace(str(folder), str(path))) from None


def _open_folder(path: Path, variant: str | None) -> LoadedModel:
    if (path / "saved_model.pb").is_file():
        return saved_model.load(path, variant)
    return checkpoint.load(path, variant)
