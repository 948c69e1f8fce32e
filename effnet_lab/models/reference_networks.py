"""Networks that a user would otherwise pick, with random weights: size, memory and latency do not depend on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.models.conv_layers import conv, depthwise, squeeze_excite
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.names import lookup
from effnet_lab.scaling.layers import Block

GATE_LIMIT = 4.0  # ST clips the squeeze-and-excitation gate to this before its sigmoid
FLOWERS = 5  # classes of the published ST files


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceNetwork:
    """One network: how it is built, and what its input looks like."""

    build: Callable[[int, int], tf_keras.Model]  # (size_px, classes) -> logits
    size_px: int
    classes: int = 1000
    mean: float = 127.5  # grey levels
    std: float = 127.5


def _application(make: Callable[..., tf_keras.Model]) -> Callable[[int, int], tf_keras.Model]:
    """One of Keras's own, without its weights."""

    def build(size_px: int, classes: int) -> tf_keras.Model:
        return make(weights=None, input_shape=(size_px, size_px, 3), classes=classes, classifier_activation=None)

    return build


# Kernel, stride, output channels, squeeze-and-excitation channels of each block; the first has expansion 1, the rest 3.
# Source: STMicroelectronics stm32ai-modelzoo, image classification, EfficientNet LC v1, the published structure.
_ST_BLOCKS = (
    (3, 1, 8, 4),
    (3, 2, 16, 2), (3, 1, 16, 4),
    (5, 2, 24, 4), (5, 1, 24, 6),
    (3, 2, 40, 6), (3, 1, 40, 10), (3, 1, 40, 10),
    (5, 1, 48, 10), (5, 1, 48, 12), (5, 1, 48, 12),
    (5, 2, 88, 12), (5, 1, 88, 22), (5, 1, 88, 22), (5, 1, 88, 22),
    (3, 1, 144, 22),
)  # fmt: skip
_ST_STEM, _ST_HEAD, _ST_EXPANSION = 16, 576, 3


def st_blocks() -> tuple[Block, ...]:
    """The blocks of ST EfficientNet LC v1; no specification makes them, its channels are rounded by hand."""
    out, channels = [], _ST_STEM
    for i, (kernel, stride, out_channels, se_channels) in enumerate(_ST_BLOCKS):
        out.append(
            Block(
                name=f"blocks_{i}", kernel=kernel, stride=stride, expansion=_ST_EXPANSION if i else 1,
                in_channels=channels, out_channels=out_channels, se_channels=se_channels, survival=1.0,
            )
        )  # fmt: skip
        channels = out_channels
    return tuple(out)


def _st_lc_v1(size_px: int, classes: int) -> tf_keras.Model:
    """EfficientNet LC v1: ReLU6, and squeeze-and-excitation with a gate that is clipped before its sigmoid."""
    image = tf_keras.layers.Input((size_px, size_px, 3), name="input")
    x = conv(image, "stem_conv", _ST_STEM, "relu6", kernel=3, stride=2)
    for block in st_blocks():
        x = _st_block(x, block)
    x = conv(x, "head_conv", _ST_HEAD, "relu6")
    x = tf_keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    return tf_keras.Model(image, tf_keras.layers.Dense(classes, name="head_dense")(x), name="st_lc_v1")


def _st_block(x: tf.Tensor, block: Block) -> tf.Tensor:
    entry, name = x, block.name
    if block.expansion != 1:
        x = conv(x, f"{name}_expand", block.hidden, "relu6")
    x = depthwise(x, block, "relu6")
    x = squeeze_excite(x, block, "relu6", _clipped_sigmoid)
    x = conv(x, f"{name}_project", block.out_channels, None)
    return tf_keras.layers.Add(name=f"{name}_add")([x, entry]) if block.skip else x


def _clipped_sigmoid(x: tf.Tensor) -> tf.Tensor:
    return tf_keras.backend.sigmoid(tf_keras.backend.clip(x, -GATE_LIMIT, GATE_LIMIT))


REFERENCE_NETWORKS = {
    # the normalisation is part of the name: Keras's ResNet-50 subtracts a mean per channel from BGR instead, which moves
    # its accuracy, not its latency or size
    "mobilenet_v2": ReferenceNetwork(build=_application(tf_keras.applications.MobileNetV2), size_px=224),
    "resnet50": ReferenceNetwork(build=_application(tf_keras.applications.ResNet50), size_px=224),
    "inception_v3": ReferenceNetwork(build=_application(tf_keras.applications.InceptionV3), size_px=299),
    "st_lc_v1_128": ReferenceNetwork(build=_st_lc_v1, size_px=128, classes=FLOWERS, mean=0.0, std=255.0),
    "st_lc_v1_224": ReferenceNetwork(build=_st_lc_v1, size_px=224, classes=FLOWERS, mean=0.0, std=255.0),
}


def build_reference(name: str, *, size_px: int | None = None, classes: int | None = None) -> LoadedModel:
    """A network from elsewhere with random weights, ready for `export`; it has no specification.

    Parameters
    ----------
    name : str
        One of `REFERENCE_NETWORKS`: mobilenet_v2, resnet50, inception_v3 (as in `tf_keras.applications`), st_lc_v1_128,
        st_lc_v1_224.
    size_px, classes : int, optional
        Input side and number of classes; by default those of the published network.
    """
    known = lookup("network", name, REFERENCE_NETWORKS)
    size_px, classes = size_px or known.size_px, classes or known.classes
    return LoadedModel(
        name=name,
        spec=None,
        keras=known.build(size_px, classes),
        preprocess=Preprocess(size_px=size_px, mean=known.mean, std=known.std),
        classes=tuple(str(i) for i in range(classes)),
    )
