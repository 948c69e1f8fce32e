"""Networks with one fault in them: what the verdicts have to find, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from effnet_lab.images import ImageSet
from effnet_lab.litert import Op, Runner, embed_info, read_graph, read_info
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.quantize.ai_edge import requantize
from effnet_lab.quantize.recipes import parse_recipe

WITH_KERNEL = ("conv", "depthwise", "dense")


@dataclass(frozen=True)
class Healthy:
    """A float file, and images to calibrate on."""

    path: Path
    calibration: ImageSet
    shown: ImageSet | None = None  # what verdicts are given on, for faults of single images

    @cached_property
    def graph(self):
        return read_graph(self.path)

    @cached_property
    def ops(self) -> dict[str, Op]:
        """By the name of the layer."""
        names = layer_names(self.graph)
        return {names[name]: op for name, op in self.graph.produced.items() if name in names}

    @cached_property
    def pixels(self) -> np.ndarray:
        return self.fed(self.calibration)

    def fed(self, images: ImageSet) -> np.ndarray:
        """What the network takes of each image."""
        return np.concatenate([batch for batch, _labels in images.batches(read_info(self.path).preprocess)])

    def entering(self, layer: str, images: ImageSet) -> list[np.ndarray]:
        """What a layer reads on each image, (positions, channels)."""
        runner, index, found = Runner(self.path, keep_all=True), self.ops[layer].inputs[0], []
        for image in self.fed(images):
            runner.feed(image)
            runner.invoke()
            values = runner.activation(runner.graph.tensors[index])
            found.append(values.reshape(-1, values.shape[-1]).astype(np.float64))
        return found

    def stored(self, layer: str, which: int) -> tuple[str, np.ndarray]:
        """Name and a copy of the kernel (1) or bias (2) of a layer."""
        tensor = self.graph.tensors[self.ops[layer].inputs[which]]
        return tensor.name, tensor.data.copy()

    def readers(self, layer: str) -> list[str]:
        """Layers that read this one."""
        output = self.ops[layer].outputs[0]
        return [name for name, op in self.ops.items() if output in op.inputs]

    def kinds(self, *kinds: str, end: str = "") -> list[str]:
        """Layers of these kinds, in forward order."""
        return [name for name, op in self.ops.items() if op.kind in kinds and name.endswith(end)]

    def sound(self, folder: Path, fault: str, what: str) -> Patient:
        """A pair without fault, to be spoiled."""
        return write(self, folder, fault, what)

    @cached_property
    def own_ranges(self) -> dict[str, tuple[float, float]]:
        """Of the file as it is."""
        return self._ranges(self.path.read_bytes())

    def ranges(self, edits: dict[str, np.ndarray] | None = None) -> dict[str, tuple[float, float]]:
        """Extremes of every tensor over the calibration images, with other constants in the file."""
        return self._ranges(with_constants(self.path, edits)) if edits else dict(self.own_ranges)

    def _ranges(self, content: bytes) -> dict[str, tuple[float, float]]:
        runner, found = Runner(content, keep_all=True), {}
        tensors = [runner.input, *(runner.graph.tensors[op.outputs[0]] for op in runner.graph.ops)]
        for image in self.pixels:
            runner.feed(image)
            runner.invoke()
            for tensor in tensors:
                values = runner.activation(tensor)
                low, high = found.get(tensor.name, (0.0, 0.0))
                found[tensor.name] = (min(low, float(values.min())), max(high, float(values.max())))
        return found


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Two files on disk, and what is the matter."""

    fault: str
    layer: str
    float_model: Path | None
    quantized: Path


def write(
    healthy: Healthy, folder: Path, fault: str = "healthy", layer: str = "", *, edits: dict | None = None,
    squeeze: float = 1.0, recipe: str = "int8", ends: tuple[float, float] | None = None, what: str = "",
) -> Patient:  # fmt: skip
    """Quantize the edited network with min-max ranges, that of one layer times `squeeze`, or with these `ends`."""
    content = with_constants(healthy.path, edits) if edits else healthy.path.read_bytes()
    ranges = healthy.ranges(edits)
    if squeeze != 1.0 or ends is not None:
        name = healthy.graph.tensors[healthy.ops[layer].outputs[0]].name
        ranges[name] = tuple(squeeze * end for end in ends or ranges[name])
    info = replace(read_info(healthy.path), scheme="static_wi8_ai8", backend="ai_edge_quantizer")
    stem = f"{info.model}-{fault}-{layer}{what}".replace("/", "_").replace(" ", "_")
    paths = [folder / f"{stem}.{end}.tflite" for end in ("float32", "int8")]
    paths[0].write_bytes(content)
    paths[1].write_bytes(embed_info(requantize(content, parse_recipe(recipe), ranges), info))
    return Patient(fault=fault, layer=layer, float_model=paths[0], quantized=paths[1])


