"""What an op is told besides its tensors: padding, strides, dilation, fused activation, ..."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.flatbuffer import parse

_FUSED = {value: name.lower() for name, value in vars(schema.ActivationFunctionType).items() if isinstance(value, int)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Options of one op; what its kind does not have stands at the neutral value."""

    fused: str = "none"  # activation inside the op: none, relu, relu_n1_to_1, relu6, tanh, sign_bit
    same: bool = False  # SAME padding, else VALID
    stride: tuple[int, int] = (1, 1)  # height, width
    dilation: tuple[int, int] = (1, 1)  # height, width
    depth_multiplier: int = 1
    window: tuple[int, int] = (1, 1)  # of a pooling: height, width
    slope: float = 0.0  # of a leaky ReLU below zero
    beta: float = 1.0  # of a softmax
    block: int = 0  # of a change between space and depth
    masked: bool = False  # a strided slice that leaves out or adds axes

    def reach(self, window: int, axis: int) -> int:
        """How many values a kernel of `window` taps spans; axis 0 is the height, 1 the width."""
        return (window - 1) * self.dilation[axis] + 1

    def out_size(self, size: int, window: int, axis: int) -> int:
        """Side of the map that a sliding window makes of one with this side."""
        stride = self.stride[axis]
        return -(-size // stride) if self.same else (size - self.reach(window, axis)) // stride + 1

    def padding(self, size: int, window: int, axis: int) -> tuple[int, int]:
        """Zeros before and behind, as TensorFlow's SAME pads: the odd one behind."""
        if not self.same:
            return 0, 0
        needed = (self.out_size(size, window, axis) - 1) * self.stride[axis] + self.reach(window, axis)
        missing = max(needed - size, 0)
        return missing // 2, missing - missing // 2


def op_options(model: Path | str | bytes) -> tuple[Options, ...]:
    """Options of every op of the main graph, in the order of `Graph.ops`."""
    return options_of(parse(model))


def options_of(tree: schema.ModelT) -> tuple[Options, ...]:
    """The same for a parsed file."""
    return tuple(_options(op.builtinOptions) for op in tree.subgraphs[0].operators)


def _options(stored: object) -> Options:
    def read(name: str, default: int) -> int:
        return int(getattr(stored, name, default))

    return Options(
        fused=_FUSED.get(read("fusedActivationFunction", 0), "unknown"),
        same=read("padding", schema.Padding.VALID) == schema.Padding.SAME,
        stride=(read("strideH", 1), read("strideW", 1)),
        dilation=(read("dilationHFactor", 1), read("dilationWFactor", 1)),
        depth_multiplier=read("depthMultiplier", 1),
        window=(read("filterHeight", 1), read("filterWidth", 1)),
        slope=float(getattr(stored, "alpha", 0.0)),
        beta=float(getattr(stored, "beta", 1.0)),
        block=read("blockSize", 0),
        masked=any(read(name, 0) for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask")),
    )
