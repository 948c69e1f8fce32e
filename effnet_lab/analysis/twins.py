"""A float and a quantized file of one network: opened once, asked many questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from effnet_lab.analysis.feeding import Sample
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.pair_check import OWN_WEIGHTS, PAIR, Pairing, check_pair
from effnet_lab.analysis.pairs import Matching, Pair, match_layers
from effnet_lab.analysis.plan import Plan
from effnet_lab.analysis.side_graph import SideGraph
from effnet_lab.images import ArraySet, ImageSet, Stated
from effnet_lab.litert import KERNELS, ModelInfo, Runner, Tensor, fit_samples, float_twin, settle_pair
from effnet_lab.litert.metadata import info_of
from effnet_lab.litert.runner import DelegateError
from effnet_lab.litert.surgery import Source
from effnet_lab.litert.trial import FileTrial
from effnet_lab.names import UserError, lookup

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network

T = TypeVar("T")


class Twins:
    """Two files of one network, their layers matched, and one reader of images for both.

    Parameters
    ----------
    quantized : path or bytes
        A quantized .tflite file, of any tool; its metadata say the preprocessing.
    float_model : path, bytes, LoadedModel or Keras model, optional
        The same network in float32. Without one, a twin is made from the dequantized weights.
    kernels : str
        See `litert.KERNELS`. Where XNNPACK refuses one of the files, the plain kernels run both, and `kernels` says so.
    anyway : bool
        Go on with two files that are not a pair; `pairing` says why they are not.
    preprocess : StatedInput or Preprocess, optional
        What the user says of the input; else what is known of either file.

    Raises
    ------
    UserError
        If the files are not a float network and its quantized form, see `check_pair`.
    """

    def __init__(
        self, quantized: Path | str | bytes, float_model: Network | bytes | None = None, *,
        kernels: str = "xnnpack", anyway: bool = False, preprocess: Stated = None,
    ) -> None:  # fmt: skip
        lookup("kernels", kernels, KERNELS)
        self.kernels = kernels
        self.quantized_source = Source(quantized)
        self.is_own_twin = float_model is None  # the float network has the quantized file's own weights
        _require_ops_that_stand_alone(self.quantized_source, quantized)
        if self.quantized_source.file is not None:  # what `run` will ask for is begun
            madds = self.quantized_source.graph.madds
            FileTrial(self.quantized_source.file, kernels=KERNELS[kernels].name, keep_all=True, madds=madds)
        self._models = self._open_float(float_model, quantized), quantized
        self.reference_source = Source(self._models[0])
        _require_ops_that_stand_alone(self.reference_source, self._models[0])
        if not (anyway and self.pairs) and self.pairing.objection:
            raise UserError(f"{self.pairing.objection} {self.pairing.advice}")
        self._require_same_inputs()
        self.info = self._settle(preprocess)  # of the quantized file, with the one preprocessing of both
        self._runners: dict[object, Any] = {}
        self._float: Runner | SideGraph | None = None  # which of them holds the float values

    @cached_property
    def _matching(self) -> Matching:
        return match_layers(self.quantized_source.graph, self.reference_source.graph)

    @cached_property
    def pairing(self) -> Pairing:
        """What speaks against the two files being a pair, and how alike their weights are."""
        graphs, float_model = (self.reference_source.graph, self.quantized_source.graph), self._models[0]
        names = _called(float_model, "the float model"), _called(self._models[1], "the quantized model")
        return check_pair(None if self.is_own_twin else self._matching, *graphs, names)

    @property
    def pairing_words(self) -> str:
        """For the column `pairing`: what the float network is, or why it is not that of the quantized file."""
        if self.is_own_twin:
            return OWN_WEIGHTS
        return f"not a pair: {self.pairing.objection}" if self.pairing.objection else PAIR

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every layer of the quantized graph that the float graph has too, in forward order."""
        return self._matching.pairs

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Layers of the quantized graph that the float graph does not have."""
        return self._matching.unmatched

    @property
    def unmatched_reference(self) -> tuple[str, ...]:
        """Layers of the float graph that the quantized graph does not have."""
        return self._matching.unmatched_reference

    def plan(self, parts: Sequence[str] = ()) -> Plan:
        """The ops of the float network in turn, with those parts of them to be followed to the end."""
        return Plan(self.reference_source, self.quantized_source, self.pairs, parts)

    @cached_property
    def steps(self) -> Plan:
        """The same, nothing followed."""
        return self.plan()

    @cached_property
    def alone(self) -> tuple[Pair, ...]:
        """The pairs whose quantized op can be run alone: its inputs have counterparts, and they are numbers."""
        found = {step.pair.index for step in self.steps.steps if step.pair}
        return tuple(pair for pair in self.pairs if pair.index in found)

    def samples(self, images: ImageSet | ArraySet) -> Iterator[Sample]:
        """What the networks take of each image, or of each sample of arrays, in order."""
        return fit_samples(images, self.quantized_source.graph, self.info).samples(self.info.preprocess)

    def _settle(self, preprocess: Stated) -> ModelInfo:
        """The quantized file's card; a float file may know better what both are fed with."""
        sources = self.reference_source, self.quantized_source
        reference, quantized = (
            info_of(source.tree, "model" if isinstance(model, bytes) else model, source.content, source.graph)
            for source, model in zip(sources, self._models, strict=True)
        )
        reference = quantized if self.is_own_twin else reference
        return settle_pair(reference, quantized, preprocess, twins=True)[1]

    @staticmethod
    def _open_float(float_model: Network | bytes | None, quantized: Path | str | bytes) -> Path | str | bytes:
        if float_model is None:
            return float_twin(quantized)
        if isinstance(float_model, str | Path) and str(float_model).endswith(".tflite"):
            return float_model
        from effnet_lab.quantize.float_file import float_file

        return float_file(float_model).content

    def run(self, sample: Sequence[Array], *, local: str = "", quantized: bool = True) -> None:
        """Both networks on one sample.

        Parameters
        ----------
        local : "float" or "quantized", optional
            Each op alone in integers, too, on what the float network has there, or what the quantized ops before it made.
        quantized : bool
            The whole quantized network, too.
        """
        try:
            if quantized:
                self._whole(1)  # a file that ends the interpreter is named before its parts are opened
            self._float = self._beside(local) if local else self._whole(0)
            for network in (self._float, self._whole(1)) if quantized else (self._float,):
                network.feed(*sample)
                network.invoke()
        except DelegateError:
            if self.kernels != "xnnpack":
                raise
            self.fall_back()
            self.run(sample, local=local, quantized=quantized)

    def begin(self, local: str) -> None:
        """Let the child process try what `run` will open for `local`, while this one still loads what looks at the values."""
        self._beside(local)

    def another(self) -> Twins:
        """The same files in interpreters of their own, for another thread."""
        twin = copy(self)
        twin._float, twin._runners = None, {key: runner.another() for key, runner in self._runners.items()}
        return twin

    @property
    def memory_bytes(self) -> int:
        """What the interpreters that are open take at most."""
        return sum(runner.memory_bytes for runner in self._runners.values())

    def carry_out(self, work: Callable[[], T]) -> T:
        """Work that runs these files; done once more on the plain kernels where the delegate refuses one of them."""
        try:
            return work()
        except DelegateError:
            self.fall_back()
            return work()

    def fall_back(self) -> None:
        """From now on the plain kernels; the graphs, and so the pairs, are the same."""
        self._runners.clear()
        self.kernels, self._float = "builtin", None

    def float_values(self, pair: Pair) -> Array:
        """What the float network has in a layer after `run`; a view: let go of it before the next run."""
        if isinstance(self._float, SideGraph):
            return self._float.float_values(pair.reference.index)
        return np.asarray(self._whole(0).codes(pair.reference))

    def codes(self, pair: Pair) -> Array:
        """The codes of a layer in the whole quantized network after `run`; a view."""
        return self.quantized_runner.codes(pair.quantized)

    def code_of(self, tensor: Tensor) -> Array:
        """The codes of any tensor of the whole quantized network after `run`; a view."""
        return self.quantized_runner.codes(tensor)

    @property
    def files(self) -> tuple[Path | str | bytes, Path | str | bytes]:
        """The float and the quantized network, each as a .tflite file or the content of one."""
        return self._models

    @property
    def quantized_runner(self) -> Runner:
        """The interpreter of the whole quantized network."""
        runner: Runner = self._whole(1)
        return runner

    def local_codes(self, pair: Pair) -> Array:
        """The codes that the quantized op alone made in a run with `local`; a view."""
        if not isinstance(self._float, SideGraph):
            raise ValueError("The last run had no op alone in it.")
        return self._float.codes(pair.reference_op.index)

    def values(self, pair: Pair) -> tuple[Array, Array]:
        """(reference, quantized) real values of one layer after `run`, two arrays of one shape."""
        return pair.reference.real(self.float_values(pair)), pair.quantized.real(self.codes(pair))

    def outputs(self) -> list[tuple[Array, Array]]:
        """(reference, quantized) real values of every output after `run`."""
        graphs = self.reference_source.graph, self.quantized_source.graph
        found = []
        for ours, theirs in zip(graphs[0].outputs, graphs[1].outputs, strict=False):
            tensor, other = graphs[0].tensors[ours], graphs[1].tensors[theirs]
            values = self._float.end(ours) if isinstance(self._float, SideGraph) else self._whole(0).codes(tensor)
            found.append((tensor.real(values), other.real(self.code_of(other))))
        return found

    def settle_shapes(self) -> None:
        """Give the sources the shapes that tensors have at run time, so that their ops can be run alone."""
        if not self.reference_source.leaves_shapes_open and not self.quantized_source.leaves_shapes_open:
            return
        inputs = [self.reference_source.graph.tensors[i] for i in self.reference_source.graph.inputs]
        self.run([np.zeros(tensor.shape, np.float32) for tensor in inputs])
        for which, source in enumerate((self.reference_source, self.quantized_source)):
            shapes = self._whole(which).shapes()
            for index, tensor in enumerate(source.main.tensors):
                tensor.shape = list(shapes.get(index, tensor.shape))

    def _whole(self, which: int) -> Any:
        """The interpreter of the float (0) or the quantized file (1), opened when it is first needed."""
        if which not in self._runners:
            source = (self.reference_source, self.quantized_source)[which]
            self._runners[which] = Runner(source, kernels=self.kernels, keep_all=True)
        return self._runners[which]

    def _beside(self, local: str) -> Any:
        if local not in self._runners:
            passed_on = [pair.reference_op.index for pair in self.alone] if local == "quantized" else []
            self._runners[local] = SideGraph(self.steps, self.kernels, passed_on=passed_on)
        return self._runners[local]

    def _require_same_inputs(self) -> None:
        theirs, ours = (
            [source.graph.tensors[i].shape for i in source.graph.inputs]
            for source in (self.reference_source, self.quantized_source)
        )
        if ours != theirs:
            said = [", ".join(map(str, shapes)) for shapes in (theirs, ours)]
            raise UserError(
                f"The two models take inputs of different shapes: {said[0]} in float, {said[1]} quantized. "
                "Export both at one size."
            )


def _require_ops_that_stand_alone(source: Source, model: Path | str | bytes) -> None:
    """A network that remembers what it saw before, or runs loops, cannot be taken apart into ops that are run alone."""
    why = "keeps state from one input to the next" if source.graph.keeps_state else ""
    if source.graph.calls_graphs and not why:
        why = "has loops or branches, which are graphs of their own"
    if why:
        raise UserError(
            f"{_called(model, 'The model')} {why}: its layers cannot be compared one by one. `evaluate` and `bench` take "
            "networks as a whole."
        )


def _called(model: Path | str | bytes, otherwise: str) -> str:
    """Name of a file; something else where there is only its content."""
    return otherwise if isinstance(model, bytes) else Path(model).name
