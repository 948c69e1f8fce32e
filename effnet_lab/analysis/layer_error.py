"""Error of every layer of a quantized network: accumulated, local, and what it does to the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from effnet_lab.analysis.measuring import NOTIONS, Measuring
from effnet_lab.analysis.opening import open_twins
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples
from effnet_lab.names import UserError, lookup

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network

LOCAL_INPUTS = ("float", "quantized")


@dataclass(frozen=True, kw_only=True)
class LayerErrors:
    """The error of every layer of one file, and what the table could not hold."""

    table: pd.DataFrame  # LAYER_ERROR, one row per layer in forward order; what was not asked for is NaN
    unmatched: tuple[str, ...]  # layers of the quantized network without a counterpart
    unmatched_float: tuple[str, ...]  # layers of the float network without one
    not_local: tuple[str, ...]  # layers whose op could not be run alone
    smallest_correlation: tuple[str, float]  # layer whose weights are least like the float ones; ("", NaN) for a twin
    interrupted: bool  # the rows hold the images that were finished, see `n_images`


def layer_error(
    quantized: Network | Twins,
    images: Source,
    *,
    float_model: Network | bytes | None = None,
    kernels: str = "xnnpack",
    notions: Sequence[str] = ("accumulated",),
    local_inputs: str = "float",
    anyway: bool = False,
    preprocess: Stated = None,
    split: str | None = None,
    limit: int | None = None,
    scheme: str = "int8",
    calibration: Source = "scenes",
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> LayerErrors:
    """How far each layer of a quantized network is from the float one, on the same images.

    Parameters
    ----------
    quantized : path, Twins, name, LoadedModel or Keras model
        A quantized .tflite file, of any tool, or two files that are open. Any other network is exported first, in `scheme`,
        calibrated with `calibration`, and held against its own float file, see `open_twins`.
    images : ImageSet, or what `open_samples` takes with `split` and `limit`
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
    anyway : bool
        Measure two files, too, that are not a pair; the column `pairing` says why they are not.
    preprocess : StatedInput or Preprocess, optional
        What the user says of the input; else what is known of either file, the same for both.
    workers : int, optional
        Pairs of interpreters that share the images, in threads; by default one for each free processor. Every number is the
        same to the bit. What is followed to the logits, "effect" and "split", is done by one.
    progress : callable, optional
        Wraps the work, as `tqdm` does: images where nothing but the accumulated error is asked for, else each op on some
        images.

    Returns
    -------
    LayerErrors
        Interrupted, its rows hold the images that were finished. The effect goes op by op, 16 images at a time or fewer.

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
    chosen = open_samples(images, split=split, limit=limit)
    twins = open_twins(
        quantized,
        float_model,
        scheme=scheme,
        calibration=calibration,
        kernels=kernels,
        anyway=anyway,
        preprocess=preprocess,
    )
    return twins.carry_out(partial(errors_of, twins, chosen, notions, local_inputs, progress, workers))


def errors_of(
    twins: Twins, images: ImageSet | ArraySet, notions: Sequence[str] = ("accumulated",), local_inputs: str = "float",
    progress: Callable[..., Iterable[Any]] | None = None, workers: int | None = None,
) -> LayerErrors:  # fmt: skip
    """The same of files that are open; see `layer_error`."""
    measuring = Measuring(twins, notions, local_inputs, workers=workers)
    interrupted = not measuring.run(images, progress)
    return LayerErrors(
        table=measuring.table(images.name),
        unmatched=twins.unmatched,
        unmatched_float=twins.unmatched_reference,
        not_local=measuring.not_local,
        smallest_correlation=twins.pairing.smallest,
        interrupted=interrupted,
    )
