"""Error of every layer of a quantized network: accumulated, local, and what it does to the logits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.error_sums import NOTIONS, Measuring
from effnet_lab.analysis.metrics import weight_sqnr_db
from effnet_lab.analysis.twins import Pair, TwinRunner
from effnet_lab.images import ImageSet
from effnet_lab.litert.metadata import info_of
from effnet_lab.litert.runner import DelegateError
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.float_file import float_beside

if TYPE_CHECKING:
    from effnet_lab.models.loaded import LoadedModel

LOCAL_INPUTS = ("float", "quantized")
_NAN = float("nan")


def layer_error(
    quantized: Path | str,
    images: ImageSet,
    *,
    float_model: Path | str | bytes | LoadedModel | object | None = None,
    kernels: str = "xnnpack",
    notions: Sequence[str] = ("accumulated",),
    local_inputs: str = "float",
    progress: Iterable | None = None,
) -> pd.DataFrame:
    """How far each layer of a quantized network is from the float one, on the same images.

    Parameters
    ----------
    quantized : path
        A quantized .tflite file, of any tool; its metadata say the preprocessing.
    images : ImageSet
        Streamed in chunks of bounded memory; the sums run over all elements of all images.
    float_model : path, Keras model or LoadedModel, optional
        The same network in float32: a .tflite file, whatever `load_model` opens, or a Keras model. Without one, a twin is
        made from the dequantized weights: then the rounding of the weights is not part of the error, and the weight columns
        are ``inf``.
    kernels : str
        Kernel path, see `litert.KERNELS`: it moves SQNR by up to about 1 dB. Where XNNPACK refuses the file, the plain
        kernels run it, and the column says ``builtin``.
    notions : sequence of str
        "accumulated": this activation in the whole quantized graph against the float graph.
        "local": the op alone in integers, its inputs the float graph's, rounded to the codes that the op takes.
        "effect": the logits of the float graph when this op alone is quantized, as in "local", against the float logits:
        SQNR, and the share of images whose first class changes. Logits are what goes into a softmax or sigmoid at the end;
        the first class is that of the network's output, so that a softmax in integers can change it, too.
        "split": as "effect", but with only the weights and bias of the op as stored in the quantized file, and with only
        its inputs and output rounded; with it, the effect takes about 2.4 times as long. NaN where an op has no kernel.
    local_inputs : "float" or "quantized"
        What an op gets in the local notion: what the float graph has there, rounded to the codes that the op takes, or what
        the quantized graph has there. In the second case the float op gets the same rounded values, so that neither the
        rounding of the inputs nor what went wrong before is part of the error; that is how QuantizationDebugger measures.
    progress : callable, optional
        Wraps the work, as `tqdm` does: images where nothing but the accumulated error is asked for, else each op on some
        images.

    Returns
    -------
    DataFrame
        LAYER_ERROR, one row per layer in forward order; what was not asked for is NaN. ``attrs["unmatched"]`` lists the
        layers without a counterpart, ``attrs["unmatched_float"]`` those of the float network, ``attrs["not_local"]`` those
        whose inputs could not be matched. Interrupted, the rows hold the images that were finished: see ``n_images``, and
        ``attrs["interrupted"]``. The notions that go op by op finish up to 16 images at a time.

    Notes
    -----
    ``granularity`` says whether the kernel has a scale per "channel" or per "tensor"; a dead channel is one whose codes are
    all the same, over all positions and images. The other metrics are defined in `analysis.metrics`. ``rmse_over_scale`` is
    1/sqrt(12) = 0.289 where nothing but rounding happens.

    Other tools: ``mse`` is the "mse" of AI Edge Quantizer's `validate` for the tensor of that name; its "snr" is a ratio, not
    dB, and a mean over images. ``local_mse`` and ``local_bias`` with ``local_inputs="quantized"`` are the
    "mean_squared_error" and "mean_error" that TensorFlow's QuantizationDebugger gives for an op. With the float graph's
    inputs they are larger, above all where an op adds little error of its own (add, mean, wide convolutions): the rounding
    of the inputs passes through. For the first op, whose input is the image in float, both are the same.
    """
    for notion in notions:
        lookup("notion of error", notion, dict.fromkeys(NOTIONS))
    if not notions:
        raise UserError(f"No notion of error was asked for. Known: {', '.join(NOTIONS)}.")
    lookup("inputs of the local error", local_inputs, dict.fromkeys(LOCAL_INPUTS))
    if local_inputs == "quantized" and {"effect", "split"} & set(notions):
        raise UserError("The effect on the logits starts from the float graph. Use local_inputs 'float' with it.")
    content = float_beside(quantized, float_model)
    measure = partial(_measure, content, quantized, images, notions, local_inputs, progress)
    try:
        return measure(kernels)
    except DelegateError:
        return measure("builtin")


def _measure(content, quantized, images: ImageSet, notions, local_inputs: str, progress, kernels: str) -> pd.DataFrame:
    twins = TwinRunner(content, quantized, kernels=kernels)
    info = info_of(twins.sources[1].tree, quantized)
    measuring, interrupted = Measuring(twins, notions, local_inputs), False
    work = measuring.work(_chunks(images, info.preprocess, measuring.chunk))
    try:
        for do in progress(work, total=measuring.count(len(images))) if progress else work:
            do()
    except KeyboardInterrupt:
        if not measuring.totals.n_images:
            raise
        interrupted = True
    shared = info.key | {"data": images.name, "n_images": measuring.totals.n_images, "kernels": twins.kernels}
    table = frames.build(frames.LAYER_ERROR, [shared | describe(pair) | measuring.row(pair) for pair in twins.pairs])
    steps = measuring.plan.steps if measuring.plan else ()
    local = {step.pair.layer for step in steps if step.pair}
    table.attrs["unmatched"] = list(twins.unmatched)
    table.attrs["unmatched_float"] = list(twins.unmatched_reference)
    table.attrs["not_local"] = [pair.layer for pair in twins.pairs if steps and pair.layer not in local]
    table.attrs["local_inputs"] = local_inputs
    table.attrs["interrupted"] = interrupted
    return table


def run_images(twins: TwinRunner, images: ImageSet, preprocess) -> Iterator[None]:
    """Run both networks on every image; the values stand in `twins` until the next."""
    for chunk in _chunks(images, preprocess, 1):
        twins.run(chunk[0])
        yield


def _chunks(images: ImageSet, preprocess, size: int) -> Iterator[np.ndarray]:
    """The images as float32 (n, h, w, 3), at most `size` at a time."""
    chunk = []
    for image in (image for batch, _labels in images.batches(preprocess, size=8) for image in batch):
        chunk.append(image)
        if len(chunk) == size:
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)


def describe(pair: Pair) -> dict:
    """What the files alone say of a layer."""
    tensor, reference, kernel = pair.quantized, pair.reference_kernel, pair.quantized_kernel
    row = {
        "layer_index": pair.index,
        "layer": pair.layer,
        "op": pair.op.kind,
        "scale": float(tensor.scale[0]) if tensor.quantized else _NAN,
        "zero_point": int(tensor.zero_point[0]) if tensor.quantized else _NAN,
        "n_channels": tensor.shape[-1] if tensor.shape else 1,
    }
    if kernel is not None and kernel.quantized:
        row["granularity"] = "channel" if kernel.scale.size > 1 else "tensor"
    if reference is None or reference.data is None or kernel.data is None:
        return row
    whole, worst = weight_sqnr_db(reference, kernel, pair.channel_axis)
    return row | {"weight_sqnr_db": whole, "weight_worst_channel_sqnr_db": worst}
