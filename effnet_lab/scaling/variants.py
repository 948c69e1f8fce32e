"""The named networks: lite0 to lite4, the original B0 they come from, and the micro family below them."""

from __future__ import annotations

import re
from dataclasses import replace

from effnet_lab.names import UserError, lookup
from effnet_lab.scaling.compound import Compound
from effnet_lab.scaling.lean import lean_spec
from effnet_lab.scaling.specs import NetSpec


def _lite(name: str, width: float, depth: float, resolution: int, dropout: float) -> NetSpec:
    return NetSpec(name=name, width=width, depth=depth, resolution=resolution, dropout=dropout)


# Source: tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py, efficientnet_lite_params.
LITE = {
    spec.name: spec
    for spec in (
        _lite("lite0", 1.0, 1.0, 224, 0.2),
        _lite("lite1", 1.0, 1.1, 240, 0.2),
        _lite("lite2", 1.1, 1.2, 260, 0.3),
        _lite("lite3", 1.2, 1.4, 280, 0.3),
        _lite("lite4", 1.4, 1.8, 300, 0.3),
    )
}
# The original EfficientNet-B0, for comparison. Source: tensorflow/tpu, efficientnet_builder.py.
B0 = replace(LITE["lite0"], name="b0", fixed_ends=False, activation="swish", se_ratio=0.25)

# Microcontroller sizes: 22k to 358k parameters with 10 classes, 32 to 96 px; stem and head scale too. Multipliers this
# small are rounded up to 8 channels almost everywhere, so each step of phi has to be larger than the paper's.
MICRO_BASE = replace(
    LITE["lite0"], name="micro0", width=0.05, depth=0.3, resolution=32, dropout=0.1, drop_connect=0.0, fixed_ends=False
)
MICRO_COMPOUND = Compound(alpha=1.27, beta=1.89, gamma=1.44)
MICRO = {
    name: MICRO_COMPOUND.spec(MICRO_BASE, phi, name)
    for phi, name in enumerate(("micro0", "micro1", "micro2", "micro3"))
}

VARIANTS = MICRO | LITE | {"b0": B0}

# micro1 with what Lite took out of the original EfficientNet: swish, squeeze-and-excitation, or both. They exist to measure
# what that costs in int8, so they are no members of the family; one of them has the very shapes of micro1.
STYLES = {
    spec.name: spec
    for spec in (
        replace(MICRO["micro1"], name="micro1_swish_se", activation="swish", se_ratio=0.25),
        replace(MICRO["micro1"], name="micro1_swish", activation="swish"),
        replace(MICRO["micro1"], name="micro1_se", se_ratio=0.25),
    )
}


# As `spec_by_numbers` names.
_BY_NUMBERS = re.compile(r"(.+)_w(\d+(?:\.\d+)?)_d(\d+(?:\.\d+)?)_(\d{1,6})px(_fixed_ends)?")


def spec_by_numbers(
    width: float, depth: float, resolution_px: int, base: str = "lite0", *, scale_ends: bool = True
) -> NetSpec:
    """The network that `search` means by a row of its table.

    Parameters
    ----------
    width, depth : float
        Multipliers of lite0's channels and repeats.
    resolution_px : int
        Side of the square input, px.
    base : str
        Variant that gives everything else: dropout, activation, stages.
    scale_ends : bool
        Whether stem, head and the end stages scale too, as for `search`.

    Examples
    --------
    >>> spec_by_numbers(0.2, 0.5, 64).name
    'lite0_w0.2_d0.5_64px'
    """
    name = f"{base}_w{width:g}_d{depth:g}_{resolution_px}px" + ("" if scale_ends else "_fixed_ends")
    return replace(
        get_spec(base), name=name, width=width, depth=depth, resolution=resolution_px, fixed_ends=not scale_ends
    )


def get_spec(name: str) -> NetSpec:
    """Specification of a named variant, a lean network or one by its numbers, or a `UserError` that names the nearest one.

    Examples
    --------
    >>> get_spec("lite0_w0.2_d0.5_64px") == spec_by_numbers(0.2, 0.5, 64)
    True
    """
    if name.startswith("lean"):
        return lean_spec(name)
    if found := _BY_NUMBERS.fullmatch(name):
        base, width, depth, side, fixed_ends = found.groups()
        return spec_by_numbers(float(width), float(depth), int(side), base, scale_ends=not fixed_ends)
    return lookup("variant", name, VARIANTS | STYLES)


def known_spec(name: str) -> NetSpec | None:
    """The same for a name that a file bears, which may be any: None where it is of no network here."""
    try:
        return get_spec(name)
    except UserError:
        return None