def clipped(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, keep: float = 0.4) -> Patient:
    """The range that calibration found, times 0.4."""
    return write(healthy, folder, "clipped", layer, squeeze=keep)


def wasted_range(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, factor: float = 32) -> Patient:
    """The range that calibration found, times 32."""
    return write(healthy, folder, "wasted range", layer, squeeze=factor)


def outlier_channel(
    healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, factor: float = 32
) -> Patient:
    """One of the wider channels times 32, and the weights that read it divided: the function of the network stays."""
    (name, kernel), (bias_name, bias) = healthy.stored(layer, 1), healthy.stored(layer, 2)
    strength = np.abs(kernel).reshape(len(kernel), -1).sum(axis=1)
    channel = int(rng.choice(np.argsort(strength)[len(strength) // 2 :]))
    kernel[channel] *= factor
    bias[channel] *= factor
    edits = {name: kernel, bias_name: bias}
    for reader in healthy.readers(layer):
        name, weights = healthy.stored(reader, 1)
        weights[..., channel] /= factor
        edits[name] = weights
    return write(healthy, folder, "outlier channel", layer, edits=edits)


def outlier_kernel(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, factor: float = 32) -> Patient:
    """The weights of one output channel times 32, and one scale for all of them."""
    name, kernel = healthy.stored(layer, 1)
    kernel[int(rng.integers(len(kernel)))] *= factor
    return write(
        healthy, folder, "outlier channel", layer, edits={name: kernel}, recipe=f"int8; {layer}=int8-per-tensor"
    )


def dead(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, share: float = 1.0) -> Patient:
    """Weights of zero and a bias below it, in all or most channels: behind a ReLU6 nothing is left."""
    (name, kernel), (bias_name, bias) = healthy.stored(layer, 1), healthy.stored(layer, 2)
    channels = rng.permutation(bias.size)[: int(np.ceil(share * bias.size))]
    kernel[(..., channels) if healthy.ops[layer].kind == "depthwise" else channels] = 0
    bias[channels] = -1.0
    return write(healthy, folder, "dead", layer, edits={name: kernel, bias_name: bias})


def bimodal(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, distance: float = 4.0) -> Patient:
    """Half of the channels moved away by four times the range, and taken back in the biases that follow."""
    (bias_name, bias), output = healthy.stored(layer, 2), healthy.graph.tensors[healthy.ops[layer].outputs[0]].name
    low, high = healthy.ranges()[output]
    offset = np.zeros_like(bias)
    offset[rng.permutation(bias.size)[: bias.size // 2]] = distance * (high - low)
    edits = {bias_name: bias + offset}
    for reader in healthy.readers(layer):
        (_, kernel), (name, follow) = healthy.stored(reader, 1), healthy.stored(reader, 2)
        edits[name] = follow - (kernel @ offset).reshape(-1)
    return write(healthy, folder, "bimodal", layer, edits=edits)


def unlike_residual(
    healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, factor: float = 32
) -> Patient:
    """The branch of an addition made 32 times as wide as the skip."""
    tensors = {op.outputs[0]: name for name, op in healthy.ops.items()}
    branch = next(i for i in healthy.ops[layer].inputs if healthy.readers(tensors[i]) == [layer])
    skip = next(i for i in healthy.ops[layer].inputs if i != branch)
    ranges = healthy.ranges()
    width = {i: np.ptp(ranges[healthy.graph.tensors[i].name]) for i in (branch, skip)}
    stored = [healthy.stored(tensors[branch], which) for which in (1, 2)]
    edits = {name: (data * (factor * width[skip] / width[branch])).astype(np.float32) for name, data in stored}
    return write(healthy, folder, "unlike residual", layer, edits=edits)


@dataclass(frozen=True)
class Published(Healthy):
    """A quantized file as somebody published it (`path`), and its float file where there is one."""

    float_model: Path | None = None

    def sound(self, folder: Path, fault: str, what: str) -> Patient:
        copy = folder / f"{self.path.stem}-{fault}-{what}.tflite".replace("/", "_").replace(" ", "_")
        copy.write_bytes(self.path.read_bytes())
        return Patient(fault=fault, layer=what, float_model=self.float_model, quantized=copy)


def spoiled(
    healthy: Healthy, layer: str, folder: Path, what: str, spoil: Callable[..., bytes], fault: str = "defective"
) -> Patient:
    """A sound pair whose quantized file somebody has spoiled in one layer."""
    patient = healthy.sound(folder, fault, f"{layer} {what}")
    content = patient.quantized.read_bytes()
    graph, op = read_graph(content), _op_of(content, layer)
    patient.quantized.write_bytes(spoil(content, *(graph.tensors[i] for i in (*op.inputs, *op.outputs))))
    return replace(patient, layer=layer)


def _op_of(content: bytes, layer: str) -> Op:
    graph = read_graph(content)
    names = layer_names(graph)
    return next(op for name, op in graph.produced.items() if names.get(name) == layer)


def shuffled_kernel(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """All weights of the layer in another order."""
    return spoiled(
        healthy, layer, folder, "shuffled",
        lambda content, _x, w, *_: with_constants(content, {w.name: rng.permutation(w.data.ravel()).reshape(w.shape)}),
    )  # fmt: skip


def zeroed_bias(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """No bias."""
    return spoiled(
        healthy, layer, folder, "no bias",
        lambda content, _x, _w, b, *_: with_constants(content, {b.name: np.zeros_like(b.data)}),
    )  # fmt: skip


def low_bias(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """A bias lower by the whole range of the output."""

    def spoil(content, x, w, b, y):
        lower = np.rint(255 * y.scale[0] / (x.scale[0] * w.scale)).astype(b.dtype)
        return with_constants(content, {b.name: b.data - lower})

    return spoiled(healthy, layer, folder, "low bias", spoil)


def doubled_scale(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """Every weight stands for twice its value."""

    def spoil(content, x, w, *_):
        tree = parse(content)
        stored = tree.subgraphs[0].tensors[w.index].quantization
        stored.scale = 2 * np.asarray(stored.scale, np.float32)
        return pack(tree)

    return spoiled(healthy, layer, folder, "doubled", spoil)


def shuffled_channel(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """The weights of one output channel in another order."""

    def spoil(content, x, w, *_):
        data, axis = w.data.copy(), 3 if healthy.ops[layer].kind == "depthwise" else 0
        rows = np.moveaxis(data, axis, 0)
        channel = int(rng.integers(len(rows)))
        rows[channel] = rng.permutation(rows[channel].ravel()).reshape(rows[channel].shape)
        return with_constants(content, {w.name: data})

    return spoiled(healthy, layer, folder, "one channel", spoil)


def misread_bias(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """A bias in steps eight times as large as the kernels take it in, and a scale that says so."""

    def spoil(content, x, w, b, *_):
        content = with_constants(content, {b.name: np.rint(b.data / 8).astype(b.dtype)})
        tree = parse(content)
        stored = tree.subgraphs[0].tensors[b.index].quantization
        stored.scale = 8 * np.asarray(stored.scale, np.float32)
        return pack(tree)

    return spoiled(healthy, layer, folder, "bias scale", spoil)


def raised_channel(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """The bias of one channel higher by sixty steps of the output."""

    def spoil(content, x, w, b, y):
        data, steps = b.data.copy(), x.scale[0] * np.broadcast_to(w.scale, b.data.shape)
        raised = 60 * y.scale[0] / steps
        channels = np.flatnonzero(raised < np.iinfo(b.dtype).max / 2)  # others have next to no weights
        channel = int(channels[rng.integers(channels.size)])
        data[channel] += round(float(raised[channel]))
        return with_constants(content, {b.name: data})

    return spoiled(healthy, layer, folder, "one bias", spoil)


def doubled_channel(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """Every weight of one channel stands for twice its value."""

    def spoil(content, x, w, *_):
        tree = parse(content)
        stored = tree.subgraphs[0].tensors[w.index].quantization
        scales = np.array(stored.scale, np.float32)
        scales[int(rng.integers(scales.size))] *= 2
        stored.scale = scales
        return pack(tree)

    return spoiled(healthy, layer, folder, "one scale", spoil)


def stored_range(
    healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator, factor: float = 1 / 4
) -> Patient:
    """The stored range of a layer times a factor, and the biases of what reads it in steps that fit."""
    readers = [healthy.ops[name] for name in healthy.readers(layer)]

    def spoil(content, *tensors):
        tree, graph, edits = parse(content), read_graph(content), {}
        quantizations = [tensor.quantization for tensor in tree.subgraphs[0].tensors]
        for op in readers:
            if op.kind in WITH_KERNEL and len(op.inputs) > 2:
                bias = graph.tensors[op.inputs[2]]
                edits[bias.name] = np.rint(bias.data / factor).astype(bias.dtype)
                quantizations[bias.index].scale = factor * np.asarray(bias.scale, np.float32)
        quantizations[tensors[-1].index].scale = factor * np.asarray(tensors[-1].scale, np.float32)
        return with_constants(pack(tree), edits)

    return spoiled(healthy, layer, folder, f"range {factor:g}", spoil, "clipped" if factor < 1 else "wasted range")


def empty_kernel(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """All weights are zero."""
    return spoiled(
        healthy, layer, folder, "empty",
        lambda content, _x, w, *_: with_constants(content, {w.name: np.zeros_like(w.data)}),
    )  # fmt: skip


def stuck_output(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """A range so wide that all values share one code, here and in what reads it."""
    return write(healthy, folder, "wasted range", layer, squeeze=900, what="stuck")


def rare_image(healthy: Healthy, layer: str, folder: Path, rng: np.random.Generator) -> Patient:
    """One channel becomes a detector of one of the shown images; the range is that of all others."""
    entering = healthy.entering(layer, healthy.shown)
    ratio, weights, rare = max((_detector(entering, i) for i in range(len(entering))), key=lambda found: found[0])
    assert ratio > 1.65, "no image can be told from the others here"
    said = [values @ weights for values in entering]
    others = np.concatenate([values for i, values in enumerate(said) if i != rare])
    (name, kernel), (bias_name, bias) = healthy.stored(layer, 1), healthy.stored(layer, 2)
    output = healthy.graph.tensors[healthy.ops[layer].outputs[0]].name
    low, high = healthy.ranges()[output]
    channel, size = int(rng.integers(bias.size)), 0.9 * max(high, -low) / np.abs(others).max()
    before = np.abs(np.concatenate(entering) @ kernel[channel].reshape(-1) + bias[channel]).max()
    kernel[channel], bias[channel] = (size * weights).reshape(kernel[channel].shape), 0.0
    edits = {name: kernel, bias_name: bias}
    for reader in healthy.readers(layer):
        reader_name, reading = healthy.stored(reader, 1)
        reading[..., channel] *= (
            0.1 * before / (size * np.abs(said[rare]).max())
        )  # little: layers behind keep their ranges
        edits[reader_name] = reading
    return write(
        healthy,
        folder,
        "clipped",
        layer,
        what="rare image",
        edits=edits,
        ends=(min(low, -0.9 * high), max(high, -0.9 * low)),
    )


def _detector(entering: list[np.ndarray], i: int) -> tuple[float, np.ndarray, int]:
    """How much louder a linear filter can be on image `i` than on all others, and the filter."""
    others = np.concatenate([values for j, values in enumerate(entering) if j != i])
    moment = others.T @ others / len(others)
    loudest = entering[i][np.argmax(np.linalg.norm(entering[i], axis=1))]
    filters = [loudest, entering[i].mean(axis=0)]
    filters = [np.linalg.solve(moment + 1e-3 * np.trace(moment) * np.eye(len(moment)), each) for each in filters]
    ratios = [np.abs(entering[i] @ each).max() / np.abs(others @ each).max() for each in filters]
    best = int(np.argmax(ratios))
    return float(ratios[best]), filters[best], i


DEFECTS = (shuffled_kernel, zeroed_bias, low_bias, doubled_scale, shuffled_channel)
STORED_RANGES = (partial(stored_range, factor=1 / 4), partial(stored_range, factor=16))
MORE_DEFECTS = (misread_bias, raised_channel, doubled_channel, empty_kernel)


def places(healthy: Healthy) -> dict[Callable[..., Patient], list[str]]:
    """Where each fault can be planted without changing what is not meant."""
    projections = [
        name for name in healthy.kinds("conv") if {healthy.ops[r].kind for r in healthy.readers(name)} == {"conv"}
    ]
    projections = [name for name in projections if len(healthy.readers(name)) == 1]
    firing = [
        n for n in healthy.kinds("conv", "depthwise") if {healthy.ops[r].kind for r in healthy.readers(n)} != {"add"}
    ]
    firing = [n for n in firing if n not in projections]
    return {
        clipped: healthy.kinds("conv", "depthwise", "add", "dense", "mean"),
        wasted_range: healthy.kinds("conv", "depthwise", "add", "dense", "mean"),
        outlier_channel: projections,
        outlier_kernel: [n for n in firing if healthy.ops[n].kind == "conv"],
        dead: firing,
        bimodal: projections,
        unlike_residual: healthy.kinds("add"),
    }
