"""One network to a SavedModel folder: the whole of it, or a module that `tensorflow_hub` trains further."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.models.fake_quant import strip_fake_quant
from effnet_lab.models.features import features_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.models.weights.saved_model import write_about
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.schemes import KINDS
from effnet_lab.quiet import quiet


def export_saved_model(model: LoadedModel, folder: Path | str, kind: str = "saved-model") -> Path:
    """Write a TF2 SavedModel: the whole folder or nothing.

    Both kinds take float32 (n, size_px, size_px, 3), any n, the module other sizes too, and follow the Reusable SavedModel
    interface
    (``__call__(images, training=False)``, ``variables``, ``trainable_variables``, ``regularization_losses``), so that
    ``tensorflow_hub.KerasLayer(folder, trainable=True)`` fine-tunes them: its batch norm then uses and updates the
    statistics of the batch. `load_model` opens both again.

    Parameters
    ----------
    model : LoadedModel
    folder : path
        New, or empty.
    kind : str
        "saved-model": normalised images to logits, signature ``images -> logits`` (``features`` without a classifier).
        "hub-feature-vector": images in [0, 1], normalised inside, to pooled features, signature ``inputs -> default``.

    References
    ----------
    tensorflow.org/hub: reusable_saved_models, common_saved_model_apis/images (image feature vector).
    """
    lookup("kind of SavedModel", kind, KINDS)
    model, folder = strip_fake_quant(model), Path(folder)
    _require_room(folder)
    if kind == "hub-feature-vector":
        network, prepare, names = (
            _of_any_size(features_model(model)),
            _from_unit_range(model.preprocess),
            ("inputs", "default"),
        )
        side = None
    else:
        network, prepare, names = model.keras, tf.identity, ("images", "logits" if model.classes else "features")
        side = model.preprocess.size_px
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
            module = Path(beside) / folder.name
            with quiet():
                _write(network, prepare, side, names, module)
            write_about(model, module)
            os.replace(module, folder)  # also onto an empty folder
    except (OSError, tf.errors.OpError) as error:
        raise _cannot_write(folder, error) from None
    return folder


def _require_room(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} exists, and is not an empty folder. Give a new name, or remove it first.")


def _of_any_size(network: tf_keras.Model) -> tf_keras.Model:
    """The same layers and weights behind an input of no fixed height and width."""
    images = tf_keras.layers.Input((None, None, 3), name="input")
    return tf_keras.models.clone_model(network, input_tensors=images, clone_function=lambda layer: layer)


def _from_unit_range(preprocess: Preprocess) -> Callable[[tf.Tensor], tf.Tensor]:
    """Images in [0, 1], which TF Hub asks for, to what the weights were trained with."""
    return lambda images: (images * 255.0 - preprocess.mean) / preprocess.std


def _write(
    network: tf_keras.Model, prepare: Callable[..., Any], side: int | None, names: tuple[str, str], folder: Path
) -> None:
    """A root object with variables and functions only: a Keras model inside would be traced again, layer by layer."""

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def call(images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return network(prepare(images), training=training)

    given, returned = names
    images = tf.TensorSpec((None, side, side, 3), tf.float32, name=given)
    for training in (False, True):
        call.get_concrete_function(images, training=training)

    @tf.function(input_signature=[images])  # type: ignore[untyped-decorator]
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {returned: call(images, training=False)}

    root = tf.train.Checkpoint()
    root.variables, root.trainable_variables = list(network.variables), list(network.trainable_variables)
    root.regularization_losses = []
    root.__call__ = call
    tf.saved_model.save(root, str(folder), signatures=serve)


def _cannot_write(place: Path | str, error: Exception) -> UserError:
    """The one line for a full or closed disk, whether Python or TensorFlow has met it."""
    reason = str(getattr(error, "strerror", None) or getattr(error, "message", None) or error).splitlines()[0]
    return UserError(f"Cannot write {place}: {reason}. Free some space, or choose another place.")
