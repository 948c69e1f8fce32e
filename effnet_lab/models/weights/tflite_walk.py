"""The ops of a .tflite file that are layers of a network, without those that only carry values from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert import Op, Tensor
from effnet_lab.litert.flatbuffer import parse
from effnet_lab.litert.graph import CHANGES_OF_TYPE, graph_of
from effnet_lab.litert.metadata import info_of
from effnet_lab.names import UserError

_CARRIERS = {*CHANGES_OF_TYPE, "reshape", "squeeze", "relu6", "softmax"}
_SCALARS = ("mul", "add", "sub", "div")


class OtherNetworkError(UserError):
    """A file of another architecture than this family's."""


@dataclass(frozen=True, slots=True)
class Affine:
    """``factor * x + shift``."""

    factor: float = 1.0
    shift: float = 0.0


class Walk:
    """One pass over a file: its layers, what is done to the image before them, and which tensors are the same value."""

    def __init__(self, path: Path) -> None:
        tree = parse(path)
        graph = graph_of(tree, str(path))
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise OtherNetworkError(
                f"{path} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs. Give a classifier."
            )
        self.info = info_of(tree, path, graph=graph)
        self.tensors: tuple[Tensor, ...] = graph.tensors
        self.input = graph.tensors[graph.inputs[0]]
        self.entry = self.input.index  # what the first layer reads
        self.before = Affine()
        self.layers: list[Op] = []
        self.relu6: set[int] = set()  # outputs of layers that a ReLU6 of its own follows
        self._same: dict[int, int] = {}
        self._stored = tree.subgraphs[0].operators
        ended = False
        for op in graph.ops:
            if not op.inputs or not op.outputs:
                raise OtherNetworkError(
                    f"{path} keeps a state ({op.kind}). Give a classifier of the EfficientNet-Lite kind."
                )
            if op.kind in _CARRIERS or not self.computed(op):
                self._same[op.outputs[0]] = self.origin(op.inputs[0])
                self.relu6 |= {self.origin(op.inputs[0])} if op.kind == "relu6" else set()
                ended |= op.kind == "softmax"
            elif not self.layers and op.kind in _SCALARS:
                self._apply(op, path)
            else:
                kind = "mean" if op.kind == "average_pool_2d" else op.kind
                self.layers.append(Op(index=op.index, kind=kind, inputs=op.inputs, outputs=op.outputs))
                if ended:
                    raise OtherNetworkError(
                        f"{path} goes on after a softmax. Give a classifier of the EfficientNet-Lite kind."
                    )
        if not self.layers or self.origin(graph.outputs[0]) != self.layers[-1].outputs[0]:
            raise OtherNetworkError(
                f"{path} has no layers, or its output is not that of the last one. Give a classifier."
            )

    def origin(self, index: int) -> int:
        """The tensor that this one is, but for its type and shape."""
        return self._same.get(index, index)

    def value(self, index: int) -> NDArray[Any] | None:
        """Real values of a stored tensor, float32, unpacked where the file unpacks it; None for a computed one."""
        tensor = self.tensors[self.origin(index)]
        return None if tensor.data is None else tensor.real(tensor.data)

    def stored(self, index: int) -> NDArray[Any]:
        """As `value`, of a tensor that has to be stored."""
        found = self.value(index)
        if found is None:
            raise OtherNetworkError(f"The file computes {self.tensors[index].name!r}, which should be a stored weight.")
        return found

    def computed(self, op: Op) -> list[int]:
        """Inputs of an op that are not stored in the file."""
        return [index for index in op.inputs if self.tensors[self.origin(index)].data is None]

    def options(self, op: Op) -> Any:
        """Stride, padding and fused activation, as the schema has them."""
        return self._stored[op.index].builtinOptions

    def _apply(self, op: Op, path: Path) -> None:
        """Take a scalar op before the first layer into `before`."""
        constants = [found for index in op.inputs if (found := self.value(index)) is not None]
        first_is_image = self.origin(op.inputs[0]) == self.entry
        if len(constants) != 1 or np.ptp(constants[0]) > 0 or (op.kind in ("sub", "div") and not first_is_image):
            raise OtherNetworkError(
                f"{path} normalises its input per channel or in a way that is not supported: {op.kind}."
            )
        value = float(constants[0].reshape(-1)[0])
        factor, shift = self.before.factor, self.before.shift
        self.before = {
            "mul": lambda: Affine(factor * value, shift * value),
            "div": lambda: Affine(factor / value, shift / value),
            "add": lambda: Affine(factor, shift + value),
            "sub": lambda: Affine(factor, shift - value),
        }[op.kind]()
        self.entry = op.outputs[0]
