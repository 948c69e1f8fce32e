"""What a file costs, asked of a network in any form: latency, profile, footprint, Ethos-U. See `quantize.any_network`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pandas as pd

from effnet_lab import board
from effnet_lab.bench.files import bench as bench_files
from effnet_lab.bench.operators import profile as profile_file
from effnet_lab.quantize.any_network import of_any_network, tflite_file
from effnet_lab.quantize.float_file import Network

profile = of_any_network(profile_file)
footprint = of_any_network(board.footprint)
ethosu = of_any_network(board.ethosu)


@functools.wraps(bench_files)
def bench(models: Sequence[Network] | Network, **options: Any) -> pd.DataFrame:
    """See `bench.bench`."""
    asked = list(models) if isinstance(models, list | tuple) else [models]
    with ExitStack() as opened:
        return bench_files([opened.enter_context(tflite_file(model)) for model in asked], **options)
