"""Rounding by what it does to the output: the algebra on matrices, and files whose kernels hold the codes it chose."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lab.analysis.repair import (
    HeldOut,
    Precision,
    RoundWalk,
    narrow_depthwise,
    repair_stages,
    split_held_out,
    walk_values,
    with_rounded_kernels,
    write_rounded,
)
from effnet_lab.analysis.repair.kept_layers import KeptLayers
from effnet_lab.analysis.repair.layer_inputs import kernel_matrix, kernel_tensor, n_groups, patches
from effnet_lab.analysis.repair.rounding import DAMPING, best_scales, nearest_rows, round_rows, settle
from effnet_lab.analysis.repair.rounding_table import moved_codes, rounding_table
from effnet_lab.analysis.repair.walk_values import BothStates, fake_quantize
from effnet_lab.images import ArraySet, open_images
from effnet_lab.layer_fit import PULLS, InputMoments, best_pull, damped, output_error, refit
from effnet_lab.litert import Op, Runner, float_twin, read_graph, read_info
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.kernel_codes import KernelCodes, packed, with_kernel_codes
from effnet_lab.litert.options import Options, op_options
from effnet_lab.litert.surgery import Source
from effnet_lab.names import UserError
from effnet_lab.quantize import get_scheme
from effnet_lab.quantize.schemes import AI_EDGE
from effnet_lab.quantize.write import quantizer
from effnet_lab.quiet import quiet
from effnet_lab.studies import repair
from effnet_lab.studies.start import start_from

FLOAT = "float32 converter"


@pytest.fixture
def mixed():
    """Correlated inputs: 300 positions, 12 columns."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) + rng.normal(size=12)


@pytest.fixture(scope="module")
def calibration():
    return open_images("scenes", split="calibration", limit=24)


@pytest.fixture(scope="module")
def walked(files, calibration):
    """micro0 in 4 bits, depthwise kernels in 8."""
    content = files[FLOAT].read_bytes()
    samples = list(calibration.samples(read_info(files[FLOAT]).preprocess))
    return RoundWalk(content, precision_of).run(samples)


def precision_of(op):
    return Precision(bits=8 if op.kind == "depthwise" else 4)


def moments_of(wanted, given):
    moments = InputMoments()
    for part in range(3):
        moments.add(wanted[np.newaxis, part::3].astype(np.float32), given[np.newaxis, part::3].astype(np.float32))
    return moments


# the algebra


