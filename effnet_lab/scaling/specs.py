"""What tells one EfficientNet from another: a frozen specification."""

from __future__ import annotations

from dataclasses import dataclass

from effnet_lab.names import UserError

ACTIVATIONS = ("relu6", "swish")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A run of inverted-residual blocks before scaling; the stride is the first block's, the rest have 1."""

    kernel: int  # side of the depthwise kernel
    stride: int
    expansion: int  # hidden channels / input channels; 1 means no expansion convolution
    channels: int  # output channels at width 1.0
    repeats: int  # blocks at depth 1.0


# Source: tensorflow/tpu, models/official/efficientnet/efficientnet_builder.py (shared by EfficientNet and Lite).
STAGES = tuple(
    Stage(kernel=k, stride=s, expansion=e, channels=c, repeats=r)
    for k, s, e, c, r in (
        (3, 1, 1, 16, 1),
        (3, 2, 6, 24, 2),
        (5, 2, 6, 40, 2),
        (3, 2, 6, 80, 3),
        (5, 1, 6, 112, 3),
        (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetSpec:
    """One network of the EfficientNet kind. The defaults are EfficientNet-Lite.

    Lite keeps the stem, the head and the repeats of the first and last stage as they are (`fixed_ends`); the original
    EfficientNet, and networks below lite0, scale them as well.
    Source: tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py.
    """

    name: str
    width: float  # channel multiplier, lite0 = 1.0
    depth: float  # repeat multiplier, lite0 = 1.0
    resolution: int  # side of the square input, px
    dropout: float = 0.2  # before the classifier
    drop_connect: float = 0.2  # drop probability of the residual branch beyond the last block
    stages: tuple[Stage, ...] = STAGES
    stem: int = 32  # channels of the first convolution
    head: int = 1280  # channels of the last convolution: the pooled features
    fixed_ends: bool = True
    activation: str = "relu6"
    se_ratio: float = 0.0  # squeeze-and-excitation channels / block input channels; 0 means none

    def __post_init__(self) -> None:
        if self.resolution < 32:
            raise UserError(
                f"NetSpec {self.name!r}: resolution must be >= 32 px (it is halved five times). Got {self.resolution}."
            )
        for field in ("width", "depth"):
            if not getattr(self, field) > 0:
                raise UserError(f"NetSpec {self.name!r}: {field} must be > 0. Got {getattr(self, field)}.")
        if self.activation not in ACTIVATIONS:
            raise UserError(
                f"NetSpec {self.name!r}: activation must be one of {', '.join(ACTIVATIONS)}. Got {self.activation!r}."
            )
