"""Rounding by what it does to the output: the algebra on matrices, and a network whose int4 kernels lose less."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lab.analysis.repair import Precision, round_kernels
from effnet_lab.analysis.repair.layer_inputs import kernel_matrix, kernel_tensor, patches
from effnet_lab.analysis.repair.rounding import InputMoments, best_scales, refit, round_rows
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, read_graph, read_info
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.options import op_options
from effnet_lab.litert.surgery import Source

FLOAT = "float32 converter"


@pytest.fixture
def mixed():
    """Correlated inputs: 300 positions, 12 columns."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) + rng.normal(size=12)


def moments_of(exact, given):
    moments = InputMoments()
    for part in range(3):
        moments.add(exact[part::3].astype(np.float32), given[part::3].astype(np.float32))
    return moments


def test_moments_summed_in_parts_are_numpys(mixed):
    moments = moments_of(mixed, mixed)
    np.testing.assert_allclose(moments.covariance, np.cov(mixed.T, bias=True), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moments.means[0], mixed.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_refit_without_a_pull_is_least_squares(mixed):
    rng = np.random.default_rng(2)
    kernel, given = rng.normal(size=(5, 12)), mixed + rng.normal(0, 0.5, mixed.shape)
    fitted = refit(kernel, moments_of(mixed, given), pull=1e-9)
    wanted = (mixed - mixed.mean(axis=0)) @ kernel.T
    best = np.linalg.lstsq(given - given.mean(axis=0), wanted, rcond=None)[0].T
    np.testing.assert_allclose(fitted, best, rtol=1e-3, atol=1e-3)


def test_inputs_that_arrive_unharmed_leave_the_kernel_alone(mixed):
    kernel = np.random.default_rng(3).normal(size=(4, 12))
    np.testing.assert_allclose(refit(kernel, moments_of(mixed, mixed)), kernel, atol=1e-9)


def test_inputs_without_correlation_are_rounded_to_nearest():
    kernel = np.random.default_rng(4).normal(size=(6, 10))
    scale = best_scales(kernel, np.ones((1, 10)), 4)
    rounded = round_rows(kernel, np.diag(np.arange(1.0, 11.0)), scale, 4)
    np.testing.assert_array_equal(rounded.codes, np.clip(np.rint(kernel / scale[:, None]), -7, 7))


def test_correlated_inputs_lose_less_than_with_nearest(mixed):
    kernel, hessian = np.random.default_rng(5).normal(size=(40, 12)), np.cov(mixed.T, bias=True)
    scale = best_scales(kernel, np.diag(hessian), 4)
    nearest = np.clip(np.rint(kernel / scale[:, None]), -7, 7) * scale[:, None]
    ours = round_rows(kernel, hessian, scale, 4).real
    loss = [np.einsum("rc,cd,rd->", kernel - w, hessian, kernel - w) for w in (nearest, ours)]
    assert loss[1] < 0.6 * loss[0]


def test_rows_with_inputs_of_their_own_are_rounded_as_if_alone():
    rng = np.random.default_rng(6)
    kernel, factors = rng.normal(size=(3, 9)), rng.normal(size=(9, 9))
    hessian = factors @ factors.T
    scale = best_scales(kernel, np.diag(hessian), 4)
    own = np.stack([hessian, 4 * hessian, hessian / 9])  # other units of the input: the same rounding
    together = round_rows(kernel, own, scale, 4)
    np.testing.assert_array_equal(together.codes, round_rows(kernel, hessian, scale, 4).codes)


@pytest.mark.parametrize("index", range(8))
def test_patches_times_the_kernel_are_the_convolution(files, index):
    """Against the interpreter: what stands under the kernel, times the kernel, plus the bias, is what the op puts out."""
    source, path = Source(files[FLOAT]), files[FLOAT]
    ops = [op for op in source.graph.ops if source.graph.weights(op) is not None]
    op, options = ops[index], op_options(path)[ops[index].index]
    kernel, bias = source.graph.weights(op), source.graph.tensors[op.inputs[2]]
    runner = Runner(path, keep_all=True, kernels="builtin")
    (image,) = next(open_images("scenes", limit=1).samples(read_info(path).preprocess))
    runner.feed(image)
    runner.invoke()
    given, out = (runner.activation(source.graph.tensors[i]) for i in (op.inputs[0], op.outputs[0]))
    flat = out.reshape(-1, out.shape[-1])
    at = np.random.default_rng(0).choice(len(flat), min(20, len(flat)), replace=False)
    matrix, under = kernel_matrix(kernel.data, op), patches(given, kernel.shape, op, options, at)
    made = np.einsum("cpk,ck->pc", under, matrix) if op.kind == "depthwise" else under @ matrix.T
    made = made + bias.data
    if options.fused == "relu6":
        made = np.clip(made, 0, 6)
    np.testing.assert_allclose(made, flat[at], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(kernel_tensor(matrix, kernel.shape, op), kernel.data)


def test_int4_kernels_rounded_for_the_output_keep_more_of_it(files):
    content = files[FLOAT].read_bytes()
    preprocess = read_info(files[FLOAT]).preprocess
    calibration = list(open_images("scenes", split="calibration", limit=24).samples(preprocess))
    rounded = round_kernels(content, calibration, lambda op: Precision(bits=4))
    graph, arrays = read_graph(content), {}
    for op in graph.ops:
        if (kernel := graph.weights(op)) is not None:
            matrix = kernel_matrix(kernel.data, op)
            scale = np.abs(matrix).max(axis=1, keepdims=True) / 7
            arrays[kernel.name] = kernel_tensor(np.rint(matrix / scale) * scale, kernel.shape, op).astype(np.float32)
    for op in read_graph(rounded).ops:  # 15 values per channel at most: what 4 bits hold
        if (kernel := read_graph(rounded).weights(op)) is not None:
            assert max(len(np.unique(row)) for row in kernel_matrix(kernel.data, op)) <= 15
    scenes = np.concatenate([batch for batch, _ in open_images("scenes", limit=60).batches(preprocess)])
    exact, ours, nearest = (Runner(c).predict(scenes) for c in (content, rounded, with_constants(content, arrays)))
    assert np.square(ours - exact).sum() < 0.5 * np.square(nearest - exact).sum()
