"""Run a .tflite file on real values, whatever the types of its own inputs and outputs are."""

from __future__ import annotations

import warnings
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from effnet_lab.litert.flatbuffer import parse, read_file
from effnet_lab.litert.graph import Graph, Tensor, graph_of, read_graph
from effnet_lab.litert.refusals import in_short
from effnet_lab.litert.soundness import OPAQUE
from effnet_lab.litert.surgery import Source
from effnet_lab.litert.trial import require_survival
from effnet_lab.names import UserError, lookup
from effnet_lab.quiet import quiet

KERNELS = {  # which implementation computes; results differ by up to about 1 dB of SQNR between them
    "xnnpack": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


class DelegateError(UserError):
    """XNNPACK does not take a model that the plain kernels run."""


def open_interpreter(
    content: bytes, *, threads: int, kernels: str, keep_all: bool, name: str = "the model"
) -> Interpreter:
    """An interpreter that is ready to be fed; `UserError` where LiteRT refuses the model."""
    resolver = lookup("kernels", kernels, KERNELS)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")  # we mean to
            interpreter = Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep_all,
            )
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        if "XNNPACK" in str(error):
            raise _refused_by_delegate(error) from None
        raise UserError(f"LiteRT refuses {name}: {in_short(str(error))}.") from None
    return interpreter


def invoke(interpreter: Interpreter) -> None:
    """Run once. The delegate is often built in the first run, so that is where it refuses a model."""
    try:
        interpreter.invoke()
    except RuntimeError as error:
        if "XNNPACK" not in str(error):
            raise UserError(f"LiteRT cannot run the model: {in_short(str(error))}.") from None
        raise _refused_by_delegate(error) from None


def _refused_by_delegate(error: Exception) -> DelegateError:
    return DelegateError(
        f"XNNPACK refuses the model ({in_short(str(error))}). `effnet-lab lint` names the op; where kernels "
        "can be chosen, 'builtin' may run it."
    )


