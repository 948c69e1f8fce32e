"""The counting rules: each a name, a value for a claim, and how closely a publication has to agree with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from effnet_lab.images import ORIGINAL
from effnet_lab.scaling import LITE, totals
from effnet_lab.scaling.layers import Layer, layers

REPRODUCED, TOLERATED, COPIED, CONFIRMED, EXPLAINED, CONTRADICTED, UNCHECKED = (
    "reproduced", "within our tolerance", "copied", "confirmed elsewhere", "explained difference", "contradicted",
    "not checkable here",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One published number."""

    model: str
    quantity: str
    source: str
    value: float
    rounded_to: float  # half of it is how far the exact number may be away
    conditions: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Recount:
    """One way to come to the number."""

    rule: str
    value: Callable[[Claim], float | None]  # None where the rule does not apply
    tolerance: float = 0.0  # of ours, relative: where the rule is known to leave something out
    because: str = ""  # why somebody would count so
    other_meaning: bool = False  # the number is not what its name says
    taken_over: bool = False  # no count: the constant of the original code
    if_not: str = ""  # when no rule agrees

    def exact(self, claim: Claim, ours: float) -> bool:
        """Within half a unit of the claim's last digit: the publication's own rounding."""
        return abs(ours - claim.value) <= claim.rounded_to / 2 * 1.001

    def agrees(self, claim: Claim, ours: float) -> bool:
        """The same, or within the tolerance that we allow."""
        return self.exact(claim, ours) or abs(ours - claim.value) <= self.tolerance * abs(claim.value)

    def words(self, claim: Claim, ours: float) -> str:
        """Which rule gives the number, how closely, and why one would count so."""
        if self.taken_over:
            return f"It is the {self.rule}, and nothing was counted."
        off = ours / claim.value - 1 if claim.value else 0.0
        closely = (
            "gives it" if self.exact(claim, ours) else f"comes within {abs(off):.2%}; we allow {self.tolerance:.1%}"
        )
        return f"The rule '{self.rule}' {closely}. {self.because}".strip()


def _net(claim: Claim, side: int | None = None) -> tuple[Layer, ...] | None:
    spec = LITE.get(claim.model)
    return None if spec is None else layers(spec, 1000, side)


def _side(claim: Claim) -> int | None:
    """Input side that the conditions name ("300 px; ..."); the specification's where they name none."""
    words = claim.conditions.replace(",", " ").replace(";", " ").split()
    return next((int(a) for a, b in itertools.pairwise(words) if b == "px" and a.isdecimal()), None)


def _params(claim: Claim) -> float | None:
    return totals(LITE[claim.model]).params if claim.model in LITE else None


def _with_statistics(claim: Claim) -> float | None:
    """Trainable parameters and the moving mean and variance of every batch norm."""
    net, params = _net(claim), _params(claim)
    if net is None or params is None:
        return None
    return params + sum(2 * layer.channels for layer in net if layer.op in ("conv", "depthwise"))


def _madds(claim: Claim) -> float | None:
    net = _net(claim, _side(claim))
    return None if net is None else int(sum(layer.madds for layer in net))


def _convolution_outputs(claim: Claim) -> int:
    net = _net(claim, _side(claim)) or ()
    return int(sum(layer.activation_bytes for layer in net if layer.op in ("conv", "depthwise")))


def _madds_and(per_output: int) -> Callable[[Claim], float | None]:
    def value(claim: Claim) -> float | None:
        madds = _madds(claim)
        return None if madds is None else madds + per_output * _convolution_outputs(claim)

    return value


def _times(factor: int, count: Callable[[Claim], float | None]) -> Callable[[Claim], float | None]:
    def value(claim: Claim) -> float | None:
        counted = count(claim)
        return None if counted is None else factor * counted

    return value