def test_moments_summed_in_parts_are_numpys(mixed):
    moments = moments_of(mixed, mixed)
    np.testing.assert_allclose(moments.covariance[0], np.cov(mixed.T, bias=True), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moments.means[0][0], mixed.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_moments_of_both_halves_are_those_of_all_images(mixed):
    halves, whole = (
        [moments_of(part[:, :3], part) for part in (mixed[:120], mixed[120:])],
        moments_of(mixed[:, :3], mixed),
    )
    both = halves[0] + halves[1]
    for ours, numpys in ((both.covariance, whole.covariance), (both.cross, whole.cross), (both.signal, whole.signal)):
        np.testing.assert_allclose(ours, numpys, rtol=1e-4, atol=1e-4)


def test_the_error_of_a_kernel_is_that_of_its_outputs(mixed):
    rng = np.random.default_rng(8)
    given, wanted = mixed + rng.normal(0, 0.5, mixed.shape), mixed @ rng.normal(size=(12, 4))
    other, moments = rng.normal(size=(1, 4, 12)), moments_of(wanted, given)
    assert moments.error(other) == pytest.approx((given @ other[0].T - wanted).var(axis=0).sum(), rel=1e-4)
    assert moments.signal == pytest.approx(wanted.var(axis=0).sum(), rel=1e-4)


def test_a_refit_without_a_pull_is_least_squares(mixed):
    rng = np.random.default_rng(2)
    kernel, given = rng.normal(size=(5, 12)), mixed + rng.normal(0, 0.5, mixed.shape)
    wanted = mixed @ kernel.T
    fitted = refit(kernel[np.newaxis], moments_of(wanted, given), pull=1e-9)[0]
    best = np.linalg.lstsq(given - given.mean(axis=0), wanted - wanted.mean(axis=0), rcond=None)[0].T
    np.testing.assert_allclose(fitted, best, rtol=1e-3, atol=1e-3)


def test_inputs_that_arrive_unharmed_leave_the_kernel_alone(mixed):
    kernel = np.random.default_rng(3).normal(size=(1, 4, 12))
    np.testing.assert_allclose(refit(kernel, moments_of(mixed @ kernel[0].T, mixed), pull=0.01), kernel, atol=1e-4)


def test_the_pull_is_strong_where_images_are_few(mixed):
    """Outputs with noise that no input explains: of many positions the refit may learn, of few it must not."""
    rng = np.random.default_rng(4)
    kernel, given = rng.normal(size=(1, 4, 12)), np.concatenate([mixed] * 8) + rng.normal(0, 0.5, (2400, 12))
    wanted = np.concatenate([mixed] * 8) @ kernel[0].T + rng.normal(0, 5.0, (2400, 4))

    def halves(n):
        return tuple(moments_of(wanted[part:n:2], given[part:n:2]) for part in (0, 1))

    few, many = (best_pull(kernel, halves(n)) for n in (32, 2400))
    assert few == max(PULLS)
    assert many < few
    kept = [halves(2400)[1].error(refit(kernel, halves(32)[0], pull=pull)) for pull in (few, min(PULLS))]
    assert kept[0] < kept[1]


def test_inputs_without_correlation_are_rounded_to_nearest():
    kernel = np.random.default_rng(4).normal(size=(1, 6, 10))
    scale = best_scales(kernel, np.ones((1, 1, 10)), 4)
    rounded = round_rows(kernel, np.diag(np.arange(1.0, 11.0))[np.newaxis], scale, 4)
    np.testing.assert_array_equal(rounded.codes, np.clip(np.rint(kernel / scale[..., None]), -7, 7))


def by_elimination(kernel, hessian, scale, top):
    """Optimal Brain Quantization in a fixed order (Frantar and Alistarh, 2208.11580): the inverse, less one column each time."""
    inverse, left = np.linalg.inv(hessian), kernel.copy()
    codes = np.zeros_like(kernel)
    for column in range(kernel.shape[1]):
        codes[:, column] = np.clip(np.rint(left[:, column] / scale), -top, top)
        error = (left[:, column] - codes[:, column] * scale) / inverse[column, column]
        left -= error[:, np.newaxis] * inverse[column]
        inverse = inverse - np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return codes


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_codes_are_those_of_the_elimination_that_the_factor_replaces(mixed, bits):
    kernel, hessian = np.random.default_rng(9).normal(size=(8, 12)), np.cov(mixed.T, bias=True)
    order = np.argsort(-np.diag(hessian), kind="stable")
    scale = best_scales(kernel[np.newaxis], np.diag(hessian), bits)
    slow = by_elimination(
        kernel[:, order], damped(hessian[np.newaxis], DAMPING)[0][np.ix_(order, order)], scale[0], 2 ** (bits - 1) - 1
    )
    np.testing.assert_array_equal(
        round_rows(kernel[np.newaxis], hessian[np.newaxis], scale, bits).codes[0][:, order], slow
    )


def test_no_choice_of_codes_is_much_better_than_that_of_the_columns_in_turn(mixed):
    """Against all 3^6 choices of 6 codes within one step of the nearest."""
    from itertools import product

    hessian = np.cov(mixed[:, :6].T, bias=True)
    kernel = np.random.default_rng(10).normal(size=(1, 30, 6))
    scale = best_scales(kernel, np.diag(hessian), 4)
    ours = output_error(round_rows(kernel, hessian[np.newaxis], scale, 4).real - kernel, hessian[np.newaxis])[0]
    nearest = nearest_rows(kernel, scale, 4)
    plain = output_error(nearest.real - kernel, hessian[np.newaxis])[0]
    steps = np.array(list(product((-1, 0, 1), repeat=6)))
    every = (np.clip(nearest.codes[0][:, None] + steps, -7, 7) * scale[0][:, None, None]) - kernel[0][:, None]
    best = np.einsum("rsc,cd,rsd->rs", every, hessian, every).min(axis=1)
    assert (best <= ours + 1e-12).all()
    assert ours.sum() - best.sum() < 0.5 * (plain.sum() - best.sum())


def test_settled_codes_are_never_worse(mixed):
    """The error that is kept small is the one with damped inputs; scales are numbers that a file can hold."""
    hessian = np.cov(mixed.T, bias=True)[np.newaxis]
    kernel = np.random.default_rng(10).normal(size=(1, 30, 12))
    scale = best_scales(kernel, np.diagonal(hessian[0]), 4)
    first = round_rows(kernel, hessian, scale, 4)
    last = settle(kernel, hessian, first, 4)
    lost = [output_error(rounded.real - kernel, damped(hessian, DAMPING))[0] for rounded in (first, last)]
    assert (lost[1] <= lost[0] * (1 + 1e-6)).all()
    assert lost[1].sum() < 0.9 * lost[0].sum()
    assert np.abs(last.codes).max() <= 7
    np.testing.assert_array_equal(last.scale, last.scale.astype(np.float32))
    (one,) = np.unique(settle(kernel, hessian, first, 4, per_tensor=True).scale)
    assert one > 0


def test_correlated_inputs_lose_less_than_with_nearest(mixed):
    kernel, hessian = np.random.default_rng(5).normal(size=(1, 40, 12)), np.cov(mixed.T, bias=True)[np.newaxis]
    scale = best_scales(kernel, np.diagonal(hessian[0]), 4)
    losses = [output_error(kernel - r(scale).real, hessian).sum() for r in (
        lambda s: nearest_rows(kernel, s, 4), lambda s: round_rows(kernel, hessian, s, 4))]  # fmt: skip
    assert losses[1] < 0.6 * losses[0]


def test_groups_with_inputs_of_their_own_are_rounded_as_if_alone():
    rng = np.random.default_rng(6)
    kernel, factors = rng.normal(size=(3, 2, 9)), rng.normal(size=(9, 9))
    hessian = factors @ factors.T
    scale = best_scales(kernel, np.diag(hessian), 4)
    own = np.stack([hessian, 4 * hessian, hessian / 9])  # other units of the input: the same rounding
    together = round_rows(kernel, own, scale, 4)
    for group in range(3):
        alone = round_rows(kernel[[group]], hessian[np.newaxis], scale[[group]], 4)
        np.testing.assert_array_equal(together.codes[group], alone.codes[0])


def test_one_scale_for_all_rows_is_the_best_of_those_tried():
    kernel = np.random.default_rng(7).normal(size=(1, 5, 40)) * np.array([1, 1, 1, 1, 3.0])[:, None]
    (scale,) = np.unique(best_scales(kernel, np.ones(()), 4, per_tensor=True))
    tried = np.abs(kernel).max() / 7 * np.linspace(1.0, 0.35, 26)
    lost = [np.square(kernel - np.clip(np.rint(kernel / s), -7, 7) * s).sum() for s in tried]
    assert scale == pytest.approx(tried[int(np.argmin(lost))], rel=1e-6)


def test_a_row_of_zeros_gets_a_scale_that_kernels_take():
    kernel = np.random.default_rng(7).normal(size=(1, 3, 8))
    kernel[0, 1] = 0
    scale = best_scales(kernel, np.ones(()), 8)[0]
    assert scale[1] >= scale[[0, 2]].min()
    assert best_scales(np.zeros((1, 2, 4)), np.ones(()), 8).min() > 1e-3


@pytest.mark.parametrize("bits", [8, 16])
def test_activations_lie_on_the_grid_of_the_interpreter(bits):
    values = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    rounded = fake_quantize(values, (-1.5, 2.5), bits)
    low, high, steps = (-1.5, 2.5, 255) if bits == 8 else (-2.5, 2.5, 65535)
    scale = (high - low) / steps
    assert len(np.unique(np.rint(rounded / scale))) == len(np.unique(rounded))
    inside = (values > low) & (values < high)
    assert np.abs(rounded - values)[inside].max() <= 0.51 * scale
    assert rounded.min() >= low - scale
    assert rounded.max() <= high + scale
    assert 0.0 in fake_quantize(np.zeros(1, np.float32), (-1.5, 2.5), bits)


# a network


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
    matrix = kernel_matrix(kernel.data, op, n_groups(op, kernel.shape, given.shape[-1]))
    under = patches(given, kernel.shape, op, options, at)
    made = np.einsum("gpk,grk->pgr", under, matrix).reshape(len(at), -1) + bias.data
    if options.fused == "relu6":
        made = np.clip(made, 0, 6)
    np.testing.assert_allclose(made, flat[at], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(kernel_tensor(matrix, kernel.shape, op), kernel.data)


def test_patches_of_a_grouped_convolution():
    import tf_keras

    layer = tf_keras.layers.Conv2D(6, 3, strides=2, groups=2, padding="same")
    layer.build((1, 9, 8, 4))
    image, (kernel, bias) = np.random.default_rng(0).normal(size=(1, 9, 8, 4)).astype(np.float32), layer.get_weights()
    stored = kernel.transpose(3, 0, 1, 2)  # as a .tflite file has it
    op, options = Op(index=0, kind="conv", inputs=(), outputs=()), Options(same=True, stride=(2, 2))
    matrix = kernel_matrix(stored, op, n_groups(op, stored.shape, 4))
    under = patches(image, stored.shape, op, options, np.arange(20))
    made = np.einsum("gpk,grk->pgr", under, matrix).reshape(20, 6) + bias
    np.testing.assert_allclose(made, layer(image).numpy().reshape(20, 6), rtol=1e-4, atol=1e-5)


def outputs_of(files, *contents, kernels="xnnpack"):
    preprocess = read_info(files[FLOAT]).preprocess
    scenes = np.concatenate([batch for batch, _ in open_images("scenes", limit=60).batches(preprocess)])
    return [Runner(content, kernels=kernels).predict(scenes) for content in contents]


def test_int4_kernels_rounded_for_the_output_keep_more_of_it(files, walked):
    content = files[FLOAT].read_bytes()
    graph, arrays = read_graph(content), {}
    for op in graph.ops:
        if (kernel := graph.weights(op)) is not None:
            top = 127 if op.kind == "depthwise" else 7
            matrix = kernel_matrix(kernel.data, op, n_groups(op, kernel.shape, kernel.shape[-1]))
            scale = np.abs(matrix).max(axis=2, keepdims=True) / top
            arrays[kernel.name] = kernel_tensor(np.rint(matrix / scale) * scale, kernel.shape, op).astype(np.float32)
    rounded = with_rounded_kernels(content, walked)
    exact, ours, nearest = outputs_of(files, content, rounded, with_constants(content, arrays))
    assert np.square(ours - exact).sum() < 0.5 * np.square(nearest - exact).sum()


def test_a_layer_makes_good_what_its_sum_lacks(files, walked, calibration, monkeypatch):
    """Layers before additions are fitted to the sums: these are nearer to the float ones than with layers fitted to their own."""
    content, samples = files[FLOAT].read_bytes(), list(calibration.samples(read_info(files[FLOAT]).preprocess))
    monkeypatch.setattr(RoundWalk, "_beside", lambda *_: None)
    alone = RoundWalk(content, precision_of).run(samples)
    sums = [op.outputs[0] for op in read_graph(content).ops if op.kind == "add"]

    def activations(file):
        runner, found = Runner(file, keep_all=True), []
        for sample in samples:
            runner.feed(*sample)
            runner.invoke()
            found.append(np.concatenate([runner.activation(runner.graph.tensors[i]).reshape(-1) for i in sums]))
        return np.stack(found)

    exact, ours, own = map(activations, (content, *(with_rounded_kernels(content, each) for each in (walked, alone))))
    assert np.square(ours - exact).sum() < np.square(own - exact).sum()


def test_images_follow_where_maps_are_smaller(files, calibration, monkeypatch):
    """With memory for few, later ops see all of them, with the values that they have when all go together."""
    samples = list(calibration.samples(read_info(files[FLOAT]).preprocess))
    ends = dict.fromkeys((tensor.name for tensor in Source(files[FLOAT]).graph.tensors), (-3.0, 6.0))
    seen: dict[int, list[int]] = {}

    def last_of(memory):
        monkeypatch.setattr(walk_values, "MEMORY", memory)
        source = Source(files[FLOAT])
        both = BothStates(source, Source(files[FLOAT]), samples, dict.fromkeys(range(len(source.graph.ops)), 8), ends)
        for op in source.graph.ops:
            both.advance(op)
            seen.setdefault(memory, []).append(len(both.states))
            both.leave(op)
        return [[values[source.graph.outputs[0]] for values in state] for state in both.states]

    largest = read_graph(files[FLOAT]).peak_activation_bytes
    np.testing.assert_array_equal(last_of(20 * largest), last_of(1000 * largest))
    assert seen[20 * largest][0] < len(samples) == seen[20 * largest][-1] == seen[1000 * largest][0]


def test_the_written_file_holds_the_codes_bit_for_bit(files, walked, calibration):
    rounded = with_rounded_kernels(files[FLOAT].read_bytes(), walked)
    written = write_rounded(rounded, walked, quantizer((get_scheme("int4"), AI_EDGE), calibration))
    graph, bits = read_graph(written), set()
    for layer in walked.values():
        op = graph.produced[layer.name]
        kernel, bias, taken = (graph.tensors[i] for i in (op.inputs[1], op.inputs[2], op.inputs[0]))
        np.testing.assert_array_equal(kernel.data.astype(np.int8), layer.codes)
        np.testing.assert_array_equal(kernel.scale, layer.kernel.scale.reshape(-1).astype(np.float32))
        np.testing.assert_allclose(bias.scale, taken.scale[0] * kernel.scale, rtol=1e-6)
        np.testing.assert_allclose(bias.data * bias.scale, layer.bias, atol=0.51 * bias.scale.max())
        bits.add((op.kind, kernel.dtype.name))
    assert bits == {("conv", "int4"), ("dense", "int4"), ("depthwise", "int8")}
    exact, plain, ours = outputs_of(files, rounded, files["static_wi4_ai8 ai_edge_quantizer"], written)
    assert np.square(ours - exact).mean() < 0.3 * np.square(plain - exact).mean()


def test_four_bit_codes_lie_two_to_a_byte():
    np.testing.assert_array_equal(packed(np.array([1, -2, 7])), [0xE1, 0x07])


def test_codes_of_another_shape_are_refused(files):
    codes = KernelCodes(codes=np.zeros((1, 1, 1, 1), np.int8), scale=np.ones(1, np.float32), bits=8, bias=None)
    with pytest.raises(ValueError, match="There is no layer 'x' with a kernel"):
        with_kernel_codes(files["static_wi8_ai8 ai_edge_quantizer"].read_bytes(), {"x": codes})


def test_depthwise_kernels_of_four_bits_run(files):
    """As the same codes in 8 bits do, bit for bit with the plain kernels; the other path runs them too."""
    content = files["static_wi8_ai8 ai_edge_quantizer"].read_bytes()
    narrow = narrow_depthwise(content, files[FLOAT].read_bytes())
    graph = read_graph(narrow)
    kinds = {(op.kind, graph.weights(op).dtype.name) for op in graph.ops if graph.weights(op) is not None}
    assert kinds == {("conv", "int8"), ("dense", "int8"), ("depthwise", "int4")}
    wide = with_kernel_codes(narrow, {
        name: KernelCodes(codes=k.data.astype(np.int8), scale=k.scale, bits=8, bias=None)
        for name, op in graph.produced.items() if op.kind == "depthwise" for k in [graph.weights(op)]
    })  # fmt: skip
    same, plain = (outputs_of(files, content, kernels="builtin")[0] for content in (wide, narrow))
    np.testing.assert_array_equal(plain, same)
    delegated, exact = outputs_of(files, narrow, wide)
    assert (delegated.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.9


def test_an_interrupted_walk_goes_on_where_it_was(files, walked, calibration, tmp_path, monkeypatch):
    content, samples = files[FLOAT].read_bytes(), list(calibration.samples(read_info(files[FLOAT]).preprocess))
    kept = KeptLayers(tmp_path / "rounded.npz")
    kept.begin("this run")

    def five(ops, unit):
        for n, op in enumerate(ops):
            if n == 5:
                raise KeyboardInterrupt
            yield op

    with pytest.raises(KeyboardInterrupt):
        RoundWalk(content, precision_of).run(samples, kept=kept, progress=five)
    kept.save()
    again = KeptLayers(tmp_path / "rounded.npz")
    again.begin("this run")
    first = [index for index in walked if again.get(index) is not None]
    assert first == [index for index in walked if index < 5] != []
    monkeypatch.setattr(again, "put", lambda index, arrays: made.append(index))
    made: list[int] = []
    resumed = RoundWalk(content, precision_of).run(samples, kept=again)
    assert made == [index for index in walked if index not in first]
    for index, layer in walked.items():
        np.testing.assert_array_equal(resumed[index].codes, layer.codes)
        np.testing.assert_array_equal(resumed[index].bias, layer.bias)
    other = KeptLayers(tmp_path / "rounded.npz")
    other.begin("another run")
    assert other.get(first[0]) is None
    (tmp_path / "rounded.npz").write_bytes(b"damaged")
    again.begin("this run")
    assert again.get(first[0]) is None


def test_tables_count_what_moved(files, walked):
    graph, key = read_graph(files[FLOAT]), {"model": "micro0", "scheme": "s", "backend": ""}
    table, moved = rounding_table(walked.values(), graph, key), moved_codes(walked.values(), graph, key)
    assert len(table) == len(walked)
    assert (table["sqnr_rounded_db"] > table["sqnr_nearest_db"] - 0.5).all()
    assert table["sqnr_rounded_db"].mean() > table["sqnr_nearest_db"].mean() + 1
    assert (moved.groupby("layer")[["n_weights", "n_moved"]].sum().reindex(table["layer"]).to_numpy()
            == table[["n_weights", "n_moved"]].to_numpy()).all()  # fmt: skip
    layer = next(iter(walked.values()))
    assert table["n_moved"].iloc[0] == np.count_nonzero(layer.codes != layer.nearest)
    assert 0 < table["moved_share"].mean() < 1


# never worse


def test_held_out_images_are_a_quarter_and_disjoint(calibration):
    fixing, judging = split_held_out(calibration)
    assert (len(fixing), len(judging)) == (18, 6)
    both = [image.tobytes() for part in (fixing, judging) for image in map(part.read, range(len(part)))]
    assert len(set(both)) == 24
    with pytest.raises(UserError, match=r"Give at least 8\. Got 7"):
        split_held_out(calibration.take(7))


def test_the_loss_is_the_divergence_of_the_answers(files, calibration):
    """Against scipy, on probabilities that the networks put out themselves."""
    from scipy.special import rel_entr

    preprocess = read_info(files[FLOAT]).preprocess
    judge = HeldOut(files[FLOAT].read_bytes(), calibration, preprocess)
    batch = np.stack([image for (image,) in calibration.samples(preprocess)])
    quantized = files["dynamic_wi8_afp32 ai_edge_quantizer"]  # its softmax is float
    exact, found = (
        Runner(files[name] if isinstance(name, str) else name).predict(batch) for name in (FLOAT, quantized)
    )
    np.testing.assert_allclose(judge.losses(quantized.read_bytes()), rel_entr(exact, found).sum(axis=1), atol=2e-5)
    assert judge.losses(files[FLOAT].read_bytes()).max() < 1e-9


def test_a_network_without_classes_is_judged_by_its_outputs():
    import tf_keras

    layers = tf_keras.layers
    model = tf_keras.Sequential([tf_keras.Input((6,), 1), layers.Dense(5, activation="relu"), layers.Dense(3)])
    import tensorflow as tf

    with quiet():
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    values = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    samples = ArraySet(name="v", arrays={"": values}, labels=np.zeros(20, np.int64), fingerprint="v")
    kernel = read_graph(content).kernel(read_graph(content).ops[-1])
    name = read_graph(content).weights(read_graph(content).ops[-1]).name
    judge = HeldOut(content, samples, None)
    np.testing.assert_allclose(
        judge.losses(with_constants(content, {name: kernel * np.float32(1.1)})).mean(), 0.01, rtol=1e-3
    )


def test_a_step_that_does_not_help_is_left(files, calibration):
    """A back end that spoils every network but the given one: no step is taken, and the last stage is the unrepaired file."""
    content, preprocess = files[FLOAT].read_bytes(), read_info(files[FLOAT]).preprocess
    good = files["static_wi8_ai8 ai_edge_quantizer"].read_bytes()
    graph = read_graph(good)
    classifier = graph.weights(next(op for op in graph.ops if op.kind == "dense"))
    bad = with_constants(good, {classifier.name: np.zeros_like(classifier.data)})
    fixing, judging = split_held_out(calibration)

    def spoil(given):
        return good if given == content else bad

    stages = list(repair_stages(content, fixing, preprocess, spoil, steps=["equalize", "clip"], held_out=judging))
    assert [(stage.name, stage.taken) for stage in stages] == [("none", True), ("equalize", False), ("clip", False)]
    assert stages[1].gain.high < 0
    assert "worse" in str(stages[1].gain)

    def mend(given):
        return bad if given == content else good

    stages = list(repair_stages(content, fixing, preprocess, mend, steps=["equalize", "clip"], held_out=judging))
    assert [(stage.name, stage.taken) for stage in stages] == [
        ("none", True),
        ("equalize", True),
        ("equalize+clip", False),
    ]
    assert stages[2].gain.before == stages[2].gain.after
    assert stages[1].gain.n_images == 6


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_layers"),
    [
        ("mlcommons__pretrainedResnet", 10), ("mlcommons__vww_96_float", 28),
        ("google-coral__mobilenet_v1_0.25_128_quant", 28),
    ],
)  # fmt: skip
def test_networks_from_elsewhere_are_rounded_too(shared, name, n_layers):
    """No Keras model, no pictures: float files, and quantized ones whose weights are unpacked."""
    path = shared / "fixtures" / "wild" / f"{name}.tflite"
    source = start_from(path, None, None, measures="")
    graph = read_graph(source.content)
    values = {
        str(i): np.random.default_rng(i).random((8, *graph.tensors[i].shape[1:]), np.float32) for i in graph.inputs
    }
    samples = ArraySet(name="v", arrays=values, labels=np.zeros(8, np.int64), fingerprint="v")
    quantize = quantizer((get_scheme("int4"), AI_EDGE), samples)
    plain, rounded = repair_stages(source.content, samples, None, quantize, steps=["round"], precision=precision_of)
    assert len(rounded.layers) == n_layers
    judge = HeldOut(source.content, samples, None)
    losses = [judge.losses(stage.quantized).mean() for stage in (plain, rounded)]
    assert losses[1] < losses[0]


@pytest.mark.real
def test_a_network_that_remembers_is_refused(shared):
    content = float_twin(shared / "fixtures/wild/tensorflow__keyword_scrambled_8bit.tflite")
    with pytest.raises(UserError, match="remembers what it was asked before"):
        RoundWalk(content, precision_of)


def test_the_float_network_gives_its_own_answers(tmp_path):
    """Samples without labels, and an answer next to the last of 1,001 outputs: none of these is a background."""
    import tensorflow as tf
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((2,), 1), tf_keras.layers.Dense(1001), tf_keras.layers.Softmax()])
    kernel = np.zeros((2, 1001), np.float32)
    kernel[0, 999] = kernel[1, 5] = 1.0
    model.layers[0].set_weights([kernel, np.zeros(1001, np.float32)])
    with quiet():
        (tmp_path / "wide.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    values = np.eye(2, dtype=np.float32)[np.arange(16) % 2] * 9
    samples = ArraySet(name="v", arrays={"": values}, labels=np.zeros(16, np.int64), fingerprint="v")
    done = repair(tmp_path / "wide.tflite", samples, calibration=samples, steps="bias")
    assert done.table.set_index("steps").loc["float", "top1"] == 1.0
