"""A float network in whatever form, as one float .tflite file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from effnet_lab.models.loaded import LoadedModel
from effnet_lab.names import UserError
from effnet_lab.quantize.schemes import get_scheme
from effnet_lab.quiet import quiet


def float_tflite(source: Path | str | LoadedModel | object) -> bytes:
    """Convert a float network to a float32 .tflite file with a batch of one.

    Parameters
    ----------
    source : path, LoadedModel or Keras model
        A path or a name is opened with `load_model`; a LoadedModel gets a softmax on top, as every export does; a Keras model,
        of any architecture with one input of fixed size, is converted as it is.
    """
    if isinstance(source, str | Path):
        from effnet_lab.models import load_model

        source = load_model(source)
    if isinstance(source, LoadedModel):
        from effnet_lab.quantize.convert import convert, saved_model

        with saved_model(source) as folder:
            return convert(folder, get_scheme("float32"), source)
    if not callable(getattr(source, "call", None)) or not hasattr(source, "inputs"):
        raise UserError(f"A float model is a path, a LoadedModel or a Keras model. Got {type(source).__name__}.")
    return _convert_keras(source)


def _convert_keras(network: object) -> bytes:
    import tensorflow as tf

    if len(network.inputs) != 1 or None in network.inputs[0].shape[1:]:
        raise UserError("The Keras model needs one input of fixed size. Build it with Input(shape=(height, width, 3)).")
    given = tf.TensorSpec((1, *network.inputs[0].shape[1:]), tf.float32, name="images")
    module = tf.Module()
    module.network = network
    module.serve = tf.function(lambda images: network(images, training=False), input_signature=[given])
    with tempfile.TemporaryDirectory(prefix="effnet-lab-") as folder, quiet():
        tf.saved_model.save(module, folder, signatures=module.serve)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())
