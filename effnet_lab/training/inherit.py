"""A small network that starts from what a large one of the same kind knows, before any training.

The streams between the blocks of the large network are cut to their principal components, of each block those hidden
channels are taken over that its output uses most, and what joins them is fitted by least squares, block after block, to
what the large network computes on some pictures. Nobody's labels are used, and the classifier starts at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from effnet_lab.images import ImageSet
from effnet_lab.models.batch_norm import with_statistics
from effnet_lab.models.build import network
from effnet_lab.models.conv_layers import BN_EPSILON
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.resize import at_size
from effnet_lab.names import UserError
from effnet_lab.scaling import NetSpec
from effnet_lab.scaling.layers import Block, blocks
from effnet_lab.scaling.rounding import scaled_repeats

IMAGES = 200  # that the fits see
_POSITIONS = 60_000  # of all images together, at most, that a fit sees
_RIDGE = 1e-3  # in mean squares of a channel

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Imitation:
    """Of which block of the large network a block of the small one takes channels, and whose output it imitates."""

    own: Block
    source: Block
    imitated: Block

    @property
    def layers(self) -> tuple[str, ...]:
        """Of the large network, those whose values are needed."""
        expansion = () if self.own.expansion == 1 else (f"{self.source.name}_expand_bn",)
        return f"{self.source.name}_dwconv_act", *expansion, self.stream

    @property
    def stream(self) -> str:
        """Where the imitated block ends."""
        return f"{self.imitated.name}_{'add' if self.imitated.skip else 'project_bn'}"


def inherit(parent: LoadedModel, spec: NetSpec, images: ImageSet) -> LoadedModel:
    """A network of this specification that computes as much as it can of what a larger one computes.

    Parameters
    ----------
    parent : LoadedModel
        Float. Its stages have the kernels and strides of the small network's, in the same order; it may have more behind
        them.
    spec : NetSpec
        The small network.
    images : ImageSet
        The first 200 of them are seen. Their classes become the network's.

    Returns
    -------
    LoadedModel
        With the parent's preprocessing, at its own size.

    Raises
    ------
    UserError
        If the stages do not match, or either network has squeeze-and-excitation.

    References
    ----------
    Least squares behind chosen channels: He, Zhang, Sun, "Channel pruning for accelerating very deep neural networks", 2017.
    """
    pairs = imitations(spec, parent.family_spec)
    large = at_size(parent, spec.resolution)
    batches = [batch for batch, _ in images.take(IMAGES).unlabelled().batches(large.preprocess)]
    child = LoadedModel(
        name=spec.name, spec=spec, keras=network(spec, len(images.classes)), preprocess=large.preprocess,
        classes=images.classes,
    )  # fmt: skip
    own, source = _Observed(child.keras, batches), _Observed(large.keras, batches)
    source.remember([layer for pair in pairs for layer in pair.layers])
    hidden = _take_stem(own, source, pairs[0])
    basis: Array | None = None
    for pair in pairs:
        if pair.own.expansion != 1:
            hidden = _take_hidden(own, source, pair)
        _take_depthwise(own, source, pair, hidden)
        basis = _fit_projection(own, source, pair, basis)
    own.set_conv("head_conv", *own.conv("head_conv"))  # it stays random; its norm gets statistics as the others do
    return with_statistics(child, batches)


def imitations(small: NetSpec, large: NetSpec) -> tuple[Imitation, ...]:
    """Block by block: the n-th of a stage takes channels of the n-th of the same stage; the last imitates the last one."""
    shapes = [[(stage.kernel, stage.stride) for stage in spec.stages] for spec in (small, large)]
    if shapes[0] != shapes[1][: len(shapes[0])] or small.se_ratio or large.se_ratio:
        raise UserError(
            f"{small.name} cannot inherit from {large.name}: kernels and strides of their stages must be the same, in the same "
            "order, without squeeze-and-excitation. Lean networks inherit from lite0 to lite4."
        )
    found: list[Imitation] = []
    ours, theirs = iter(blocks(small)), iter(blocks(large))
    for n_ours, n_theirs in zip(scaled_repeats(small), scaled_repeats(large), strict=False):
        stage = [next(theirs) for _ in range(n_theirs)]
        for i in range(n_ours):
            source = stage[min(i, n_theirs - 1)]
            found.append(Imitation(own=next(ours), source=source, imitated=stage[-1] if i == n_ours - 1 else source))
    if any((pair.own.expansion == 1) != (pair.source.expansion == 1) for pair in found):
        raise UserError(f"{small.name} cannot inherit from {large.name}: only the first blocks may lack an expansion.")
    return tuple(found)


class _Observed:
    """What a network computes on the pictures, layer by layer, and its convolutions with the norm behind them folded in."""

    def __init__(self, keras: tf_keras.Model, batches: Sequence[Array]) -> None:
        self.keras, self.batches = keras, batches
        self._remembered: dict[str, Array] = {}

    def remember(self, layers: Sequence[str]) -> None:
        """What these layers give, in one pass for all: for a network whose weights do not change any more."""
        names = list(dict.fromkeys(layers))
        found = self._rows([self.keras.get_layer(name).output for name in names])
        self._remembered = dict(zip(names, found, strict=True))

    def values(self, layer: str, *, entering: bool = False) -> Array:
        """Rows (n, channels): what a layer gives, or what it takes, at a fixed choice of positions."""
        if layer in self._remembered and not entering:
            return self._remembered[layer].astype(np.float64)
        found = self.keras.get_layer(layer)
        return self._rows([found.input if entering else found.output])[0].astype(np.float64)

    def _rows(self, tensors: list[Any]) -> list[Array]:
        """Of each tensor (n, height, width, channels), the values at some positions."""
        probe = tf_keras.Model(self.keras.input, tensors)
        pictures = sum(len(batch) for batch in self.batches)
        rows: list[list[Array]] = [[] for _ in tensors]
        for batch in self.batches:
            for kept, found in zip(rows, tf.nest.flatten(probe(batch, training=False)), strict=True):
                step = max(1, pictures * found.shape[1] * found.shape[2] // _POSITIONS)
                step += step % 2 == 0  # maps have even sides: an odd step does not stay in the same columns
                kept.append(np.asarray(found).reshape(-1, found.shape[-1])[::step])
        return [np.concatenate(kept) for kept in rows]

    def conv(self, layer: str) -> tuple[Array, Array]:
        """Kernel and bias of inference; channels of the output last, also of a depthwise kernel (h, w, channels)."""
        kernel = self.keras.get_layer(layer).get_weights()[0]
        gamma, beta, mean, variance = self.keras.get_layer(f"{layer}_bn").get_weights()
        slope = gamma / np.sqrt(variance + BN_EPSILON)
        kernel = kernel[..., 0] if kernel.shape[-1] == 1 and kernel.shape[-2] == len(slope) else kernel
        return kernel * slope, beta - slope * mean

    def set_conv(self, layer: str, kernel: Array, bias: Array) -> None:
        """Kernel and bias; the norm adds the bias and nothing else. Channels that are not given stay random."""
        conv, norm = self.keras.get_layer(layer), self.keras.get_layer(f"{layer}_bn")
        whole = conv.get_weights()[0]
        depthwise = isinstance(conv, tf_keras.layers.DepthwiseConv2D)
        shift = np.zeros(len(norm.get_weights()[0]))
        shift[: len(bias)] = bias
        if depthwise:
            whole[..., : kernel.shape[-1], 0] = kernel
        else:
            whole[..., : kernel.shape[-1]] = kernel
        conv.set_weights([whole])
        ones = np.ones_like(shift)
        norm.set_weights([ones, shift, 0 * ones, (1 - BN_EPSILON) * ones])


def _most_used(source: _Observed, block: Block, n: int) -> Array:
    """The n hidden channels of a block that move its output most, in their order."""
    kernel, _ = source.conv(f"{block.name}_project")
    spread = source.values(f"{block.name}_dwconv_act").std(axis=0)
    return np.sort(np.argsort(-spread * np.linalg.norm(kernel[0, 0], axis=1), kind="stable")[:n])


def _take_stem(own: _Observed, source: _Observed, first: Imitation) -> Array:
    chosen = _most_used(source, first.source, first.own.in_channels)
    kernel, bias = source.conv("stem_conv")
    own.set_conv("stem_conv", kernel[..., chosen], bias[chosen])
    return chosen


def _take_hidden(own: _Observed, source: _Observed, pair: Imitation) -> Array:
    """The expansion: what the source's channels get, from the small network's own stream."""
    chosen = _most_used(source, pair.source, pair.own.hidden)
    layer = f"{pair.own.name}_expand"
    wanted = source.values(f"{pair.source.name}_expand_bn")[:, chosen]
    own.set_conv(layer, *_least_squares(own.values(layer, entering=True), wanted))
    return chosen


def _take_depthwise(own: _Observed, source: _Observed, pair: Imitation, chosen: Array) -> None:
    kernel, bias = source.conv(f"{pair.source.name}_dwconv")
    own.set_conv(f"{pair.own.name}_dwconv", kernel[..., chosen], bias[chosen])


def _fit_projection(own: _Observed, source: _Observed, pair: Imitation, basis: Array | None) -> Array:
    """The projection: principal components of the imitated stream, less what the block adds them to; their basis.

    Where the small network's stream is the wider one, its other channels stay random.
    """
    layer = f"{pair.own.name}_project"
    stream = source.values(pair.stream)
    if basis is None or not pair.own.skip or len(basis) != stream.shape[1]:
        values, vectors = np.linalg.eigh(np.cov(stream.T))
        basis = vectors[:, np.argsort(-values)][:, : pair.own.out_channels]
    wanted = stream @ basis
    if pair.own.skip:
        begin = "dwconv" if pair.own.expansion == 1 else "expand"
        wanted = wanted - own.values(f"{pair.own.name}_{begin}", entering=True)[:, : wanted.shape[1]]
    own.set_conv(layer, *_least_squares(own.values(layer, entering=True), wanted))
    return basis


def _least_squares(x: Array, y: Array) -> tuple[Array, Array]:
    """Kernel (1, 1, inputs, outputs) and bias of the ridge regression of y on x."""
    means = x.mean(axis=0), y.mean(axis=0)
    a, b = x - means[0], y - means[1]
    squares = a.T @ a
    squares[np.diag_indices(len(squares))] += _RIDGE * np.trace(squares) / len(squares)
    kernel = np.linalg.solve(squares, a.T @ b)
    return kernel[np.newaxis, np.newaxis], means[1] - means[0] @ kernel
