"""A specification unrolled into its layers, by arithmetic alone: shapes, parameters, MAdds, memory.

Counting rules, the same everywhere in this package: `params` are the trainable ones (kernels, biases, batch-norm gamma
and beta); `madds` count one multiply and its add once, in convolutions and dense layers only; activation bytes are those
of int8, one per element; weight bytes are those of an int8 file: one per kernel element, four per bias, batch norm folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

from effnet_lab.names import UserError
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.scaling.specs import NetSpec

if TYPE_CHECKING:
    import numpy as np

Size: TypeAlias = Union[int, "np.ndarray"]  # one input side, or many at once: every formula below holds for both


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One op of the network as a converter would fuse it: convolution, batch norm and activation are one."""

    name: str
    op: str  # conv, depthwise, dense, add, mul, mean
    inputs: tuple[str, ...]  # names of the layers it reads; "input" is the image
    side: Size  # side of the square output, px
    channels: int
    params: int
    madds: Size
    weight_bytes: int
    kernel: int = 1
    stride: int = 1

    @property
    def activation_bytes(self) -> Size:
        """Size of the output in int8."""
        return self.side * self.side * self.channels


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One inverted-residual block after scaling; what both the counts and the Keras model are made from."""

    name: str
    kernel: int
    stride: int
    expansion: int
    in_channels: int
    out_channels: int
    se_channels: int  # 0: no squeeze-and-excitation
    survival: float  # probability that the residual branch is kept in training

    @property
    def hidden(self) -> int:
        """Channels of the depthwise convolution."""
        return self.in_channels * self.expansion

    @property
    def skip(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.in_channels == self.out_channels


def blocks(spec: NetSpec) -> tuple[Block, ...]:
    """Every block in forward order; the drop-connect ramp runs over the *scaled* blocks."""
    stem, *stage_channels, _head = scaled_channels(spec)
    repeats = scaled_repeats(spec)
    total, channels = sum(repeats), stem
    out: list[Block] = []
    for stage, stage_out, count in zip(spec.stages, stage_channels, repeats, strict=True):
        for repeat in range(count):
            out.append(
                Block(
                    name=f"blocks_{len(out)}",
                    kernel=stage.kernel,
                    stride=stage.stride if repeat == 0 else 1,
                    expansion=stage.expansion,
                    in_channels=channels,
                    out_channels=stage_out,
                    se_channels=max(1, int(channels * spec.se_ratio)) if spec.se_ratio else 0,
                    survival=1.0 - spec.drop_connect * len(out) / total,
                )
            )
            channels = stage_out
    return tuple(out)


def layers(spec: NetSpec, classes: int = 1000, side: Size | None = None) -> tuple[Layer, ...]:
    """Every layer in forward order.

    Parameters
    ----------
    spec : NetSpec
    classes : int
        Outputs of the classifier.
    side : int or ndarray of int, optional
        Input side, px; the specification's by default. An array gives arrays for all sizes at once.
    """
    if classes < 1:
        raise UserError(f"classes must be >= 1. Got {classes}.")
    side = spec.resolution if side is None else side
    stem, *_stages, head = scaled_channels(spec)
    out = [_conv("stem_conv", "input", (side + 1) // 2, 3, stem, kernel=3, stride=2)]
    for block in blocks(spec):
        out.extend(_block_layers(block, out[-1].name, out[-1].side))
    out.append(_conv("head_conv", out[-1].name, out[-1].side, out[-1].channels, head))
    out.append(_mean("head_pool", "head_conv", head))
    size = head * classes
    out.append(
        Layer(
            name="head_dense", op="dense", inputs=("head_pool",), side=1, channels=classes,
            params=size + classes, madds=size, weight_bytes=size + 4 * classes,
        )
    )  # fmt: skip
    return tuple(out)


def _block_layers(block: Block, source: str, side: Size) -> Iterator[Layer]:
    entry, name = source, block.name
    if block.expansion != 1:
        yield _conv(f"{name}_expand", source, side, block.in_channels, block.hidden)
        source = f"{name}_expand"
    side = (side + block.stride - 1) // block.stride
    yield _depthwise(f"{name}_dwconv", source, side, block.hidden, block.kernel, block.stride)
    source = f"{name}_dwconv"
    if block.se_channels:
        yield _mean(f"{name}_se_pool", source, block.hidden)
        yield _conv(f"{name}_se_reduce", f"{name}_se_pool", 1, block.hidden, block.se_channels, batch_norm=False)
        yield _conv(f"{name}_se_expand", f"{name}_se_reduce", 1, block.se_channels, block.hidden, batch_norm=False)
        yield _elementwise(f"{name}_se_mul", "mul", (source, f"{name}_se_expand"), side, block.hidden)
        source = f"{name}_se_mul"
    yield _conv(f"{name}_project", source, side, block.hidden, block.out_channels)
    if block.skip:
        yield _elementwise(f"{name}_add", "add", (f"{name}_project", entry), side, block.out_channels)


def _conv(
    name: str,
    source: str,
    side: Size,
    in_channels: int,
    out_channels: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    batch_norm: bool = True,
) -> Layer:
    """Convolution without bias and with batch norm, or with a bias and without: gamma and beta are two per channel."""
    size = kernel * kernel * in_channels * out_channels
    return Layer(
        name=name, op="conv", inputs=(source,), side=side, channels=out_channels, kernel=kernel, stride=stride,
        params=size + (2 if batch_norm else 1) * out_channels, madds=size * side * side, weight_bytes=size + 4 * out_channels,
    )  # fmt: skip


def _depthwise(name: str, source: str, side: Size, channels: int, kernel: int, stride: int) -> Layer:
    size = kernel * kernel * channels
    return Layer(
        name=name, op="depthwise", inputs=(source,), side=side, channels=channels, kernel=kernel, stride=stride,
        params=size + 2 * channels, madds=size * side * side, weight_bytes=size + 4 * channels,
    )  # fmt: skip


def _mean(name: str, source: str, channels: int) -> Layer:
    return _elementwise(name, "mean", (source,), 1, channels)


def _elementwise(name: str, op: str, inputs: tuple[str, ...], side: Size, channels: int) -> Layer:
    return Layer(name=name, op=op, inputs=inputs, side=side, channels=channels, params=0, madds=0, weight_bytes=0)
