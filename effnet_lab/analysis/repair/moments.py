"""What the repairs need to know about the activations of a float network: per channel, on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.windows import windows
from effnet_lab.images import Preprocess, Samples
from effnet_lab.litert import Runner
from effnet_lab.litert.graph import CHANGES_OF_TYPE
from effnet_lab.litert.options import Options
from effnet_lab.litert.samples import Sample, read_each, team_of
from effnet_lab.names import UserError

_WAITING = 2  # images of a worker whose moments wait to be added


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """One activation over all images; its channels are the last axis."""

    low: NDArray[Any]  # (channels,)
    high: NDArray[Any]  # (channels,)
    mean: NDArray[Any]  # the shape of the activation without the batch: its mean over the images
    mean_square: NDArray[Any]  # (channels,)

    @property
    def peak(self) -> NDArray[Any]:
        """Largest absolute value, (channels,)."""
        return np.asarray(np.maximum(-self.low, self.high))


def measure_moments(
    float_content: bytes,
    images: Samples,
    preprocess: Preprocess | None,
    *,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> dict[str, Moments]:
    """Run a float network over calibration images: the moments of its input and of every activation, by tensor name.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    images : Samples
        As the network takes them; never evaluation images.
    preprocess : Preprocess
    workers : int, optional
        Interpreters that share the images; see `workers_for`. The moments are the same to the bit.
    progress : callable, optional
        Wraps the iteration over images, as `tqdm` does.

    Raises
    ------
    UserError
        If an activation is not a number on one of the images.
    """
    runner = Runner(float_content, keep_all=True)
    graph = runner.graph
    computed = [graph.tensors[op.outputs[0]] for op in graph.computing_ops if op.kind not in CHANGES_OF_TYPE]
    tensors = [*runner.inputs, *(tensor for tensor in computed if tensor.dtype == np.float32)]
    found: dict[str, Moments] = {}

    def moments(runner: Runner, _sample: Sample) -> dict[str, Moments]:
        return {tensor.name: _of_one(runner.activation(tensor)[0], len(images), tensor.name) for tensor in tensors}

    waiting = _WAITING * sum(np.dtype(np.float64).itemsize * int(np.prod(tensor.shape)) for tensor in tensors)
    each = read_each(team_of(runner, workers, len(images), waiting), images.samples(preprocess), moments)
    for one in progress(each, total=len(images)) if progress else each:
        found = {name: _merged(found[name], new) if name in found else new for name, new in one.items()}
    return found


def _of_one(values: NDArray[Any], n_images: int, name: str) -> Moments:
    """What one of `n_images` images adds."""
    if not np.isfinite(values).all():
        raise UserError(f"{name!r} is not finite on a calibration image. Check the weights and the preprocessing.")
    by_channel = values.reshape(-1, values.shape[-1])
    return Moments(
        low=by_channel.min(axis=0),
        high=by_channel.max(axis=0),
        mean=values.astype(np.float64) / n_images,
        mean_square=np.square(by_channel, dtype=np.float64).mean(axis=0) / n_images,
    )


def _merged(a: Moments, b: Moments) -> Moments:
    return Moments(
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
        mean=a.mean + b.mean,
        mean_square=a.mean_square + b.mean_square,
    )


def mean_window(mean: NDArray[Any], window: tuple[int, int], options: Options) -> NDArray[Any]:
    """Mean over all positions of what stands under each tap of a sliding window, zeros where it leaves the map.

    A convolution is linear, so its mean output is its kernel applied to this.

    Parameters
    ----------
    mean : ndarray (height, width, channels)
    window : (rows, columns) of the kernel
    options : Options
        Of the convolution: stride, dilation, padding.

    Returns
    -------
    ndarray (rows, columns, channels)
    """
    every = windows(mean, window, options)
    out = np.empty((*window, mean.shape[2]))
    for row, column in np.ndindex(window):
        out[row, column] = every[:, :, row, column].mean(axis=(0, 1))
    return out
