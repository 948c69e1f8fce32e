"""The latency of files: on this machine, or on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.bench.adb import measure_on_device
from effnet_lab.bench.latency import N_RUNS, measure_latency
from effnet_lab.names import UserError


def bench(
    models: Sequence[Path | str] | Path | str,
    *,
    threads: int = 1,
    kernels: str = "xnnpack",
    n_runs: int = N_RUNS,
    adb: str | None = None,
    delegate: str = "xnnpack",
    seed: int = 0,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> pd.DataFrame:
    """LATENCY frame, one row per file, batch 1; the first file is the reference of the others.

    Parameters
    ----------
    models : path, or sequence of path
        .tflite files, of any inputs. `effnet_lab.bench` takes any network: what is no such file runs as float32.
    threads, n_runs, kernels, seed, progress
        See `measure_latency`; on a device `kernels` is not asked.
    adb : str, optional
        Serial of an Android device to measure on instead, see `measure_on_device`.
    delegate : str
        On the device.

    Raises
    ------
    UserError
        If a file cannot be read or run, or there are too few runs.
    """
    paths = [models] if isinstance(models, Path | str) else list(models)
    if not paths:
        raise UserError("bench needs a .tflite file. Give the path of one or more.")
    if adb is not None:
        return measure_on_device(
            paths, adb, threads=threads, n_runs=n_runs, delegate=delegate, seed=seed, progress=progress
        )
    return measure_latency(paths, threads=threads, kernels=kernels, n_runs=n_runs, seed=seed, progress=progress)
