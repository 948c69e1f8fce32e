"""What the quantized file stores or computes otherwise than the float one, beyond what rounding explains.

The faults of `faults` lie in the values and the grid over them; those here lie in the file: no calibration mends them.
"""

from __future__ import annotations

import numpy as np

from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.verdicts.evidence import Evidence
from effnet_lab.analysis.verdicts.fault import Fault, name_channels

# Energy of a channel's difference over its float weights. Rounding to eight bits makes 1e-4, to four bits 1e-2. It counts
# as a defect from this on, if it is many times what rounding explains, and what is usual in this network.
UNLIKE = 0.005
TIMES_ROUNDING, TIMES_USUAL = 16.0, 25.0
ALIKE = 0.9  # correlation from which on a kernel is the float one, scaled
BIAS_STEPS, SHOWN_STEPS = 0.75, 0.4  # steps of the output: difference of a bias, and the mean error that confirms it
FAR_STEPS = 3.0  # of the output: a bias that far off is a defect even where other channels make more of the error
ROUNDED_AWAY = 0.25  # energy of a channel's weights that rounding has taken
MOVES = 2.5  # steps that a channel moves in float while its code stays
STUCK_UNIT = "of the channels are constant in codes only"
_EXPORT = "Export the layer again from the float network, or look for the tool that changed the file."


def defective(evidence: Evidence, usual: float, still: Array | None = None) -> Fault | None:
    """The gravest defect of a layer.

    Parameters
    ----------
    evidence : Evidence
    usual : float
        Difference of a kernel that is usual in this network, see `usual_difference`.
    still : array of bool, optional
        (channels,) Those whose inputs move by less than a step of theirs.
    """
    for look in (_kernel(evidence, usual), _bias(evidence), _constant(evidence, still)):
        if look is not None:
            return look
    return None


def usual_difference(evidence: list[Evidence]) -> float:
    """Middle of the kernels' differences over the network: large where weights were trained on, or have few bits."""
    found = [one.kernel.whole_difference for one in evidence if one.kernel is not None]
    return float(np.median(found)) if found else 0.0


def unlike_channels(evidence: Evidence, usual: float) -> Array:
    """Output channels whose weights differ beyond what rounding explains."""
    kernel = evidence.kernel
    if kernel is None:
        return np.empty(0, np.int64)
    limit = np.maximum(max(UNLIKE, TIMES_USUAL * usual), TIMES_ROUNDING * kernel.rounding)
    return np.flatnonzero(kernel.difference > limit)


def _kernel(evidence: Evidence, usual: float) -> Fault | None:
    kernel, which = evidence.kernel, unlike_channels(evidence, usual)
    if kernel is None or not which.size:
        return None
    n = kernel.difference.size
    who = "The kernel is" if which.size == n else f"The kernel of {name_channels(which)} of {n} is"
    correlation, gain = float(np.nanmin(kernel.correlation[which])), kernel.gain[which]
    if correlation >= ALIKE:
        low, high = float(np.nanmin(gain)), float(np.nanmax(gain))
        times = f"{low:.3g}" if np.isclose(low, high, rtol=0.01) else f"{low:.3g} to {high:.3g}"
        said = f"{who} the float one times {times} (correlation {correlation:.3f}): its scale does not fit"
    else:
        said = f"{who} unlike the float one: correlation {correlation:.2f}"
    return _fault(evidence, said, which, 1 - correlation if correlation < ALIKE else float(np.nanmax(np.abs(gain - 1))),
                  "1 - correlation of the kernels" if correlation < ALIKE else "relative error of the kernel's scale",
                  _EXPORT)  # fmt: skip


def _bias(evidence: Evidence) -> Fault | None:
    """A bias unlike the float one, where the output shows it: a corrected bias differs, too, but brings the mean back."""
    if evidence.bias is None or not evidence.step or not evidence.local_error.size:
        return None
    n = evidence.local_error.size
    steps = np.broadcast_to(evidence.bias, n) / evidence.step
    mean = evidence.local_error / (evidence.count / n) / evidence.step
    shown = (np.abs(steps) > BIAS_STEPS) & (np.abs(mean) > SHOWN_STEPS) & (np.sign(mean) == np.sign(steps))
    if not shown.any():
        return None
    share = evidence.local_error2[shown].sum() / max(evidence.local_error2.sum(), np.finfo(float).tiny)
    worst = int(np.argmax(np.where(shown, np.abs(steps), 0)))
    if share < 0.5 and abs(steps[worst]) < FAR_STEPS:
        return None
    which = np.flatnonzero(shown)
    who = "The bias is" if which.size == n else f"The bias of {name_channels(which)} of {n} is"
    said = (
        f"{who} unlike the float one: by up to {steps[worst] * evidence.step:.3g} in units of the output, "
        f"{abs(steps[worst]):.0f} of its steps (channel {worst})"
    )
    return _fault(
        evidence, said, which, float(abs(steps[worst])), "steps of the output, difference of the bias", _EXPORT
    )


def _constant(evidence: Evidence, still: Array | None) -> Fault | None:
    """Channels that have one code throughout when the op runs alone, and many steps' worth of values in float."""
    if not evidence.local_min.size or evidence.grid is None:
        return None
    low, high = (
        np.clip(ends, evidence.grid.low, evidence.grid.high) for ends in (evidence.channel_min, evidence.channel_max)
    )
    stuck = (evidence.local_min == evidence.local_max) & (high - low > MOVES * evidence.grid.scale)
    if evidence.kernel is not None and evidence.kernel.difference.size == stuck.size:
        stuck &= evidence.kernel.difference < ROUNDED_AWAY  # else the steps of the weights are too coarse
    if still is not None:
        stuck &= ~still
    if not stuck.any():
        return None
    which = np.flatnonzero(stuck)
    n, widest = stuck.size, float((high - low)[which].max())
    who = "The output is" if which.size == n else f"The output of {name_channels(which)} of {n} is"
    said = f"{who} constant in codes, while it moves by up to {widest:.3g} in float"
    return _fault(evidence, said, which, which.size / n, STUCK_UNIT, _EXPORT)


def arithmetic(evidence: Evidence, n_different: int, n_values: int) -> Fault:
    """The interpreter's codes differ from a replay of the op's integer arithmetic."""
    return _fault(
        evidence, f"The interpreter computes {n_different} of {n_values} codes otherwise than the op's arithmetic says",
        np.empty(0, np.int64), n_different / n_values, "of the codes differ from the replay",
        "Run it on other kernels (--kernels reference), and report the difference to the maker of these.",
    )  # fmt: skip


def _fault(evidence: Evidence, said: str, which: Array, value: float, unit: str, remedy: str) -> Fault:
    own = evidence.local_sqnr_db
    measured = "" if np.isnan(own) else f"; its own error is {own:.1f} dB"
    return Fault(
        verdict="defective",
        bits_lost=evidence.bits_of(float(evidence.local_error2.sum())),
        evidence=value,
        unit=unit,
        sentence=f"{said}{measured}.",
        remedy=remedy,
        channels=frozenset(which.tolist()),
    )