class Runner:
    """One interpreter over one file.

    Parameters
    ----------
    model : path, bytes or Source
        A .tflite file.
    threads : int
        Threads of the interpreter.
    kernels : "xnnpack", "builtin" or "reference"
    keep_all : bool
        Keep every activation, so that `activation` can read it.
    graph : Graph, optional
        What `read_graph` makes of the file, where that has been done already.
    """

    def __init__(
        self,
        model: Path | str | bytes | Source,
        *,
        threads: int = 1,
        kernels: str = "xnnpack",
        keep_all: bool = False,
        graph: Graph | None = None,
    ) -> None:
        if threads < 1:
            raise UserError(f"threads must be >= 1. Got {threads}.")
        if isinstance(model, Source):
            content, file, graph = model.content, model.file, model.graph
        else:
            content, file = read_file(model)
        self.graph: Graph = graph or (read_graph(content) if file is None else graph_of(parse(content, file), file))
        self._name = file or "model"
        resolver = lookup("kernels", kernels, KERNELS)
        if file is not None:
            require_survival(file, kernels=resolver.name, keep_all=keep_all, madds=self.graph.madds)
        name = "the model" if file is None else repr(file)
        self._open = partial(open_interpreter, content, threads=threads, kernels=kernels, keep_all=keep_all, name=name)
        try:
            self._interpreter = self._open()
        except DelegateError:
            raise
        except UserError:
            self._require_closed_size()
            raise
        self.kernels, self.threads = kernels, threads
        self.inputs: tuple[Tensor, ...] = tuple(self.graph.tensors[i] for i in self.graph.inputs)
        self.outputs: tuple[Tensor, ...] = tuple(self.graph.tensors[i] for i in self.graph.outputs)

    def _require_closed_size(self) -> None:
        for index in self.graph.inputs:
            if (tensor := self.graph.tensors[index]).open_size:
                raise UserError(
                    f"{self._name!r} leaves the size of its input open and does not run at the stand-in {tensor.shape}. "
                    "Export it with the size that you use."
                )

    def another(self) -> Runner:
        """A second interpreter over the same file, for another thread."""
        twin = copy(self)
        twin._interpreter = self._open()
        return twin

    @property
    def memory_bytes(self) -> int:
        """What an interpreter takes at most: every activation at once, and the weights as they lie in the file and packed."""
        computed = {i for op in self.graph.ops for i in op.outputs} | set(self.graph.inputs)
        weights = sum(tensor.data.nbytes for tensor in self.graph.tensors if tensor.data is not None)
        return 2 * weights + sum(self.graph.tensors[i].size_bytes for i in computed)

    @property
    def input(self) -> Tensor:
        """The only input."""
        return self._only(self.inputs, "inputs")

    @property
    def output(self) -> Tensor:
        """The only output."""
        return self._only(self.outputs, "outputs")

    def _only(self, ends: tuple[Tensor, ...], what: str) -> Tensor:
        if len(ends) != 1:
            raise UserError(
                f"{self._name!r} has {len(ends)} {what}; exactly one is needed here. `bench` and `evaluate --against` take any."
            )
        return ends[0]

    @property
    def side_px(self) -> int:
        """Side of the square input."""
        return self.input.shape[1]

    def feed(self, *values: NDArray[np.floating]) -> None:
        """Set the inputs, real values: quantized with the model's own scale and zero point, saturated.

        One array for each input, of its shape; a leading axis of length 1, the batch, may be left out.
        """
        if len(values) != len(self.inputs):
            raise UserError(f"{self._name!r} has {len(self.inputs)} inputs. Got values for {len(values)}.")
        for array, tensor in zip(values, self.inputs, strict=True):
            if tensor.dtype == OPAQUE:
                raise UserError(f"{self._name!r} takes text or a handle in {tensor.name!r}, which cannot be fed.")
            if array.shape != tensor.shape and (1, *array.shape) != tensor.shape:
                takes = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
                what = "images" if len(takes) == 3 else "values"
                raise UserError(f"The model takes {what} of shape {takes}. Got {array.shape}.")
            self._interpreter.set_tensor(tensor.index, fed(array, tensor))

    def reset(self) -> None:
        """Forget what earlier runs left behind in a network with a state."""
        if self.graph.keeps_state:
            self._interpreter = self._open()  # `reset_all_variables` does not reach resource variables

    def invoke(self) -> None:
        """Run the graph once; `DelegateError` where XNNPACK does not take it."""
        invoke(self._interpreter)

    def activation(self, tensor: Tensor) -> np.ndarray:
        """Real values of a computed tensor after `invoke`, float32; needs ``keep_all=True`` unless it is the output."""
        self._require_numbers(tensor)
        try:
            codes = self._interpreter.get_tensor(tensor.index)
        except ValueError:
            raise self._no_values(tensor) from None
        return tensor.real(codes)

    def codes(self, tensor: Tensor) -> NDArray[Any]:
        """What `activation` reads, as it stands in memory and without a copy; let go of it before the next `invoke`."""
        self._require_numbers(tensor)
        try:
            view: NDArray[Any] = self._interpreter.tensor(tensor.index)()
        except ValueError:
            raise self._no_values(tensor) from None
        return view

    def _no_values(self, tensor: Tensor) -> UserError:
        """For when there is no memory for them."""
        shape = self.shapes()[tensor.index]
        why = f"on this input its shape is {shape}" if 0 in shape else "nothing in the file reads them"
        return UserError(f"{self._name!r} keeps no values of {tensor.name[:60]!r}: {why}.")

    def _require_numbers(self, tensor: Tensor) -> None:
        if tensor.dtype == OPAQUE:  # LiteRT would follow a pointer that is none
            raise UserError(f"The tensor {tensor.name[:60]!r} of {self._name!r} holds a handle or text, not numbers.")

    def shapes(self) -> dict[int, tuple[int, ...]]:
        """Shapes of all tensors after `invoke`, by index; a file may leave some of them open."""
        return {each["index"]: tuple(map(int, each["shape"])) for each in self._interpreter.get_tensor_details()}

    def nodes(self) -> list[dict[str, Any]]:
        """What the interpreter would run: the graph's ops, then the nodes that delegates have put in their place."""
        nodes: list[dict[str, Any]] = self._interpreter._get_ops_details()  # there is no public way to ask
        return nodes

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Real values of the only output, float32 (n, values), of a batch for the only input; samples run one by one."""
        rows = []
        for values in batch:
            self.feed(values)
            self.invoke()
            rows.append(self.activation(self.output).reshape(-1))
        return np.stack(rows)

    def run(self, *values: NDArray[np.floating]) -> list[NDArray[np.floating]]:
        """Real values of every output, float32, for one sample."""
        self.feed(*values)
        self.invoke()
        return [self.activation(tensor) for tensor in self.outputs]


def fed(values: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Real values of one sample as an input of the network takes them: its type and its shape."""
    return to_codes(values, tensor).reshape(tensor.shape)


def to_codes(values: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Real values to the tensor's own type: rounded to nearest, saturated, never wrapped."""
    if not tensor.quantized:
        return values.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a damaged file may have a scale of 0
        codes = np.nan_to_num(np.rint(values / tensor.scale[0]) + tensor.zero_point[0])
    clipped: NDArray[Any] = np.clip(codes, limits.min, limits.max).astype(tensor.dtype)
    return clipped
