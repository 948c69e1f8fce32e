"""The fourteen operations of RandAugment on one picture, grey levels in float32; Pillow's results to a grey level or two.

Cubuk, Zoph, Shlens, Le, "RandAugment: Practical automated data augmentation with a reduced search space", 2019. Source of
the ranges: tensorflow/tpu, models/official/efficientnet/autoaugment.py.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

CHOSEN = 2  # operations one after the other
LARGEST = 10.0  # magnitude
FILL = 128.0  # what comes in from outside
Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # picture, signed magnitude in -1..1


def randaugment(picture: tf.Tensor, seed: tf.Tensor, magnitude: float) -> tf.Tensor:
    """Two operations drawn from `OPERATIONS`, each of this magnitude (0 to 10) and a random sign."""
    share = magnitude / LARGEST
    for i in range(CHOSEN):
        drawn = tf.random.stateless_uniform((2,), tf.random.experimental.stateless_fold_in(seed, i))
        number = tf.minimum(tf.cast(drawn[0] * len(OPERATIONS), tf.int32), len(OPERATIONS) - 1)
        signed = tf.where(drawn[1] < 0.5, -share, share)
        branches = [_branch(operation, picture, signed) for operation in OPERATIONS.values()]
        picture = tf.ensure_shape(tf.switch_case(number, branches), picture.shape)
    return tf.clip_by_value(picture, 0.0, 255.0)


def _branch(operation: Operation, picture: tf.Tensor, signed: tf.Tensor) -> Callable[[], tf.Tensor]:
    return lambda: operation(picture, signed)


def posterize(picture: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """The upper bits of each grey level."""
    step = tf.cast(tf.bitwise.left_shift(1, 8 - tf.cast(bits, tf.int32)), tf.float32)
    return tf.floor(picture / step) * step


def solarize(picture: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """What is as bright as the threshold, or brighter, is inverted."""
    return tf.where(picture < threshold, picture, 255.0 - picture)


def autocontrast(picture: tf.Tensor) -> tf.Tensor:
    """The darkest level of each channel becomes 0, the brightest 255."""
    low, high = (reduce(picture, axis=(0, 1), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    spread = tf.where(high > low, high - low, 255.0)
    return tf.where(high > low, (picture - low) * 255.0 / spread, picture)


def equalize(picture: tf.Tensor) -> tf.Tensor:
    """Every grey level about as often as every other, channel by channel."""
    levels = tf.cast(tf.round(picture), tf.int32)
    return tf.stack([_equalized(levels[..., i]) for i in range(3)], axis=-1)


def _equalized(levels: tf.Tensor) -> tf.Tensor:
    """Source of the rounding: Pillow, ImageOps.equalize."""
    counts = tf.math.bincount(tf.reshape(levels, [-1]), minlength=256, maxlength=256)
    present = tf.boolean_mask(counts, counts > 0)
    step = (tf.reduce_sum(present) - present[-1]) // 255
    table = tf.minimum((tf.cumsum(counts, exclusive=True) + step // 2) // tf.maximum(step, 1), 255)
    return tf.cast(tf.where(step > 0, tf.gather(table, levels), levels), tf.float32)


def blend(picture: tf.Tensor, other: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """1 leaves the picture, 0 gives the other one, above 1 goes away from it."""
    return tf.clip_by_value(other + (picture - other) * factor, 0.0, 255.0)


def colour(picture: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Saturation."""
    return blend(picture, tf.image.rgb_to_grayscale(picture), factor)


def contrast(picture: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Away from, or towards, the mean grey level."""
    return blend(picture, tf.round(tf.reduce_mean(tf.image.rgb_to_grayscale(picture))), factor)


def brightness(picture: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Away from, or towards, black."""
    return tf.clip_by_value(picture * factor, 0.0, 255.0)


def sharpness(picture: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Away from, or towards, the picture smoothed with a 3 x 3 kernel; the outermost pixels stay."""
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13.0
    filters = tf.tile(kernel[..., tf.newaxis, tf.newaxis], [1, 1, 3, 1])
    inner = tf.nn.depthwise_conv2d(picture[tf.newaxis], filters, [1, 1, 1, 1], "VALID")[0]
    inside = tf.pad(tf.ones(tf.shape(inner)[:2], tf.bool), [[1, 1], [1, 1]])[..., tf.newaxis]
    return blend(picture, tf.where(inside, tf.pad(inner, [[1, 1], [1, 1], [0, 0]]), picture), factor)


def moved(picture: tf.Tensor, matrix: list[tf.Tensor | float]) -> tf.Tensor:
    """Output pixel (x, y) is the nearest of input pixel (a x + b y + c, d x + e y + f)."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[tf.newaxis], transforms=tf.stack([[*(tf.cast(v, tf.float32) for v in matrix), 0.0, 0.0]]),
        output_shape=tf.shape(picture)[:2], interpolation="NEAREST", fill_mode="CONSTANT", fill_value=FILL,
    )[0]  # fmt: skip


def rotate(picture: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """About the centre, anticlockwise."""
    angle = degrees * 0.017453292519943295
    cos, sin = tf.cos(angle), tf.sin(angle)
    height, width = tf.unstack(tf.cast(tf.shape(picture)[:2], tf.float32) - 1.0)
    return moved(
        picture,
        [
            cos, -sin, (width - cos * width + sin * height) / 2,
            sin, cos, (height - sin * width - cos * height) / 2,
        ],
    )  # fmt: skip


def _shift(picture: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return tf.round(share * tf.cast(tf.shape(picture)[1], tf.float32))


OPERATIONS: dict[str, Operation] = {
    "identity": lambda x, _: x,
    "autocontrast": lambda x, _: autocontrast(x),
    "equalize": lambda x, _: equalize(x),
    "rotate": lambda x, m: rotate(x, 30 * m),
    "solarize": lambda x, m: solarize(x, 256 * (1 - tf.abs(m))),
    "posterize": lambda x, m: posterize(x, 8 - tf.round(4 * tf.abs(m))),
    "colour": lambda x, m: colour(x, 1 + 0.9 * m),
    "contrast": lambda x, m: contrast(x, 1 + 0.9 * m),
    "brightness": lambda x, m: brightness(x, 1 + 0.9 * m),
    "sharpness": lambda x, m: sharpness(x, 1 + 0.9 * m),
    "shear_x": lambda x, m: moved(x, [1.0, 0.3 * m, 0.0, 0.0, 1.0, 0.0]),
    "shear_y": lambda x, m: moved(x, [1.0, 0.0, 0.0, 0.3 * m, 1.0, 0.0]),
    "translate_x": lambda x, m: moved(x, [1.0, 0.0, _shift(x, 0.3 * m), 0.0, 1.0, 0.0]),
    "translate_y": lambda x, m: moved(x, [1.0, 0.0, 0.0, 0.0, 1.0, _shift(x, 0.3 * m)]),
}
