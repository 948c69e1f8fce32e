"""A float network in whatever form, as one float32 .tflite file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, Union

from effnet_lab.litert import ModelInfo, embed_info, float_twin, read_graph
from effnet_lab.litert.flatbuffer import is_tflite, parse, read_bytes
from effnet_lab.litert.graph import graph_of
from effnet_lab.litert.metadata import info_of
from effnet_lab.models import catalog
from effnet_lab.names import UserError
from effnet_lab.quantize.schemes import CONVERTER, FLOAT32

if TYPE_CHECKING:  # TensorFlow is loaded where a Keras model is converted
    import tf_keras

    from effnet_lab.models.loaded import LoadedModel

Network: TypeAlias = Union[str, Path, "LoadedModel", "tf_keras.Model"]  # as the whole package takes them


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatFile:
    """A float32 .tflite file, and what it says about itself."""

    content: bytes
    info: ModelInfo


def float_file(
    network: Network | bytes, variant: str | None = None, *, keep_quantized: bool = False, size_px: int | None = None
) -> FloatFile:
    """The float32 .tflite file of any network.

    Parameters
    ----------
    network : str, path, LoadedModel, Keras model, or the bytes of a .tflite file
        A float32 .tflite file, of any architecture, is taken as it is, and no TensorFlow is loaded. Names and other weights
        are opened with `load_model` and converted, with a softmax on top. A Keras model, of any architecture with one input
        of fixed size, is converted as it is.
    variant : str, optional
        As for `load_model`.
    keep_quantized : bool
        A quantized .tflite file is taken as it is, too, for the caller to judge; by default its weights are dequantized.
    size_px : int, optional
        Side of the images, where weights are to be opened at another than their own.

    Raises
    ------
    UserError
        If there is no such network, or no float network can be made of it.
    """
    if isinstance(network, bytes):
        return FloatFile(content=network, info=info_of(parse(network), "network", network))
    if isinstance(network, str | Path):
        if variant is None and is_tflite(network) and (taken := _as_it_is(network, keep_quantized)):
            return taken
        network = open_weights(network, variant)
    if not is_foreign(network):
        from effnet_lab.models.resize import at_size

        return _of_weights(at_size(network, size_px))
    content = _convert_keras(network)
    return FloatFile(content=content, info=info_of(parse(content), network.name, content))


def _as_it_is(path: str | Path, keep_quantized: bool) -> FloatFile | None:
    """A .tflite file, read once; None where its weights are to be dequantized."""
    content = read_bytes(path)
    tree = parse(content, path)
    graph = graph_of(tree, str(path))
    if graph.scheme != FLOAT32.name and not keep_quantized:
        return None
    return FloatFile(content=content, info=info_of(tree, path, content, graph))


def open_weights(source: str | Path, variant: str | None = None) -> LoadedModel:
    """`load_model`, where a float network is needed; what `require_weights` refuses is refused."""
    from effnet_lab.models import load_model

    with _what_would_do(source):
        opened: LoadedModel = load_model(source, variant)
    return opened


def require_weights(source: str | Path, variant: str | None = None) -> None:
    """`catalog.require_weights`, where a float network is needed: a quantized file is told what would do."""
    with _what_would_do(source):
        catalog.require_weights(source, variant)


@contextmanager
def _what_would_do(source: str | Path) -> Iterator[None]:
    """A quantized file of another architecture has no weights to be taken; its float file needs none taken."""
    from effnet_lab.models.weights.tflite_walk import OtherNetworkError

    try:
        yield
    except OtherNetworkError as error:
        if (scheme := read_graph(source).scheme) == FLOAT32.name:
            raise
        raise UserError(
            f"{source} is quantized already ({scheme}), and no EfficientNet-Lite, whose weights could be taken from it. Start "
            "from the float32 file of that network."
        ) from error


def require_float(network: Network | None, variant: str | None = None) -> None:
    """Refuse what `float_file` would refuse by its name or its layers, before anything slow is loaded."""
    catalog.require_source(network)
    if isinstance(network, str | Path) and not (variant is None and is_float_tflite(network)):
        require_weights(network, variant)


def float_beside(quantized: Path | str, float_model: Network | bytes | None = None) -> bytes:
    """The float file that a quantized one is held against; None: the twin that has its dequantized weights."""
    return float_twin(quantized) if float_model is None else float_file(float_model, keep_quantized=True).content


def is_float_tflite(network: object) -> bool:
    """Whether a network is given as the path of a float32 .tflite file, which is taken as it is."""
    return is_tflite(network) and read_graph(network).scheme == FLOAT32.name


def is_loaded(network: object) -> TypeGuard[LoadedModel]:
    """Whether a network is given as weights with everything that belongs to them."""
    return hasattr(network, "fake_quantized")


def is_foreign(network: object) -> bool:
    """Whether a network is a Keras model alone: no name, no path, no LoadedModel."""
    return not isinstance(network, str | Path | bytes) and not is_loaded(network)


def info_of_weights(model: LoadedModel) -> ModelInfo:
    """What the float32 file of these weights says about itself."""
    return ModelInfo(
        model=model.name,
        variant=model.spec.name if model.spec else "",
        scheme=FLOAT32.name,
        backend=CONVERTER,
        preprocess=model.preprocess,
        classes=model.classes,
    )


def float_card(info: ModelInfo) -> ModelInfo:
    """What the float32 twin of a quantized file says about itself: the network and its input, nothing of the codes."""
    return replace(
        info, scheme=FLOAT32.name, backend="", recipe="", io="float32", calibration=None, versions={}
    )  # fmt: skip


def _of_weights(model: LoadedModel) -> FloatFile:
    from effnet_lab.models.fake_quant import strip_fake_quant
    from effnet_lab.quantize.convert import convert, trace_model

    model = strip_fake_quant(model)
    info = info_of_weights(model)
    return FloatFile(content=embed_info(convert(trace_model(model), FLOAT32, model), info), info=info)


def _convert_keras(network: tf_keras.Model) -> bytes:
    if not callable(getattr(network, "call", None)) or not hasattr(network, "inputs"):
        raise UserError(f"A network is a name, a path, a LoadedModel or a Keras model. Got {type(network).__name__}.")
    if len(network.inputs) != 1 or None in network.inputs[0].shape[1:]:
        raise UserError("The Keras model needs one input of fixed size. Build it with Input(shape=(height, width, 3)).")
    from effnet_lab.quantize.convert import carry_out, trace

    return carry_out(trace(network, network.inputs[0].shape[1:]).converter().convert)
