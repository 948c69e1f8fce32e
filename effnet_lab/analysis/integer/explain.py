"""Recompute what the interpreter computed, in numpy integers: whole ops, or one value in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.feeding import Sample, is_picture, one_picture
from effnet_lab.analysis.integer.op_case import IntegerStep, Value
from effnet_lab.analysis.integer.replay import Replay, last_run, left_by_delegate
from effnet_lab.analysis.integer.steps import UnknownArithmeticError, steps
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.opening import open_twins
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import Source as Images
from effnet_lab.images import Stated, open_samples
from effnet_lab.litert import KERNELS, Graph, ModelInfo, Op, Runner, Tensor, fit_samples, settle
from effnet_lab.litert.flatbuffer import is_tflite
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.litert.metadata import info_of
from effnet_lab.litert.options import options_of
from effnet_lab.litert.surgery import Source
from effnet_lab.names import UserError, lookup

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network

_NAN = float("nan")


def explain(
    model: Network | Twins,
    inputs: Images,
    *,
    layer: str | None = None,
    at: Sequence[int] | None = None,
    kernels: str = "xnnpack",
    preprocess: Stated = None,
    scheme: str = "int8",
    calibration: Images = "scenes",
) -> pd.DataFrame:
    """The integer arithmetic of a quantized file, bit for bit as the interpreter computed it.

    Parameters
    ----------
    model : path, Twins, name, LoadedModel or Keras model
        An int8 or uint8 .tflite file, or two files that are open; other networks are exported first, see `open_twins`.
    inputs : path of a picture, or what `open_samples` takes
        The first sample is run.
    layer : str, optional
        Readable name, as in the LAYER_ERROR frame; without one, every op is recomputed.
    at : sequence of int, optional
        Position in the layer's output, see `explain_op`.
    kernels : str
        Kernel path, see `litert.KERNELS`; each rounds in its own way, and each is reproduced. Open files have theirs.
    preprocess : StatedInput or Preprocess, optional
        What the user says of the input.
    scheme, calibration
        Of a network that is exported first.

    Returns
    -------
    DataFrame
        INTEGER without a layer, one row per op; INTEGER_STEPS with one, one row per step of one value.
    """
    lookup("kernels", kernels, KERNELS)
    if not isinstance(model, Twins) and not is_tflite(model):
        model = open_twins(model, scheme=scheme, calibration=calibration, kernels=kernels, preprocess=preprocess)
    if isinstance(model, Twins):
        info, graph = model.info, model.quantized_source.graph
        _require_int8(graph, info.model)
        model.run(_sample(inputs, graph, info))
        replay = last_run(model)
    else:
        source = Source(model)
        info = settle(info_of(source.tree, model, source.content), preprocess)
        replay = _run(source, model, _sample(inputs, source.graph, info), kernels)
    return _table(replay, info.key) if layer is None else steps_of(replay, info.key, layer, at)


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkThrough:
    """One value of a layer, step by step; or why not."""

    table: pd.DataFrame  # INTEGER_STEPS, without rows where the arithmetic is not known
    reason: str = ""  # then the reason, in words


def walk(twins: Twins, inputs: Images, layer: str) -> WalkThrough:
    """`explain` of one layer of open files, whichever op it is.

    Parameters
    ----------
    twins : Twins
        See `open_twins`.
    inputs : path of a picture, or what `open_samples` takes
        The first sample is run.
    layer : str
        Readable name, as in the LAYER_ERROR frame.
    """
    try:
        return WalkThrough(table=explain(twins, inputs, layer=layer))
    except UnknownArithmeticError as error:
        return WalkThrough(table=frames.build(frames.INTEGER_STEPS, []), reason=f"{layer}: {error}")


def _sample(inputs: Images, graph: Graph, info: ModelInfo) -> Sample:
    """The first of what is to be run."""
    if is_picture(inputs):
        return one_picture(str(inputs), graph, info)
    return next(iter(fit_samples(open_samples(inputs, limit=1), graph, info).samples(info.preprocess)))


def check_integer(model: Path | str, *sample: Array, kernels: str = "xnnpack") -> pd.DataFrame:
    """Run the model, and recompute each op whose arithmetic is known from the codes that went in.

    Parameters
    ----------
    model : path
        An int8 or uint8 .tflite file.
    sample : ndarray, float32
        For each input, without the batch; of a picture what `Preprocess` returns.
    kernels : str
        Kernel path, see `litert.KERNELS`; each rounds in its own way, and each is reproduced.

    Returns
    -------
    DataFrame
        INTEGER, one row per op in forward order; `n_different` counts output codes that are not equal. Where an op cannot be
        recomputed, it is NaN, and `refused` says why.
    """
    source = Source(model)
    return _table(_run(source, model, sample, kernels), info_of(source.tree, model, source.content).key)


def explain_op(
    model: Path | str, layer: str, *sample: Array, at: Sequence[int] | None = None, kernels: str = "xnnpack"
) -> pd.DataFrame:
    """WalkThrough through the arithmetic of one output value, from the codes to the real number.

    Parameters
    ----------
    model, sample, kernels
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
    source = Source(model)
    key = info_of(source.tree, model, source.content).key
    return steps_of(_run(source, model, sample, kernels), key, layer, at)


