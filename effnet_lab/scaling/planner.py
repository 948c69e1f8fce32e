"""Where a microcontroller's runtime puts each tensor, and how much memory that takes, from a specification alone.

TensorFlow Lite Micro holds everything in one arena: activations grow from its head, at offsets that its greedy planner fixes
once; structs that live as long as the interpreter grow from its tail. Sizes of those structs are of a 64-bit host; where
pointers have 32 bits they are smaller.
Source: tflite-micro, micro/memory_planner/greedy_memory_planner.cc and micro/micro_allocator.cc.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from effnet_lab.scaling.layers import Layer, layers
from effnet_lab.scaling.specs import NetSpec

ALIGNMENT = 16  # of every buffer in the arena
WEIGHTED = ("conv", "depthwise", "dense")
_GATE = "_se_expand"  # its activation is a sigmoid; every other one is the specification's
# bytes in the tail, 64-bit host
_PER_TENSOR, _PER_OP, _PER_CHANNEL, _FIXED = 24, 64 + 24, 4 + 4, 704  # per channel: multiplier and shift
_WEIGHTED_OP, _OTHER_OP = 96, 32  # what the kernels keep for themselves


@dataclass(frozen=True, kw_only=True, slots=True)
class Buffer:
    """A tensor that is computed, and the ops between which it has to be kept."""

    name: str
    size_bytes: int
    first: int  # index of the op that writes it; 0 for the input
    last: int  # index of the last op that reads it


@dataclass(frozen=True, kw_only=True, slots=True)
class ArenaEstimate:
    """Memory that an int8 network takes in the arena of TensorFlow Lite Micro."""

    activation_bytes: int  # head
    persistent_bytes: int  # tail

    @property
    def total_bytes(self) -> int:
        """The whole arena."""
        return self.activation_bytes + self.persistent_bytes


def place(buffers: Sequence[Buffer]) -> tuple[int, ...]:
    """Offset of every buffer in bytes, in the order given: largest first, each at the lowest gap that holds it.

    Two buffers share bytes only if no op needs both.
    """
    offsets: dict[int, int] = {}
    for i in sorted(range(len(buffers)), key=lambda i: -buffers[i].size_bytes):
        this, offset = buffers[i], 0
        beside = [j for j in offsets if buffers[j].first <= this.last and this.first <= buffers[j].last]
        for j in sorted(beside, key=offsets.__getitem__):
            if offset + aligned(this.size_bytes) <= offsets[j]:
                break
            offset = max(offset, offsets[j] + aligned(buffers[j].size_bytes))
        offsets[i] = offset
    return tuple(offsets[i] for i in range(len(buffers)))


def arena_end(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    """Bytes from the start of the arena to the end of the last buffer."""
    return max(
        (offset + aligned(buffer.size_bytes) for buffer, offset in zip(buffers, offsets, strict=True)), default=0
    )


def aligned(size_bytes: int) -> int:
    """Size rounded up to a multiple of the alignment."""
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def estimate_arena(spec: NetSpec, classes: int = 1000, side: int | None = None) -> ArenaEstimate:
    """Arena of the int8 file that `export` would write: a batch of one, a softmax on top.

    Parameters
    ----------
    spec : NetSpec
    classes : int
        Outputs of the classifier.
    side : int, optional
        Input side, px; the specification's by default.
    """
    return arena_of(layers(spec, classes, side), spec.resolution if side is None else side, spec.activation)


def arena_of(net: Iterable[Layer], side: int, activation: str = "relu6") -> ArenaEstimate:
    """The same for layers that no specification makes."""
    steps = list(_steps(net, activation))
    last = {source: i for i, (_, inputs, _, _) in enumerate(steps) for source in inputs}
    buffers = [Buffer(name="input", size_bytes=side * side * 3, first=0, last=last["input"])] + [
        Buffer(name=name, size_bytes=size, first=i, last=last.get(name, i))
        for i, (name, _, size, _) in enumerate(steps)
    ]
    weighted = [channels for _, _, _, channels in steps if channels]
    tensors = len(buffers) + 2 * len(weighted)  # kernel and bias
    return estimate_of(buffers, tensors, len(steps), weighted)


def estimate_of(buffers: Sequence[Buffer], n_tensors: int, n_ops: int, channels: Sequence[int]) -> ArenaEstimate:
    """The same from the tensors that are computed, the numbers of all tensors and ops, and the channels of each weighted op."""
    persistent = (
        _FIXED + _PER_TENSOR * n_tensors + _PER_OP * n_ops + _PER_CHANNEL * sum(channels)
        + _WEIGHTED_OP * len(channels) + _OTHER_OP * (n_ops - len(channels))
    )  # fmt: skip
    return ArenaEstimate(activation_bytes=arena_end(buffers, place(buffers)), persistent_bytes=persistent)


def _steps(net: Iterable[Layer], activation: str) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    """Name, inputs, output bytes and channels (0: no weights) of every op of the file.

    ReLU6 is part of the op before it. Swish is two ops more, a sigmoid and a product, which hold three tensors at once; so
    layers that read a swish read the product.
    """
    renamed: dict[str, str] = {}
    for layer in net:
        inputs = tuple(renamed.get(name, name) for name in layer.inputs)
        size, channels = int(layer.activation_bytes), layer.channels if layer.op in WEIGHTED else 0
        yield layer.name, inputs, size, channels
        kind = _activation(layer, activation)
        if kind in ("sigmoid", "swish"):
            renamed[layer.name] = gate = f"{layer.name}_sigmoid"
            yield gate, (layer.name,), size, 0
            if kind == "swish":
                renamed[layer.name] = product = f"{layer.name}_swish"
                yield product, (layer.name, gate), size, 0
    yield "softmax", (renamed.get(layer.name, layer.name),), size, 0


def _activation(layer: Layer, activation: str) -> str:
    if layer.op not in ("conv", "depthwise") or layer.name.endswith("_project"):
        return ""
    return "sigmoid" if layer.name.endswith(_GATE) else activation
