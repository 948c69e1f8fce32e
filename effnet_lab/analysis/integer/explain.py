"""Recompute what the interpreter computed, in numpy integers: whole ops, or one value in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.analysis.integer.steps import KINDS, IntegerStep, OpCase, steps
from effnet_lab.litert import Op, Runner, Tensor, read_info
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.options import op_options
from effnet_lab.litert.runner import to_codes
from effnet_lab.names import UserError, lookup


def check_integer(model: Path | str, image: NDArray, *, kernels: str = "xnnpack") -> pd.DataFrame:
    """Run the model, and recompute each conv, depthwise, dense, add, mul and mean op from the codes that went in.

    Parameters
    ----------
    model : path
        An int8 .tflite file.
    image : ndarray, float32 (h, w, 3)
        Normalised, as `Preprocess` returns it.
    kernels : str
        Kernel path, see `litert.KERNELS`; each rounds in its own way, and each is reproduced.

    Returns
    -------
    DataFrame
        INTEGER, one row per op in forward order; `n_different` counts output codes that are not equal.
    """
    replay = _Replay(model, image, kernels)
    return frames.build(frames.INTEGER, [replay.row(i, layer, op) for i, (layer, op) in enumerate(replay.ops.items())])


def explain_op(
    model: Path | str,
    layer: str,
    image: NDArray,
    *,
    at: Sequence[int] | None = None,
    kernels: str = "xnnpack",
) -> pd.DataFrame:
    """Walk through the arithmetic of one output value, from the codes to the real number.

    Parameters
    ----------
    model, image, kernels
        See `check_integer`.
    layer : str
        Readable name, as in the LAYER_ERROR frame.
    at : sequence of int, optional
        Position in the output without the batch: (y, x, channel), or (channel,). Without one, the value that the
        rounding moved most.

    Returns
    -------
    DataFrame
        INTEGER_STEPS, one row per step; the last compare with the interpreter's own code.
    """
    replay = _Replay(model, image, kernels)
    op = lookup("layer", layer, replay.ops)
    done = list(steps(replay.case(op)))
    output = replay.tensors[op.outputs[0]]
    where = _position(at, output) if at is not None else _most_moved(done, output)
    theirs = replay.codes(output)[where]
    rows = [(step.quantity, _at(step.value, where, output.shape), step.how) for step in done]
    rows += [
        ("interpreter's code", float(theirs), f"kernels {kernels}"),
        ("real value", float(output.real(theirs[np.newaxis])[0]), "output scale x (code - zero point)"),
    ]
    place = ",".join(str(i) for i in where[1:])
    shared = replay.key | {"layer": layer, "at": place, "op": op.kind, "kernels": kernels}
    return frames.build(
        frames.INTEGER_STEPS,
        [
            shared | {"step": i, "quantity": quantity, "value": value, "how": how}
            for i, (quantity, value, how) in enumerate(rows)
        ],
    )


class _Replay:
    """An interpreter that has run one image and keeps every activation."""

    def __init__(self, model: Path | str, image: NDArray, kernels: str) -> None:
        self.key = read_info(model).key
        self.kernels = kernels
        self._runner = Runner(model, kernels=kernels, keep_all=True)
        self._options = op_options(model)
        self._runner.feed(image)
        self._runner.invoke()
        graph = self._runner.graph
        self.tensors = graph.tensors
        names = layer_names(graph)
        self.ops = {layer: op for name, layer in names.items() if (op := graph.produced[name]).kind in KINDS}
        if not any(graph.tensors[op.outputs[0]].dtype == np.int8 for op in self.ops.values()):
            raise UserError(
                f"{str(model)!r} computes nothing in int8: its scheme is {graph.scheme}. Give an int8 file."
            )

    def codes(self, tensor: Tensor) -> NDArray:
        """Stored values, or the codes that were computed."""
        return tensor.data if tensor.data is not None else to_codes(self._runner.activation(tensor), tensor)

    def case(self, op: Op) -> OpCase:
        inputs = tuple(self.tensors[i] for i in op.inputs)
        return OpCase(
            op=op,
            options=self._options[op.index],
            inputs=inputs,
            output=self.tensors[op.outputs[0]],
            codes=tuple(self.codes(tensor) for tensor in inputs),
            kernels=self.kernels,
        )

    def row(self, index: int, layer: str, op: Op) -> dict:
        case = self.case(op)
        done = {step.quantity: step.value for step in steps(case)}
        theirs = self.codes(case.output)
        return self.key | {
            "layer_index": index,
            "layer": layer,
            "op": op.kind,
            "kernels": self.kernels,
            "n_values": theirs.size,
            "n_different": int(np.count_nonzero(done["output code"] != theirs)),
            "accumulator_min": int(done["accumulator"].min()),
            "accumulator_max": int(done["accumulator"].max()),
            "multiplier_max": float(np.max(list(_multipliers(done)))),
            "rounding": case.rounding,
        }


def _multipliers(done: dict[str, NDArray | float]) -> Iterator[float]:
    for name in ("multiplier", "multiplier 1", "multiplier 2"):
        if name in done:
            yield float(np.max(done[name]))


def _at(value: NDArray | float, where: tuple[int, ...], shape: tuple[int, ...]) -> float:
    value = np.asarray(value)
    if value.ndim and value.shape != shape and value.size == int(np.prod(shape)):
        value = value.reshape(shape)
    return float(np.broadcast_to(value, shape)[where])


def _position(at: Sequence[int], output: Tensor) -> tuple[int, ...]:
    where = (0, *(int(i) for i in at))
    inside = len(where) == len(output.shape) and all(0 <= i < n for i, n in zip(where, output.shape, strict=True))
    if not inside:
        raise UserError(f"--at must lie in {output.shape[1:]}, counted from 0. Got {tuple(where[1:])}.")
    return where


def _most_moved(done: list[IntegerStep], output: Tensor) -> tuple[int, ...]:
    """Where rounding changed the value most, of those that the clamp left alone: the most telling one."""
    by_name = {step.quantity: step.value for step in done}
    before, rounded = (np.asarray(by_name[name]).reshape(output.shape) for name in ("before rounding", "rounded value"))
    free = rounded + by_name["output zero point"] == by_name["output code"]
    return tuple(int(i) for i in np.unravel_index(np.argmax(np.where(free, abs(before - rounded), -1)), output.shape))
