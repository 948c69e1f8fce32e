"""Error of every layer of a quantized network: accumulated, local, and what it does to the logits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.metrics import weight_sqnr_db
from effnet_lab.analysis.notions import NOTIONS, Accumulated, Totals, add_steps, plan_steps
from effnet_lab.analysis.originals import float_content
from effnet_lab.analysis.pairs import Pair, TwinRunner
from effnet_lab.images import ImageSet
from effnet_lab.litert import read_info
from effnet_lab.litert.runner import DelegateError
from effnet_lab.names import UserError, lookup

if TYPE_CHECKING:
    from effnet_lab.models.loaded import LoadedModel

_NAN = float("nan")


def layer_error(
    quantized: Path | str,
    images: ImageSet,
    *,
    float_model: Path | str | bytes | LoadedModel | object | None = None,
    kernels: str = "xnnpack",
    notions: Sequence[str] = ("accumulated",),
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
        its inputs and output rounded; costs about twice as much again. Where an op has no kernel, there is no such column.
    progress : callable, optional
        Wraps the iteration over images, as `tqdm` does.

    Returns
    -------
    DataFrame
        LAYER_ERROR, one row per layer in forward order; what was not asked for is NaN. ``attrs["unmatched"]`` lists the
        layers without a counterpart, ``attrs["unmatched_float"]`` those of the float network, ``attrs["not_local"]`` those
        whose inputs could not be matched. Interrupted, the rows hold what was finished: see ``n_images``, and
        ``attrs["interrupted"]``.

    Notes
    -----
    ``granularity`` says whether the kernel has a scale per "channel" or per "tensor"; a dead channel is one whose codes are
    all the same, over all positions and images. The other metrics are defined in `analysis.metrics`. ``rmse_over_scale`` is
    1/sqrt(12) = 0.289 where nothing but rounding happens. Local and accumulated error are what QuantizationDebugger and AI
    Edge Quantizer's `validate` measure; the former divides by the first scale of a tensor, the latter's "snr" is linear.
    """
    for notion in notions:
        lookup("notion of error", notion, dict.fromkeys(NOTIONS))
    if not notions:
        raise UserError(f"No notion of error was asked for. Known: {', '.join(NOTIONS)}.")
    content = float_content(float_model, quantized)
    try:
        return _measure(content, quantized, images, kernels, notions, progress)
    except DelegateError:
        return _measure(content, quantized, images, "builtin", notions, progress)


def _measure(content, quantized, images: ImageSet, kernels: str, notions: Sequence[str], progress) -> pd.DataFrame:
    info = read_info(quantized)
    twins = TwinRunner(content, quantized, kernels=kernels)
    plan = plan_steps(content, quantized, twins.pairs, notions)
    whole = Accumulated(twins) if "accumulated" in notions else None
    totals, interrupted = Totals(), False
    try:
        for chunk in _chunks(images, info.preprocess, plan.chunk() if plan else 1, progress):
            step_totals = add_steps(plan, chunk, twins.kernels) if plan else Totals()
            if whole is not None:
                whole.see(chunk)
            totals = totals + step_totals
            totals.n_images += len(chunk)
    except KeyboardInterrupt:
        if not totals.n_images:
            raise
        interrupted = True
    shared = info.key | {"data": images.name, "n_images": totals.n_images, "kernels": twins.kernels}
    rows = [
        shared | describe(pair) | (whole.row(pair) if whole else {}) | totals.row(pair, notions) for pair in twins.pairs
    ]
    table = frames.build(frames.LAYER_ERROR, rows)
    table.attrs["unmatched"] = list(twins.unmatched)
    table.attrs["unmatched_float"] = list(twins.unmatched_reference)
    local = {step.pair.layer for step in plan.steps if step.pair} if plan else set()
    table.attrs["not_local"] = [pair.layer for pair in twins.pairs if plan and pair.layer not in local]
    table.attrs["interrupted"] = interrupted
    return table


def run_images(twins: TwinRunner, images: ImageSet, preprocess, progress) -> Iterator[None]:
    """Run both networks on every image; the values stand in `twins` until the next."""
    for chunk in _chunks(images, preprocess, 1, progress):
        twins.run(chunk[0])
        yield


def _chunks(images: ImageSet, preprocess, size: int, progress) -> Iterator[np.ndarray]:
    """The images as float32 (n, h, w, 3), at most `size` at a time."""
    one_by_one = (image for batch, _labels in images.batches(preprocess, size=8) for image in batch)
    chunk = []
    for image in progress(one_by_one, total=len(images)) if progress else one_by_one:
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
