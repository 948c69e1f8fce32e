"""Pruning and weight clustering: the zeros and values that were asked for, and smaller files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from effnet_lab.images import open_images
from effnet_lab.layer_fit import few_values, output_error, sparse
from effnet_lab.models import load_model
from effnet_lab.models.variables import variables
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.names import UserError
from effnet_lab.quantize import targets, write_files
from effnet_lab.training import cluster, deflated_bytes, prune
from effnet_lab.training.compress import kernels
from effnet_lab.training.recipes import hold_out

QUICK = {"epochs": 1, "batch": 64}


@pytest.fixture(scope="module")
def runs():
    """micro0, half pruned, and with 16 values per kernel, after a few steps."""
    shown, held_out = hold_out(open_images("scenes?n=400", "train"))
    model = load_model("micro0")
    pruned, _ = prune(model, shown, validation=held_out, sparsity=0.5, **QUICK)
    clustered, _ = cluster(model, shown, validation=held_out, clusters=16, **QUICK)
    return model, pruned, clustered


def test_half_of_every_kernel_is_zero(runs):
    _, pruned, _ = runs
    assert pruned.name == "micro0_pruned50"
    for layer, kernel in kernels(pruned).items():
        assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.01), layer


def test_every_kernel_has_sixteen_values(runs):
    _, _, clustered = runs
    assert clustered.name == "micro0_clustered16"
    assert {len(np.unique(kernel)) for kernel in kernels(clustered).values()} <= set(range(2, 17))


def test_depthwise_kernels_are_left(runs):
    _, pruned, clustered = runs
    for model in (pruned, clustered):
        left = {name: v.numpy() for name, v in variables(model.keras).items() if name.endswith("depthwise_kernel")}
        assert len(left) == 8
        assert all((values != 0).all() and len(np.unique(values)) > 16 for values in left.values())


def test_files_get_smaller_only_when_compressed(runs, tmp_path):
    wanted = targets(["float32"], ["converter"])
    files = [write_files(model, wanted, tmp_path)[0].read_bytes() for model in runs]
    sizes = [len(content) for content in files]
    assert max(sizes) < 1.03 * min(sizes)  # names differ
    plain, pruned, clustered = map(deflated_bytes, files)
    assert pruned < 0.9 * plain
    assert clustered < 0.8 * plain


def test_the_result_is_an_ordinary_network(runs):
    model, pruned, _ = runs
    assert [layer.name for layer in pruned.keras.layers] == [layer.name for layer in model.keras.layers]
    assert len(to_bytes(pruned)) == pytest.approx(len(to_bytes(model)), abs=64)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_zeros_cost_a_layer_less_than_the_smallest_weights_do(share):
    """Nearly what least squares leave on the same choice of weights, and less than they leave on the largest ones."""
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 12))
    kernel, hessian = rng.normal(size=(1, 5, 12)), (inputs.T @ inputs / 400)[np.newaxis]
    found = sparse(kernel, hessian, share)
    assert (found == 0).sum() == round(share * kernel.size)
    lost = output_error(found - kernel, hessian).sum()
    best = refitted(kernel[0], hessian[0], found[0] != 0)
    assert lost < 1.05 * output_error(best - kernel, hessian).sum() + 1e-9
    smallest = np.abs(kernel[0]) > np.sort(np.abs(kernel).ravel())[round(share * kernel.size) - 1]
    assert lost < output_error(refitted(kernel[0], hessian[0], smallest) - kernel, hessian).sum()


def test_few_values_cost_a_layer_less_than_the_nearest_ones_do():
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(800, 16)) @ rng.normal(size=(16, 48)) + 0.3 * rng.normal(size=(800, 48))
    kernel, hessian = rng.normal(size=(1, 50, 48)), (inputs.T @ inputs / 800)[np.newaxis]
    found = few_values(kernel, hessian, 16)
    values = np.unique(found)
    assert len(values) == 16
    nearest = values[np.abs(kernel[..., np.newaxis] - values).argmin(axis=-1)]
    assert output_error(found - kernel, hessian).sum() < 0.2 * output_error(nearest - kernel, hessian).sum()
    plain = few_values(kernel, np.eye(48)[np.newaxis], 8)  # inputs that have nothing to do with each other: k-means
    best, _ = kmeans2(kernel.reshape(-1, 1), np.unique(plain)[:, np.newaxis], minit="matrix", iter=200)
    assert np.square(plain - kernel).sum() < 1.01 * np.square(kernel.reshape(-1, 1) - best.T).min(axis=1).sum()


def refitted(kernel, hessian, kept):
    """Each row's remaining weights by least squares, (1, rows, columns)."""
    found = np.zeros_like(kernel)
    for row, stays in enumerate(kept):
        found[row, stays] = np.linalg.solve(hessian[np.ix_(stays, stays)], (hessian @ kernel[row])[stays])
    return found[np.newaxis]


def test_mistakes():
    model, images = load_model("micro0"), open_images("digits", "train", limit=40)
    with pytest.raises(UserError, match=r"between 0 and 1. Got 1.5"):
        prune(model, images, validation=images, epochs=1, sparsity=1.5)
    with pytest.raises(UserError, match=r"at least 2 clusters. Got 1"):
        cluster(model, images, validation=images, epochs=1, clusters=1)
