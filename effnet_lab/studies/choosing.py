"""Which network to take: accuracy, latency, size and memory of several, measured by one call, and the best within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from effnet_lab.bench.latency import N_RUNS, measure_latency
from effnet_lab.board.memory import measure_memory
from effnet_lab.evaluate.accuracy import accuracy
from effnet_lab.evaluate.compare import compare_all
from effnet_lab.evaluate.predictions import Predictions, collect_predictions
from effnet_lab.images import Source, Stated, open_samples
from effnet_lab.litert import read_info, tell_apart
from effnet_lab.models.catalog import require_source
from effnet_lab.names import UserError
from effnet_lab.quantize.any_network import tflite_file
from effnet_lab.quantize.float_file import Network
from effnet_lab.studies.tradeoffs import Needs, choose_row, join_tradeoffs


@dataclass(frozen=True, kw_only=True, eq=False)
class Tradeoffs:
    """What several networks are worth and what they cost, one row each."""

    table: pd.DataFrame  # TRADEOFFS
    accuracy: pd.DataFrame  # ACCURACY
    latency: pd.DataFrame  # LATENCY; the first network is the reference
    memory: pd.DataFrame  # MEMORY
    answers: tuple[Predictions, ...]  # of each network, for comparisons of two


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenNetwork:
    """Which network to take."""

    table: pd.DataFrame  # TRADEOFFS, all that there were to choose from
    chosen: pd.Series[bool]  # which row; none where nothing fits
    sentence: str  # why, and what comes near


def tradeoffs(
    networks: Sequence[Network] | Network,
    images: Source,
    *,
    threads: int = 1,
    n_runs: int = N_RUNS,
    split: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
    preprocess: Stated = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Tradeoffs:
    """Accuracy, latency, size and memory of several networks, measured here: one row each.

    Parameters
    ----------
    networks : path, name, LoadedModel or Keras model, or several
        What is no .tflite file is measured as float32.
    images : name, path or ImageSet
        Labelled.
    threads, n_runs : int
        Threads of the interpreter; counted runs for the latency.
    split, limit
        Which of the images, and how many at most.
    workers : int, optional
        Interpreters that share the images; by default one for each free processor. The latency is measured by one.
    preprocess : StatedInput or Preprocess, optional
        What the networks take, where it is not known.
    progress : callable, optional
        Wraps the batches of each network, and the blocks of the latency.

    Raises
    ------
    UserError
        If there is no such network, or nobody has said what the images show.
    """
    asked = list(networks) if isinstance(networks, list | tuple) else [networks]
    for network in asked:
        require_source(network)
    samples = open_samples(images, split, limit)
    if not samples.labelled:
        raise UserError(f"{samples.name} has no labels, so accuracy cannot be measured. Give labelled images.")
    with ExitStack() as opened:
        files = [opened.enter_context(tflite_file(network)) for network in asked]
        how: dict[str, Any] = {"threads": threads, "workers": workers, "preprocess": preprocess}
        how["progress"] = progress
        names = [info.model for info in tell_apart([read_info(file) for file in files], files)]
        said = [collect_predictions(file, samples, **how) for file in files]
        answers = [replace(one, info=replace(one.info, model=name)) for one, name in zip(said, names, strict=True)]
        latency = measure_latency(files, threads=threads, n_runs=n_runs, progress=progress)
        needs = [measure_memory(file, arena=True).assign(model=name) for file, name in zip(files, names, strict=True)]
    counted, memory = (pd.concat(rows, ignore_index=True) for rows in ([accuracy(found) for found in answers], needs))
    table = join_tradeoffs(counted, latency, memory)
    return Tradeoffs(table=table, accuracy=counted, latency=latency, memory=memory, answers=tuple(answers))


def choose(
    networks: Tradeoffs | pd.DataFrame | Sequence[Network] | Network,
    images: Source | None = None,
    *,
    max_ms: float | None = None,
    max_ram_kib: float | None = None,
    max_flash_kib: float | None = None,
    min_top1: float | None = None,
    **measuring: Any,
) -> ChosenNetwork:
    """The most accurate network that keeps to a budget, and why.

    Of those that the images cannot tell from it, by a paired test on the same images, the smallest is named too.

    Parameters
    ----------
    networks : path, name, LoadedModel or Keras model, or several; Tradeoffs or its table
        What was measured already is not measured again.
    images : name, path or ImageSet
        For networks that are still to be measured, see `tradeoffs`, which takes the further options, too.
    max_ms, max_ram_kib, max_flash_kib : float, optional
        Median latency on this machine; arena where it was measured, else the peak of the activations; size of the file.
    min_top1 : float, optional
        Fraction.

    Raises
    ------
    UserError
        If a limit is no limit, or there are no images to measure with.
    """
    needs = Needs(max_ms=max_ms, max_ram_kib=max_ram_kib, max_flash_kib=max_flash_kib, min_top1=min_top1)
    if isinstance(networks, pd.DataFrame):
        chosen, sentence = choose_row(networks, needs)
        return ChosenNetwork(table=networks, chosen=chosen, sentence=sentence)
    if not isinstance(networks, Tradeoffs):
        if images is None:
            raise UserError("choose needs images to measure the networks with, or what `tradeoffs` has measured.")
        networks = tradeoffs(networks, images, **measuring)
    chosen, sentence = choose_row(networks.table, needs, pairs=compare_all(list(networks.answers)))
    return ChosenNetwork(table=networks.table, chosen=chosen, sentence=sentence)
