"""Error of every layer of a quantized network against the float one, accumulated along the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.metrics import ErrorSums, channel_sqnr_db, sqnr_db
from effnet_lab.analysis.pairs import Pair, TwinRunner
from effnet_lab.images import ImageSet
from effnet_lab.litert import float_twin, read_info


def layer_error(
    quantized: Path | str,
    images: ImageSet,
    *,
    float_model: Path | str | None = None,
    kernels: str = "xnnpack",
    progress: Iterable | None = None,
) -> pd.DataFrame:
    """Accumulated error: each activation of the whole quantized graph against the float graph, on the same images.

    Parameters
    ----------
    quantized : path
        A quantized .tflite file; its metadata say the preprocessing.
    images : ImageSet
        Streamed one by one; the sums run over all elements of all images.
    float_model : path, optional
        The float .tflite file of the same network. Without one, a twin is made from the dequantized weights: then the
        rounding of the weights is not part of the error, and the weight columns are ``inf``.
    kernels : str
        Kernel path, see `litert.KERNELS`: it moves SQNR by up to about 1 dB.
    progress : callable, optional
        Wraps the iteration over images, as `tqdm` does.

    Returns
    -------
    DataFrame
        LAYER_ERROR, one row per layer in forward order. ``attrs["unmatched"]`` lists the layers without a counterpart.
    """
    info = read_info(quantized)
    twins = TwinRunner(float_model or float_twin(quantized), quantized, kernels=kernels)
    sums = [ErrorSums()] * len(twins.pairs)
    for _ in run_images(twins, images, info.preprocess, progress):
        sums = [total + ErrorSums.of(*twins.values(pair)) for total, pair in zip(sums, twins.pairs, strict=True)]
    shared = info.key | {"data": images.name, "n_images": len(images), "kernels": kernels}
    rows = [shared | _row(pair, total) for pair, total in zip(twins.pairs, sums, strict=True)]
    table = frames.build(frames.LAYER_ERROR, rows)
    table.attrs["unmatched"] = list(twins.unmatched)
    return table


def run_images(twins: TwinRunner, images: ImageSet, preprocess, progress) -> Iterator[None]:
    """Run both networks on every image; the values stand in `twins` until the next."""
    images_one_by_one = (image for batch, _labels in images.batches(preprocess, size=8) for image in batch)
    for image in progress(images_one_by_one, total=len(images)) if progress else images_one_by_one:
        twins.run(image)
        yield


def _row(pair: Pair, sums: ErrorSums) -> dict:
    return {
        "layer_index": pair.index,
        "layer": pair.layer,
        "op": pair.op.kind,
        "scale": float(pair.quantized.scale[0]) if pair.quantized.quantized else float("nan"),
        "zero_point": int(pair.quantized.zero_point[0]) if pair.quantized.quantized else float("nan"),
        "sqnr_accumulated_db": sums.sqnr_db,
        "mse": sums.mse,
        "cosine": sums.cosine,
    } | _weight_error(pair)


def _weight_error(pair: Pair) -> dict[str, float]:
    """SQNR of the dequantized kernel, over all of it and of its worst channel; NaN where there is no kernel."""
    reference, quantized = pair.reference_kernel, pair.quantized_kernel
    if reference is None or reference.data is None or quantized.data is None:
        return {"weight_sqnr_db": float("nan"), "weight_worst_channel_sqnr_db": float("nan")}
    a, b = reference.real(reference.data), quantized.real(quantized.data)
    axis = a.ndim - 1 if pair.op.kind == "depthwise" else 0
    return {"weight_sqnr_db": sqnr_db(a, b), "weight_worst_channel_sqnr_db": float(channel_sqnr_db(a, b, axis).min())}
