"""Values on their way through a network: one op after the other, and activations on the grid that integers have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert import Op
from effnet_lab.litert.runner import invoke, open_interpreter
from effnet_lab.litert.surgery import Assembly, Source

Array = NDArray[Any]
Values = dict[int, Array]  # of one image, by index of the tensor


class OpRunner:
    """One op in an interpreter of its own."""

    def __init__(self, source: Source, op: Op) -> None:
        assembly, stored = Assembly(), [int(i) for i in source.stored(op).inputs]
        self._inputs = {i: assembly.value(source.main.tensors[i]) for i in dict.fromkeys(source.activations(op))}
        inside = {-1: -1} | self._inputs
        for i in stored:
            if i not in inside:
                inside[i] = assembly.constant(source, i)
        self._outputs = {i: assembly.value(source.main.tensors[i]) for i in op.outputs}
        assembly.op(source, op, [inside[i] for i in stored], [*self._outputs.values()])
        content = assembly.content([*self._inputs.values()], [*self._outputs.values()])
        self._interpreter = open_interpreter(content, threads=1, kernels="xnnpack", keep_all=False)

    def run(self, states: list[Values]) -> None:
        """Each image's outputs beside its inputs."""
        for state in states:
            for i, place in self._inputs.items():
                self._interpreter.set_tensor(place, state[i])
            invoke(self._interpreter)
            for i, place in self._outputs.items():
                state[i] = self._interpreter.get_tensor(place)


def fake_quantize(values: Array, ends: tuple[float, float], bits: int) -> Array:
    """Real values on the steps of an integer range that holds 0, saturated, float32.

    16 bits are symmetric about 0, as the format has it; 8 bits span from the lower to the upper end.
    """
    low, high = min(0.0, ends[0]), max(0.0, ends[1])
    steps = 2**bits - 1
    if bits == 16:
        high = max(-low, high)
        low = -high
    scale = np.float32(max((high - low) / steps, np.finfo(np.float32).tiny))
    zero = np.float32(np.rint(-low / scale))
    codes = np.clip(np.rint(values / scale) + zero, 0, steps)
    return np.asarray((codes - zero) * scale, dtype=np.float32)
