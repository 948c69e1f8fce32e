"""What two files store for one layer, beside each other: kernel and bias, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.pairs import Pair
from effnet_lab.litert import Graph, Op, Tensor

PRUNED = 1e-3  # of the largest weight of the layer


@dataclass(frozen=True, kw_only=True)
class StoredKernel:
    """A quantized kernel against the float one; every array has one number per output channel."""

    largest: Array  # absolute quantized weight
    float_largest: Array  # absolute float weight
    per_tensor: bool  # one scale for several channels
    correlation: (
        Array  # cosine of the angle between the two; 0 where one of them is zero throughout, NaN where both are
    )
    gain: Array  # quantized over float, by least squares; NaN where the float one is zero
    difference: Array  # energy of the difference over the float one's; what is there instead of nothing counts as 1
    rounding: Array  # the same where nothing but rounding to the steps happens

    @property
    def pruned(self) -> NDArray[np.bool_]:
        """Channels whose float weights are as good as zero beside those of others: training has taken them out."""
        top = float(self.float_largest.max())
        return np.asarray(self.float_largest < PRUNED * top) if top else np.zeros(self.float_largest.size, bool)

    @property
    def whole_difference(self) -> float:
        """The middle one of the channels."""
        return float(np.median(self.difference))


def compare_kernels(pair: Pair) -> StoredKernel | None:
    """None without a kernel in both files."""
    if pair.kernels is None or pair.kernel_sums is None:
        return None
    reference, quantized = pair.kernels
    a, b = (_by_channel(tensor, pair.channel_axis) for tensor in (reference, quantized))
    aa, bb, ab, ee = pair.kernel_sums
    steps = quantized.scale.astype(np.float64) if quantized.quantized else np.zeros(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = ee / aa
        return StoredKernel(
            largest=np.abs(b).max(axis=1),
            float_largest=np.abs(a).max(axis=1),
            per_tensor=bool(quantized.quantized and steps.size == 1 < len(b)),
            correlation=np.where(
                (aa > 0) & (bb > 0), ab / np.sqrt(aa * bb), np.where((aa > 0) | (bb > 0), 0.0, np.nan)
            ),
            gain=np.where(aa > 0, ab / aa, np.nan),
            difference=np.where(aa > 0, difference, (bb > 0).astype(float)),
            rounding=np.where(aa > 0, a.shape[1] * steps**2 / 12 / aa, 0.0),
        )


def compare_biases(pair: Pair, reference: Graph, quantized: Graph) -> Array | None:
    """Bias as the kernels take it less the float bias, real units, (channels,); None where a layer can have none.

    Integer kernels take the codes in steps of input scale x weight scale, whatever scale the file states for them. What is
    within the rounding to these steps counts as no difference: they are coarse where the input's range is too wide.
    """
    if pair.kernels is None:
        return None
    step = _bias_step(quantized, pair)
    ours = _bias(quantized, pair.op, step)
    theirs = _bias(reference, pair.reference_op, None)
    if ours is None and theirs is None:
        return None
    zero = np.zeros(1)
    difference: Array = (zero if ours is None else ours) - (zero if theirs is None else theirs)
    return difference if step is None else np.where(np.abs(difference) <= 0.5001 * step, 0.0, difference)


def _bias_step(graph: Graph, pair: Pair) -> Array | None:
    """Of the codes of an integer bias, real units; None where none is taken so."""
    source, kernel = graph.tensors[pair.op.inputs[2 if pair.op.kind == "transpose_conv" else 0]], pair.quantized_kernel
    if kernel is None or not (source.quantized and kernel.quantized):
        return None
    return np.asarray(source.scale[0].astype(np.float64) * kernel.scale.astype(np.float64))


def _bias(graph: Graph, op: Op, step: Array | None) -> Array | None:
    place = 3 if op.kind == "transpose_conv" else 2
    tensor = graph.tensors[op.inputs[place]] if len(op.inputs) > place else None
    if tensor is None or tensor.data is None:
        return None
    if step is not None and tensor.dtype.kind == "i":
        taken: Array = tensor.data.astype(np.float64) * step
        return taken
    return tensor.real(tensor.data).astype(np.float64)


def _by_channel(tensor: Tensor, axis: int) -> Array:
    assert tensor.data is not None
    real = np.moveaxis(tensor.real(tensor.data), axis, 0)
    return real.reshape(real.shape[0], -1)
