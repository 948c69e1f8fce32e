"""A network of ops that EfficientNet-Lite does not have: nothing in the analysis may depend on the family."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from effnet_lab.analysis import layer_error, verdicts
from effnet_lab.analysis.lint.network import Network
from effnet_lab.analysis.lint.npu import check
from effnet_lab.analysis.lint.xnnpack import fate
from effnet_lab.board import ethosu
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, delegation
from effnet_lab.quiet import quiet

SIDE_PX = 32
SHAPES = {"shape", "strided_slice", "pack"}  # of a convolution whose output size is computed


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Float and int8 file, uint8 in and out, as the converter writes them without this project."""
    import tensorflow as tf

    network, folder = odd_network(), tmp_path_factory.mktemp("odd")
    seen = open_images(f"scenes?side_px={SIDE_PX}", split="calibration", limit=60)

    def images():
        yield [np.resize(np.float32([-1, 1]), (1, SIDE_PX, SIDE_PX, 3))]  # the whole range of the input
        for i in range(len(seen)):
            yield [seen.read(i)[np.newaxis].astype(np.float32) / 127.5 - 1]

    paths = []
    for name in ("float", "int8"):
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        if name == "int8":
            converter.optimizations, converter.representative_dataset = [tf.lite.Optimize.DEFAULT], images
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter warns itself of what it asks for
            content = converter.convert()
        paths.append(folder / f"odd_{name}.tflite")
        paths[-1].write_bytes(content)
    return paths


def odd_network():
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers as kl

    tf_keras.utils.set_random_seed(0)

    def ops(function):
        return kl.Lambda(function)

    image = kl.Input((SIDE_PX, SIDE_PX, 3))
    x = kl.Conv2D(16, 3, 2, activation="relu")(image)
    x = kl.Multiply()([kl.Conv2D(16, 1, activation="sigmoid")(x), kl.Conv2D(16, 3, padding="same")(x)])
    x = kl.Concatenate()([kl.MaxPool2D(3, 1, "same")(x), kl.AvgPool2D(3, 1, "same")(x)])
    x = kl.Concatenate()([ops(lambda t, k=k: t * (2.0 + k))(x) for k in range(6)])  # more than XNNPACK joins
    x = kl.LeakyReLU(0.2)(kl.MaxPool2D(1, 2)(x))
    x = ops(lambda t: tf.concat(tf.split(t, 2, axis=3)[::-1], 3))(x)
    x = ops(lambda t: tf.pad(t[:, ::2, 1:6], [[0, 0], [2, 2], [1, 2], [0, 0]]))(x)
    x = kl.UpSampling2D(interpolation="bilinear")(kl.Conv2DTranspose(8, 3, 2)(x))
    x = kl.DepthwiseConv2D(3, dilation_rate=2)(x)
    x = ops(lambda t: tf.transpose(t, (0, 2, 1, 3)))(kl.PReLU(shared_axes=[1, 2], alpha_initializer="uniform")(x))
    x = kl.Dense(10, activation="tanh")(kl.GlobalMaxPool2D()(x))
    return tf_keras.Model(image, kl.Dense(10)(x))


@pytest.fixture(scope="module")
def scenes():
    return open_images(f"scenes?side_px={SIDE_PX}", limit=6)


@pytest.mark.parametrize("which", [0, 1])
def test_the_lint_says_what_the_delegate_takes(pair, which):
    taken = delegation(Runner(pair[which]))
    predicted = {node.op.index: fate(node) for node in Network.open(pair[which]).nodes}
    wrong = {i: why for i, why in predicted.items() if (why[0] == "delegated") != (taken[i] == "XNNPACK")}
    assert not wrong
    assert {why[0] for why in predicted.values()} == {"delegated", "plain"}


def test_the_lint_says_what_vela_leaves(pair):
    layers = ethosu(pair[1], "ethos-u65-256").layers
    left = layers.loc[layers["runs_on"] == "CPU", "op"].tolist()
    network = Network.open(pair[1])
    predicted = [network.graph.ops[finding.op].kind for finding in check(network)]
    assert sorted(predicted) == sorted(left)
    assert set(left) == SHAPES


def test_every_notion_of_error(pair, scenes):
    notions = ("accumulated", "local", "effect", "split")
    found = layer_error(pair[1], scenes, float_model=pair[0], notions=notions)
    table = found.table.set_index("layer")
    assert found.unmatched == ()
    assert set(table.loc[list(found.not_local), "op"]) == SHAPES
    numbers = table.drop(list(found.not_local))
    assert numbers[["sqnr_local_db", "sqnr_effect_db"]].notna().all(axis=None)
    assert (numbers["sqnr_accumulated_db"] > 15).all()


def test_it_is_healthy(pair, scenes):
    table = verdicts(pair[1], scenes, float_model=pair[0]).table
    assert set(table["verdict"]) == {"healthy"}
    assert not set(table["op"]) & {"shape", "pack"}
