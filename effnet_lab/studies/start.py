"""The float network that a repair or a choice of precisions starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.images import Stated
from effnet_lab.images.stated import stated_side
from effnet_lab.litert import embed_info, float_twin, read_info, settle
from effnet_lab.litert.edit import with_unique_names
from effnet_lab.litert.flatbuffer import is_tflite
from effnet_lab.quantize.float_file import FloatFile, float_card, float_file, is_float_tflite

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network


def start_from(
    network: Network, variant: str | None, preprocess: Stated, *, measures: str, shown: object = None
) -> FloatFile:
    """The float32 file, every tensor with a name of its own, and what is stated of the input written into it.

    Of a quantized .tflite file, of any architecture, it is the twin that has its dequantized weights.

    Parameters
    ----------
    network : name, path, LoadedModel or Keras model
    variant : str, optional
        As for `load_model`.
    preprocess : StatedInput or Preprocess, optional
    measures : str
        What a guessed preprocessing would spoil.
    shown : ImageSet or ArraySet, optional
        What it is calibrated with, see `litert.settle`.
    """
    if variant is None and is_tflite(network) and not is_float_tflite(network):
        source = FloatFile(content=float_twin(network), info=float_card(read_info(network)))
    else:
        source = float_file(network, variant, size_px=stated_side(preprocess))
    info = settle(source.info, preprocess, measures=measures, shown=shown)
    return FloatFile(content=embed_info(with_unique_names(source.content), info), info=info)
