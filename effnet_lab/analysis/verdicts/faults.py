"""The faults a layer can have of its own: one function each, from the evidence to a finding or None.

Every fault but `dead` is measured in *bits lost*: how many of an 8-bit tensor's bits it takes away from most values. Six
decibels of SQNR are one bit (Bennett 1948). The limits below are not derived, they are placed in the empty space between
two measured populations: int8 networks without a fault (the embedded micro0 to micro3, a published Lite0 for flowers,
random Lite0s; 16 images each), and the same networks with one fault planted. Each limit says the worst healthy layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.verdicts.evidence import BINS, Evidence
from effnet_lab.analysis.verdicts.fault import BAD_DB, Fault, bits_between, constant_channels, name_channels, times

CLIPPED_BITS = 1.0  # noise of clipping is three times that of rounding
CLIPPED_PART = 0.5  # of the error that the grid makes
CLIPPED_IMAGES = 1 / 3  # usual: on so many images,
CLIPPED_AT_LEAST = 3  # and on so many, of few images on all
FAR_BEYOND = 0.45  # of the range; after min-max over 48 images unseen ones pass the ends by 0.38 at most
WASTED_BITS = 3.5  # range shrinks to 1/11; worst healthy layer 3.1: a branch that got the range of its sum
OUTLIER_BITS = 2.5  # range shrinks to 1/6 without a few channels; worst healthy layer 1.3 trained, 2.3 random weights
SPREAD_BITS = 5.0  # half of the channels use 1/32 of the range; worst healthy layer 3.2 trained, 4.7 random weights
KERNEL_BITS = 2.5  # same for weights with one scale for all channels; worst healthy layer 0.4 (a dense one)
BIMODAL_BITS = 1.0  # an empty gap takes half of the codes; worst healthy layer 0.5 (logits)
RESIDUAL_BITS = 2.5  # of the smaller input, by the step of the sum; worst healthy layer 2.1
DEAD_SHARE = 0.5  # of the channels are constant; worst healthy layer 0.24

KERNEL_UNIT = "bits lost by the weights of a typical channel"
FEW = 16  # "a few channels" are one in so many, at least one
GROUP_SHARE = 0.05  # each group of a bimodal layer has so many of the values at least
GAP_SHARE = 1e-3  # and what lies in the gap between is less than this
DEGENERATE = 1e-6  # a scale below is that of a range without width
FIXED = ("softmax", "log_softmax", "logistic", "tanh", "l2_normalization")  # the op itself prescribes the output's grid


def dead(evidence: Evidence, inherited: NDArray[np.bool_]) -> Fault | None:
    """Most channels are constant, and not because those they are made from are (`inherited`), or were pruned in training."""
    if evidence.op in (*FIXED, "fill") or evidence.count <= evidence.channel_max.size:  # one value of each says nothing
        return None
    constant = constant_channels(evidence)
    told = inherited | pruned_channels(evidence)
    if float((constant & ~told).mean()) < DEAD_SHARE:
        return None
    n, share = constant.size, float(constant.mean())
    which = f"All {n} channels are" if share == 1 else f"{int(constant.sum())} of {n} channels are"
    scale = evidence.grid.scale if evidence.grid else 1.0
    remedy = (
        "Remove these channels, or find out why they never fire (bias, batch-norm statistics, training); look at more "
        f"{evidence.counted} first."
    )
    if scale < DEGENERATE:
        remedy += f" XNNPACK may refuse the file: the scale is {scale:.1g}."
    return Fault(
        verdict="dead",
        bits_lost=8 * share,
        evidence=share,
        unit="of the channels are constant",
        sentence=f"{which} constant throughout: they cost memory and time and tell the next layer nothing.",
        remedy=remedy,
        channels=frozenset(np.flatnonzero(constant).tolist()),
        margin=8 * (share - DEAD_SHARE),
    )


def pruned_channels(evidence: Evidence) -> NDArray[np.bool_]:
    """Constant channels whose float weights are zero beside those of the others."""
    n = evidence.channel_max.size
    if evidence.kernel is None or evidence.kernel.largest.size != n:
        return np.zeros(n, bool)
    return np.asarray(constant_channels(evidence) & evidence.kernel.pruned)


def clipped(evidence: Evidence) -> Fault | None:
    """Values beyond the grid, by their share of the error that the grid makes, on however few images it arises.

    In bits: against the rounding noise ``step**2 / 12`` of an 8-bit grid over the same range. A ReLU6 that ends at 6 clips
    nothing: the float network's values end there, too. Clipping a little is even best for the mean squared error (Banner et
    al. 2019, Nagel et al. 2021), and few images pass the ends that others have set by a little, so it counts where it is
    usual, goes far, or makes an error under 20 dB.
    """
    grid = evidence.grid
    if grid is None or evidence.op in FIXED or not evidence.clipped_energy:
        return None
    ratio = evidence.clipped_energy / (evidence.count * grid.step8**2 / 12)
    bits = evidence.bits_of(evidence.clipped_energy)
    part = evidence.clipped_energy / (evidence.clipped_energy + evidence.rounding_energy)
    usual = evidence.clipped_images >= max(CLIPPED_IMAGES * evidence.images, min(CLIPPED_AT_LEAST, evidence.images))
    far = evidence.beyond >= FAR_BEYOND
    if part < CLIPPED_PART or not (evidence.output_sqnr_db < BAD_DB or (bits >= CLIPPED_BITS and (usual or far))):
        return None
    share = evidence.outside / evidence.count
    worst = int(evidence.channel_clipped.argmax())
    alone = evidence.channel_clipped[worst] / evidence.clipped_energy
    where = f", {alone:.0%} of it in channel {worst}" if alone >= 0.5 and evidence.channel_clipped.size > 2 else ""
    return Fault(
        verdict="clipped",
        bits_lost=bits,
        evidence=share,
        unit="of the values are out of range",
        sentence=f"{share:.2%} of the values do not fit, on {evidence.clipped_images} of {evidence.images} {evidence.counted}: "
        f"they reach from {evidence.low:.3g} to {evidence.high:.3g}, and the codes from {grid.low:.3g} to {grid.high:.3g}. "
        f"Cutting them off makes {part:.0%} of the error{where}: {times(ratio)} the noise of rounding, which "
        f"costs {bits:.1f} bits.",
        remedy="Calibrate with the extremes (min-max) instead of an average, or with more "
        f"{evidence.counted} that look like these. "
        "16 bits over the same range would clip equally.",
        channels=frozenset([worst] if where else []),
        margin=float("inf") if usual else 0.0,  # rare: not behind a fault that has changed the values
    )  # fmt: skip


def wasted_range(evidence: Evidence) -> Fault | None:
    """A grid much wider than what the layer ever takes: log2 of its width over the reach of the values."""
    grid = evidence.grid
    if grid is None or evidence.op in FIXED or constant_channels(evidence).all():
        return None
    bits = bits_between(grid.high - grid.low, evidence.reach)
    if bits - grid.spare_bits < WASTED_BITS:
        return None
    return Fault(
        verdict="wasted range",
        bits_lost=bits,
        evidence=bits,
        unit="bits lost by every value",
        sentence=f"The values reach from {evidence.low:.3g} to {evidence.high:.3g} and the codes from {grid.low:.3g} to "
        f"{grid.high:.3g}: they keep {max(8 + grid.spare_bits - bits, 0):.1f} of {8 + grid.spare_bits} bits.",
        remedy="Calibrate again, with a percentile if an outlier has set the range. An input of a concatenation has to "
        "share the range of the whole; TensorFlow's converter does that to the first input of an addition, too.",
        margin=bits - grid.spare_bits - WASTED_BITS,
    )


def outlier_channel(evidence: Evidence) -> Fault | None:
    """A few channels need a range that the others do not, or half of them use a sliver of it.

    Nagel et al. 2019 ("Data-free quantization through weight equalization and bias correction") show both to be what breaks
    per-tensor quantization of networks with depthwise convolutions.
    """
    if evidence.grid is None or evidence.op in FIXED:
        return None
    live = np.flatnonzero(~constant_channels(evidence))
    extent = np.maximum(evidence.channel_max, 0) - np.minimum(evidence.channel_min, 0)
    order = np.argsort(np.maximum(np.abs(evidence.channel_max), np.abs(evidence.channel_min)))
    n, few, spans = extent.size, max(1, live.size // FEW), evidence.reach
    rest = order[:-few][np.isin(order[:-few], live)]
    if rest.size < 2:
        return None
    without = max(evidence.channel_max[rest].max(), 0) - min(evidence.channel_min[rest].min(), 0)
    typical_extent = float(np.median(extent[live]))
    few_bits, typical = bits_between(spans, without), bits_between(spans, typical_extent)
    spare = evidence.grid.spare_bits
    if few_bits - spare < OUTLIER_BITS and typical - spare < SPREAD_BITS:
        return None
    narrow = few_bits - spare >= OUTLIER_BITS
    loud = order[-few:][extent[order[-few:]] > 2 * without] if narrow else order[extent[order] > spans / 2]
    bits = few_bits if narrow else typical
    left = max(8 + spare - bits, 0)
    why = (
        f"{name_channels(loud)} of {n} take{'s' if loud.size == 1 else ''} the range to {evidence.low:.3g} … "
        f"{evidence.high:.3g}; all others fit in {without:.3g}"
        if narrow
        else f"the range is {evidence.low:.3g} … {evidence.high:.3g}, and half of the {live.size} live channels need less than "
        f"{typical_extent:.3g} of it"
    )
    return Fault(
        verdict="outlier channel",
        bits_lost=bits,
        evidence=bits,
        unit="bits lost by the other channels" if narrow else "bits lost by a typical channel",
        sentence=f"{why[0].upper()}{why[1:]}, and keep {left:.1f} of {8 + spare} bits.",
        remedy="Scale the channel down and the weights that read it up (cross-layer equalization), or give this layer's "
        "output 16 bits.",
        channels=frozenset(loud.tolist()),
        margin=max(few_bits - OUTLIER_BITS, typical - SPREAD_BITS) - spare,
    )  # fmt: skip


def outlier_kernel(evidence: Evidence) -> Fault | None:
    """Weights with one scale for all channels, whose channels differ: log2 of the largest over the median channel.

    Beside a float network that has these very weights nothing is lost: they may have been trained for their steps.
    """
    if evidence.kernel is None or not evidence.kernel.per_tensor or not evidence.kernel.difference.any():
        return None
    largest = evidence.kernel.largest
    median, top = float(np.median(largest)), float(largest.max())
    bits = bits_between(top, median)
    if bits < KERNEL_BITS:
        return None
    return Fault(
        verdict="outlier channel",
        bits_lost=bits,
        evidence=bits,
        unit=KERNEL_UNIT,
        sentence=f"One scale serves the weights of all {largest.size} channels: those of channel {int(largest.argmax())} "
        f"reach {top:.3g}, those of a typical channel {median:.3g}, which keep {max(8 - bits, 0):.1f} of 8 bits.",
        remedy="Quantize the weights per channel; where the target cannot, equalize the channels with the layer before.",
        channels=frozenset({int(largest.argmax())}),
        margin=bits - KERNEL_BITS,
    )  # fmt: skip


def bimodal(evidence: Evidence) -> Fault | None:
    """Two groups of values with an empty gap between: ``-log2(1 - gap)``, the gap as a share of the codes.

    Zeros and sixes of a ReLU6 are two points that quantize without error; a layer that has only those is not meant.
    """
    grid = evidence.grid
    if grid is None or evidence.op in FIXED:
        return None
    start, stop = _widest_gap(evidence.bins)
    gap = (stop - start) / BINS
    bits = -np.log2(1 - gap) - grid.spare_bits
    below, above = evidence.bins[:start], evidence.bins[stop:]
    if bits < BIMODAL_BITS or max(np.count_nonzero(below), np.count_nonzero(above)) < 3:
        return None
    width = (grid.high - grid.low + grid.scale) / BINS
    lower, upper = grid.low + (start - 0.5) * width, grid.low + (stop - 0.5) * width
    return Fault(
        verdict="bimodal",
        bits_lost=bits,
        evidence=gap,
        unit="of the codes lie in an empty gap",
        sentence=f"The values form two groups, {below.sum() / evidence.bins.sum():.0%} below {lower:.3g} and the rest above "
        f"{upper:.3g}, with nothing between: {gap:.0%} of the codes are never used, {bits:.1f} bits.",
        remedy="Move the offset of one group into the bias of the layer that reads it (bias absorption), or give this "
        "layer's output 16 bits.",
        margin=bits - BIMODAL_BITS,
    )  # fmt: skip


def unlike_residual(evidence: Evidence, parents: list[Evidence]) -> Fault | None:
    """An addition whose smaller input is read in the coarse steps of the sum: log2 of the ratio.

    By the grids and by the float values: a grid alone that does not fit its values is the fault of the layer before.
    """
    if evidence.op not in ("add", "sub") or len(parents) != 2 or evidence.grid is None:
        return None
    small, large = sorted(parents, key=lambda parent: parent.reach)
    if small.grid is None or large.grid is None or not small.reach:  # of zeros nothing can be lost
        return None
    by_values, by_grid = bits_between(evidence.reach, small.reach), bits_between(evidence.grid.step8, small.grid.step8)
    bits = min(by_values, by_grid)
    spare = evidence.grid.spare_bits
    if bits - spare < RESIDUAL_BITS:
        return None
    return Fault(
        verdict="unlike residual",
        bits_lost=bits,
        evidence=bits,
        unit="bits lost by the smaller input",
        sentence=f"{small.layer} spans {small.reach:.3g} and {large.layer} {large.reach:.3g}: in the steps of the sum, the "
        f"smaller keeps {max(8 + spare - bits, 0):.1f} of {8 + spare} bits.",
        remedy=f"Bring the two to one scale where {large.layer} is made (its weights, or weight decay in training), or give "
        "the addition and its inputs 16 bits.",
        large=large.layer,
        small=small.layer,
        margin=bits - spare - RESIDUAL_BITS,
    )  # fmt: skip


def _widest_gap(bins: Array) -> tuple[int, int]:
    """Widest run of all but empty bins with enough values on either side: first bin, and the one after the last."""
    total = bins.sum()
    below = np.concatenate([[0], np.cumsum(bins)]) / max(total, 1)
    best = (0, 0)
    for start in range(1, BINS):
        if GROUP_SHARE <= below[start] <= 1 - GROUP_SHARE:
            stop = int(np.searchsorted(below, below[start] + GAP_SHARE, side="right")) - 1
            if below[stop] <= 1 - GROUP_SHARE and stop - start > best[1] - best[0]:
                best = (start, stop)
    return best
