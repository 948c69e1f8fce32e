"""The float network that a repair or a choice of precisions starts from, and what it says itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from effnet_lab.evaluate import collect_predictions
from effnet_lab.images import ArraySet, ImageSet, Stated
from effnet_lab.images.stated import stated_side, tell
from effnet_lab.litert import embed_info, float_twin, read_graph, read_info, settle
from effnet_lab.litert.edit import with_unique_names
from effnet_lab.litert.flatbuffer import is_tflite
from effnet_lab.names import UserError
from effnet_lab.paths import scratch_folder, write_atomically
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

    Raises
    ------
    UserError
        If the quantized file keeps state: its variables hold integers, and what sets them does, too.
    """
    if variant is None and is_tflite(network) and not is_float_tflite(network):
        if read_graph(network).keeps_state:
            raise UserError(
                f"{network} keeps state from one input to the next, in integers, so no float network can be made of it. "
                "Give its float32 file."
            )
        source = FloatFile(content=float_twin(network), info=float_card(read_info(network)))
    else:
        source = float_file(network, variant, size_px=stated_side(preprocess))
    info = settle(source.info, preprocess, measures=measures, shown=shown)
    return FloatFile(content=embed_info(with_unique_names(source.content), info), info=info)


def as_answered(
    samples: ImageSet | ArraySet, source: FloatFile, preprocess: Stated, workers: int | None
) -> ImageSet | ArraySet:  # fmt: skip
    """The same samples, labelled by what the float network says of them.

    Raises
    ------
    UserError
        If the network tells no classes apart.
    """
    with scratch_folder() as folder:
        write_atomically(folder / "float.tflite", source.content)
        said = collect_predictions(folder / "float.tflite", samples, preprocess=preprocess, workers=workers)
        first = said.ranked[:, 0]
    if (first < 0).any():
        raise UserError(
            f"{source.info.model} tells no classes apart, so no answer can be kept or lost. Use layer-error."
        )
    tell(f"{samples.name} says nothing about what its samples show: the answers of the float network count as right.")
    graph = read_graph(source.content)
    classes = tuple(str(i) for i in range(graph.tensors[graph.outputs[0]].shape[-1]))
    return replace(samples, labels=first.astype(np.int64), classes=classes, positional=True)