BATCH_NORM = "Three more for each element that a convolution puts out: the batch norm's subtraction, product and sum."
UNKNOWN_FLOPS = (
    "No rule gives it. The multiply-adds of convolutions and dense layers are {ours}; fvcore, ptflops and torchinfo count the "
    "same for timm's own model (with the bias of the dense layer 1,000 more for lite0). Tried besides: batch norm, "
    "activations, sums, padded inputs, stride ignored, other input sizes."
)
RECOUNTS: dict[str, tuple[Recount, ...]] = {
    "params": (Recount(rule="trainable parameters", value=_params),),
    "madds": (
        Recount(rule="multiply-adds of convolutions and dense layers", value=_madds),
        Recount(
            rule="multiply-adds and 3 per convolution output", value=_madds_and(3), tolerance=0.005, because=BATCH_NORM
        ),
    ),
    "operations": (
        Recount(rule="multiply-adds of convolutions and dense layers", value=_madds),
        Recount(
            rule="twice the 407 M of tensorflow/tpu", value=lambda _claim: 2 * 407e6,
            because="A multiply-add counted as two operations, from the table that counts the batch norm as well.",
        ),
    ),
    "flops": (
        Recount(rule="multiply-adds of convolutions and dense layers", value=_madds, if_not=UNKNOWN_FLOPS),
        Recount(rule="twice the multiply-adds", value=_times(2, _madds)),
        Recount(rule="multiply-adds and 2 per convolution output", value=_madds_and(2)),
        Recount(rule="multiply-adds and 3 per convolution output", value=_madds_and(3)),
    ),
    "file_bytes": (
        Recount(
            rule="4 bytes for each parameter and batch-norm statistic", tolerance=0.003,
            value=_times(4, _with_statistics),
        ),
    ),
    "resolution_px": (
        Recount(
            rule="input side of the original code", value=lambda claim: LITE[claim.model].resolution, taken_over=True
        ),
        Recount(
            rule="input side of EfficientNet-B3 and B4", other_meaning=True,
            value=lambda claim: {"lite3": 300, "lite4": 380}.get(claim.model),
            because="The table of tensorflow/tpu belongs to 280 and 300 px: by its rule lite3 has 1.44 G there, and 1.67 G at "
            "300 px. The network is fully convolutional, so the weights run at any size; its accuracy differs.",
        ),
    ),
    "crop": (
        Recount(
            rule="S / (S + margin), the margin 32 px at 224 px", value=lambda claim: ORIGINAL(_timm_side(claim)).crop,
            tolerance=0.002,
        ),
        Recount(
            rule="crop of EfficientNet-B with the same number in timm", tolerance=0.003, other_meaning=True,
            value=lambda claim: dict(zip(LITE, (0.875, 0.882, 0.89, 0.904, 0.922), strict=True))[claim.model],
            because="The Lite code keeps a margin of 32 px at 224 px at every size.",
        ),
    ),
    "features": (
        Recount(rule="channels of the head in the original code", value=lambda claim: LITE[claim.model].head, taken_over=True),
    ),
    "mean": (
        Recount(
            rule="mean of the original code", value=lambda _claim: 127.0,
            if_not="The weights were trained with (x - 127) / 128. Normalising with x / 127.5 - 1 moves the logits by 0.14 to "
            "0.22, of a standard deviation of 1.1 to 1.5: small, but wrong; and the script feeds BGR, uncropped.",
        ),
    ),
    "label_offset": (
        Recount(
            rule="offset of the labels: 1,000 classes, 0 is tench", value=lambda _claim: 0.0,
            if_not="The head has 1,000 outputs and no background class, so labels[argmax - 1] names the class before.",
        ),
    ),
}  # fmt: skip


# A total that a table prints, and the parts that it prints beside it.
TOTALS = {
    "ram_total_bytes": ("activation_bytes", "ram_runtime_bytes"),
    "flash_total_bytes": ("flash_bytes", "flash_code_bytes"),
}


def _timm_side(claim: Claim) -> int:
    return {"lite3": 300, "lite4": 380}.get(claim.model, LITE[claim.model].resolution)