def _run(source: Source, model: Path | str, sample: Sequence[Array], kernels: str) -> Replay:
    """The file after a run of one sample, with every activation kept."""
    graph = source.graph
    _require_int8(graph, model)
    runner = Runner(source, kernels=kernels, keep_all=True)
    runner.feed(*sample)
    runner.invoke()
    return Replay(graph, options_of(source.tree), runner.codes, kernels, left_by_delegate(runner))


def _require_int8(graph: Graph, model: Path | str) -> None:
    made = [graph.tensors[op.outputs[0]] for op in graph.ops if op.outputs]
    if not any(tensor.quantized and tensor.dtype.kind in "iu" for tensor in made):
        raise UserError(
            f"{str(model)!r} computes nothing in integers: its scheme is {graph.scheme}. Give an int8 file."
        )


def _ops(replay: Replay) -> dict[str, Op]:
    names = layer_names(replay.graph)
    return {names[name]: op for name, op in computing(replay.graph)}


def _table(replay: Replay, key: dict[str, str]) -> pd.DataFrame:
    rows = [
        key | {"layer_index": i, "layer": layer, "op": op.kind, "kernels": replay.kernels} | _row(replay, op)
        for i, (layer, op) in enumerate(_ops(replay).items())
    ]
    return frames.build(frames.INTEGER, rows)


def _row(replay: Replay, op: Op) -> dict[str, Any]:
    try:
        done = replay.compare_known(op)
    except UserError as error:
        size = int(np.prod(replay.graph.tensors[op.outputs[0]].shape, dtype=np.int64))
        return {"n_values": size, "n_different": _NAN, "rounding": "", "refused": str(error)}
    accumulator = np.asarray(done.quantities["accumulator"])
    return {
        "n_values": done.n_values,
        "n_different": done.n_different,
        "accumulator_min": int(accumulator.min()),
        "accumulator_max": int(accumulator.max()),
        "multiplier_max": max(_multipliers(done.quantities)),
        "rounding": done.rounding,
        "refused": "",
    }


def _multipliers(quantities: dict[str, Value]) -> Iterator[float]:
    for name in ("multiplier", "multiplier 1", "multiplier 2"):
        if name in quantities:
            yield float(np.max(quantities[name]))


def steps_of(replay: Replay, key: dict[str, str], layer: str, at: Sequence[int] | None = None) -> pd.DataFrame:
    """INTEGER_STEPS of one value of a file that has been run; see `explain_op`."""
    op = lookup("layer", layer, _ops(replay))
    done = list(steps(replay.case(op)))
    output = replay.graph.tensors[op.outputs[0]]
    where = _position(at, output) if at is not None else _most_moved(done, output)
    theirs = replay.codes(output)[where]
    rows = [(step.quantity, _at(step.value, where, output.shape), step.how) for step in done]
    rows += [
        ("interpreter's code", float(theirs), f"kernels {replay.kernels}"),
        ("real value", float(output.real(theirs[np.newaxis])[0]), "output scale x (code - zero point)"),
    ]
    place = ",".join(str(i) for i in where[1:])
    shared = key | {"layer": layer, "at": place, "op": op.kind, "kernels": replay.kernels}
    return frames.build(
        frames.INTEGER_STEPS,
        [
            shared | {"step": i, "quantity": quantity, "value": value, "how": how}
            for i, (quantity, value, how) in enumerate(rows)
        ],
    )


def _at(value: Value, where: tuple[int, ...], shape: tuple[int, ...]) -> float:
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
