"""Questions about a .tflite file, asked of a network in any form: where it is no such file, its float32 file is asked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from effnet_lab.litert.flatbuffer import is_tflite
from effnet_lab.paths import scratch_folder
from effnet_lab.quantize.float_file import Network, float_file

Options = ParamSpec("Options")
Answer = TypeVar("Answer")


@contextmanager
def tflite_file(network: Network) -> Iterator[Path]:
    """Path of a .tflite file as it is; of any other network its float32 file, which is gone afterwards.

    Raises
    ------
    UserError
        If there is no such network.
    """
    if is_tflite(network):
        yield Path(network)
        return
    made = float_file(network)
    with scratch_folder() as folder:
        path = folder / f"{made.info.model}.tflite"
        path.write_bytes(made.content)
        yield path


def of_any_network(
    ask: Callable[Concatenate[Path, Options], Answer],
) -> Callable[Concatenate[Network, Options], Answer]:
    """The same question of a name, a path, a LoadedModel or a Keras model."""

    @functools.wraps(ask)
    def asked(network: Network, /, *args: Options.args, **kwargs: Options.kwargs) -> Answer:
        with tflite_file(network) as path:
            return ask(path, *args, **kwargs)

    return asked
