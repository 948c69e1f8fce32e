"""Keras to .tflite through `tf.lite.TFLiteConverter`, the path that the field knows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tf_keras

from effnet_lab.images import ImageSet
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.quantize.schemes import Scheme
from effnet_lab.quiet import quiet


@contextlib.contextmanager
def saved_model(model: LoadedModel) -> Iterator[Path]:
    """The network with a softmax on top and a batch of one, as a SavedModel in a folder that is removed afterwards.

    A static batch from `ExportArchive` converts about five times as fast as `TFLiteConverter.from_keras_model`.
    """
    probabilities = tf_keras.layers.Softmax(name="probabilities")(model.keras.output)
    network = tf_keras.Model(model.keras.input, probabilities, name=model.name)
    side = model.preprocess.size_px
    with tempfile.TemporaryDirectory(prefix="effnet-lab-") as folder:
        with quiet():
            _write(network, side, folder)
        yield Path(folder)


def _write(network: tf_keras.Model, side: int, folder: str) -> None:
    archive = tf_keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        name="serve",
        fn=lambda images: network(images, training=False),
        input_signature=[tf.TensorSpec((1, side, side, 3), tf.float32, name="images")],
    )
    archive.write_out(folder)


def convert(folder: Path, scheme: Scheme, model: LoadedModel, calibration: ImageSet | None = None) -> bytes:
    """One .tflite file of a SavedModel.

    Parameters
    ----------
    folder : Path
        From `saved_model`.
    scheme : Scheme
        Static int8 has int8 input and output, per-channel weights.
    model : LoadedModel
        For its preprocessing.
    calibration : ImageSet, optional
        Needed by static schemes; every image is used.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if scheme.weight_bits < 32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme.weight_bits == 16:
        converter.target_spec.supported_types = [tf.float16]
    if scheme.calibrated:
        converter.representative_dataset = lambda: (
            [image[None]] for batch, _labels in calibration.batches(model.preprocess) for image in batch
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        return converter.convert()
