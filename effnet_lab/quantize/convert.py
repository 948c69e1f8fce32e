"""Keras to .tflite through `tf.lite.TFLiteConverter`, the path that the field knows."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from effnet_lab.images import Samples
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.names import UserError
from effnet_lab.paths import scratch_folder
from effnet_lab.quantize.schemes import FLOAT32, Scheme
from effnet_lab.quiet import quiet

_INTEGER = {  # op set of a static scheme by the bits of its activations
    8: tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    16: tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}

_KEPT = 4  # float files of the networks that were converted last; the same one is asked many questions
_FLOAT_FILES: dict[bytes, bytes] = {}


@contextlib.contextmanager
def conversions(model: LoadedModel) -> Iterator[Callable[..., bytes]]:
    """A function that converts this network as `convert` does, and what it has converted to float32 once, not again."""
    with contextlib.ExitStack() as stack:
        folders: list[Path] = []

        def make(scheme: Scheme, **options: Any) -> bytes:
            key = _digest(model) if scheme is FLOAT32 and model.spec is not None else b""
            if key in _FLOAT_FILES:
                return _FLOAT_FILES[key]
            if not folders:
                folders.append(stack.enter_context(saved_model(model)))
            content = convert(folders[0], scheme, model, **options)
            if key:
                _FLOAT_FILES[key] = content
                while len(_FLOAT_FILES) > _KEPT:
                    _FLOAT_FILES.pop(next(iter(_FLOAT_FILES)))
            return content

        yield make


def _digest(model: LoadedModel) -> bytes:
    """Of everything that a float file depends on."""
    about = f"{model.name} {model.preprocess.size_px} {bool(model.classes)} {model.keras.to_json()}"
    found = hashlib.sha256(about.encode())
    for variable in model.keras.weights:
        found.update(variable.numpy().tobytes())
    return found.digest()


@contextlib.contextmanager
def saved_model(model: LoadedModel) -> Iterator[Path]:
    """The network with a softmax on top and a batch of one, as a SavedModel in a folder that is removed afterwards.

    Without classes there is no softmax. A static batch from `ExportArchive` converts about five times as fast as
    `TFLiteConverter.from_keras_model`.
    """
    network, side = model.keras, model.preprocess.size_px
    if model.classes:
        probabilities = tf_keras.layers.Softmax(name="probabilities")(network.output)
        network = tf_keras.Model(network.input, probabilities, name=model.name)
    with scratch_folder() as folder:
        try:
            with quiet():
                _write(network, (side, side, 3), folder)
        except (OSError, tf.errors.OpError) as error:
            raise cannot_write(tempfile.gettempdir(), error) from None
        yield folder


def convert_keras(network: tf_keras.Model) -> bytes:
    """The float32 .tflite file of any Keras model with one input of fixed size, as it is."""
    with scratch_folder() as folder, quiet():
        _write(network, network.inputs[0].shape[1:], folder)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def _write(network: tf_keras.Model, shape: Sequence[int], folder: Path) -> None:
    archive = tf_keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        name="serve",
        fn=lambda images: network(images, training=False),
        input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="images")],
    )
    archive.write_out(str(folder))


def cannot_write(place: Path | str, error: Exception) -> UserError:
    """The one line for a full or closed disk, whether Python or TensorFlow has met it."""
    reason = str(getattr(error, "strerror", None) or getattr(error, "message", None) or error).splitlines()[0]
    return UserError(f"Cannot write {place}: {reason}. Free some space, or choose another place.")


def convert(
    folder: Path,
    scheme: Scheme,
    model: LoadedModel,
    calibration: Samples | None = None,
    float_tensors: Sequence[str] = (),
) -> bytes:
    """One .tflite file of a SavedModel.

    Parameters
    ----------
    folder : Path
        From `saved_model`.
    scheme : Scheme
        Static schemes have input and output of the type of their activations.
    model : LoadedModel
        For its preprocessing.
    calibration : Samples, optional
        Needed by static schemes; every image is used.
    float_tensors : sequence of str
        Names, in the float file, of the tensors whose ops an int8 scheme leaves in float32.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if scheme.weight_bits < 32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme.weight_bits == 16:
        converter.target_spec.supported_types = [tf.float16]
    if scheme.granularity == "tensor":
        converter._experimental_disable_per_channel = True  # there is no public switch
    if scheme.calibrated:
        assert calibration is not None
        converter.representative_dataset = lambda: (
            [value[None] for value in values] for values in calibration.samples(model.preprocess)
        )
        if float_tensors:
            return _selective(converter, float_tensors)
        converter.target_spec.supported_ops = [_INTEGER[scheme.activation_bits]]
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(scheme.activations)
    with quiet():
        return bytes(converter.convert())


def _selective(converter: tf.lite.TFLiteConverter, float_tensors: Sequence[str]) -> bytes:
    """Int8 but for these tensors: the debugger's denylist is the converter's only way."""
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=list(float_tensors), fully_quantize=True)
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated.*")  # the debugger uses it
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
        return bytes(debugger.get_nondebug_quantized_model())
