"""Networks of every other kind: loops, branches, several graphs, inputs and outputs; integers and texts; states.

Each question is answered, or refused for the reason that there is.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from effnet_lab.analysis import explain, layer_error, verdicts
from effnet_lab.analysis.lint import lint
from effnet_lab.bench import bench
from effnet_lab.evaluate import evaluate
from effnet_lab.images import open_samples
from effnet_lab.litert import read_graph
from effnet_lab.names import UserError
from effnet_lab.quantize import calibrate, export
from effnet_lab.quiet import quiet
from effnet_lab.regress.own_file import write_inspector

INT8 = {"two ends", "words", "positions", "split"}  # networks that are there in int8, too


def two_ends(tf, w):
    """A picture and a vector in; scores and one number out."""

    def network(image, vector):
        x = tf.nn.relu(tf.nn.conv2d(image, w(3, 3, 3, 8), 2, "VALID"))
        y = tf.nn.relu(tf.matmul(vector, w(5, 8)))
        return tf.matmul(tf.concat([tf.reduce_mean(x, (1, 2)), y], 1), w(16, 4)), tf.matmul(y, w(8, 1))

    return network, [((1, 16, 16, 3), "float32"), ((1, 5), "float32")]


def words(tf, w):
    """Numbers of words in."""
    return lambda ids: tf.matmul(tf.reduce_mean(tf.gather(w(50, 8), ids), 1), w(8, 3)), [((1, 7), "int32")]


def positions(tf, w):
    """The best class of every pixel out: int64."""
    return lambda x: tf.argmax(tf.nn.conv2d(x, w(1, 1, 3, 4), 1, "SAME"), 3), [((1, 16, 16, 3), "float32")]


def split(tf, w):
    """An op of four outputs, the first of which nobody reads."""

    def network(x):
        _, a, b, c = tf.split(tf.matmul(x, w(6, 32)), 4, 1)
        return tf.matmul(tf.sigmoid(a) * tf.tanh(b) + c, w(8, 3))

    return network, [((1, 6), "float32")]


def loop(tf, w):
    kernel = w(4, 4)

    def step(i, v):
        return i + 1, tf.matmul(v, kernel) * 0.5

    return lambda x: tf.while_loop(lambda i, _: i < 5, step, [0, x])[1], [((1, 4), "float32")]


def branch(tf, w):
    kernel = w(4, 4)
    return lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: tf.matmul(x, kernel), lambda: x * 2.0), [((1, 4), "float32")]


def text(tf, w):
    return lambda s: tf.reshape(s, (2, 1)), [((2,), "string")]


def foreign(tf, w):
    """An op of TensorFlow itself."""
    return lambda s: tf.strings.length(s), [((1,), "string")]


NETWORKS = {
    "two ends": two_ends, "words": words, "positions": positions, "split": split, "loop": loop, "branch": branch,
    "text": text, "foreign": foreign,
}  # fmt: skip
ANSWERED = ""
LOOPS = "has loops or branches, which are graphs of their own"
TEXT, FLEX = "takes text or a handle", r"holds ops of TensorFlow itself \(FlexStringLength\)"
REFUSED = {  # for networks whose files are float: question -> reason
    "loop": {"export": "has several graphs", "layer error": LOOPS, "verdicts": LOOPS, "explain": "computes nothing in integers"},
    "branch": {"export": "has several graphs", "layer error": LOOPS, "verdicts": LOOPS,
               "explain": "computes nothing in integers"},
    "text": dict.fromkeys(("bench", "export", "calibrate", "evaluate"), TEXT),
    "foreign": dict.fromkeys(("bench", "export", "calibrate", "evaluate"), FLEX),
}  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """(float file, int8 file or None, arrays) of each."""
    import tensorflow as tf

    folder, rng, made = tmp_path_factory.mktemp("unusual"), np.random.default_rng(0), {}

    def weights(*shape: int):
        return tf.constant(rng.normal(0, 0.5, shape), tf.float32)

    def values(shape, dtype):
        if dtype == "string":
            return np.zeros((8, *shape))  # nothing can be fed there
        given = rng.integers(0, 50, (8, *shape)) if dtype == "int32" else rng.uniform(-1, 1, (8, *shape))
        return given.astype(dtype)

    for name, make in NETWORKS.items():
        function, ends = make(tf, weights)
        specs = [
            tf.TensorSpec(shape, tf.dtypes.as_dtype(dtype), name=f"in{i}") for i, (shape, dtype) in enumerate(ends)
        ]
        concrete = tf.function(function).get_concrete_function(*specs)
        arrays = {f"in{i}": values(*end) for i, end in enumerate(ends)}
        files = []
        for kind in ("float", "int8")[: 2 if name in INT8 else 1]:
            converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], concrete)
            if name == "foreign":
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
            if kind == "int8":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda a=arrays: ([x[i] for x in a.values()] for i in range(8))
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the converter warns itself of what it asks for
                content = converter.convert()
            files.append(folder / f"{name.replace(' ', '_')}_{kind}.tflite")
            files[-1].write_bytes(content)
        np.savez(
            folder / f"{name}.npz", **{key: array[:, 0] if array.ndim > 2 else array for key, array in arrays.items()}
        )
        made[name] = (files[0], files[1] if len(files) == 2 else None, folder / f"{name}.npz")
    return made


def asked(question: str, float_file, int8_file, arrays, folder):
    file = int8_file or float_file
    if question == "bench":
        assert (bench([file], n_runs=6)["p50_ms"] > 0).all()
    elif question == "export":
        done = export(float_file, folder / "out.tflite", format="int8", calibration=arrays)
        assert read_graph(done.files[0]).scheme.startswith("static_wi8")
    elif question == "calibrate":
        assert calibrate(float_file, arrays).statistics.n_images == 8
    elif question == "evaluate":
        assert evaluate(file, arrays, against=float_file).comparison is not None
    elif question == "layer error":
        errors = layer_error(
            file, open_samples(arrays), float_model=float_file, notions=("accumulated", "local", "effect")
        )
        assert (errors.table["sqnr_accumulated_db"].dropna() > 5).all()
    elif question == "verdicts":
        which = " (the first of 2 outputs)" if "two" in float_file.name else ""
        assert verdicts(file, arrays, float_model=float_file).closing[-1].startswith(f"At the logits{which} ")
    elif question == "explain":
        assert explain(file, open_samples(arrays))["n_different"].dropna().eq(0).all()
    elif question == "inspect":
        write_inspector([file], arrays, folder / "page.html", float_models=[float_file])


QUESTIONS = ("bench", "export", "calibrate", "evaluate", "layer error", "verdicts", "explain", "inspect")


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", sorted(INT8))
def test_a_question_is_answered(networks, tmp_path, name, question):
    asked(question, *networks[name], tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_a_question_is_refused_for_its_reason(networks, tmp_path, name):
    for question, reason in REFUSED[name].items():
        with pytest.raises(UserError, match=reason) as raised:
            asked(question, *networks[name], tmp_path)
        assert len(str(raised.value)) <= 300


@pytest.mark.parametrize("name", ["loop", "branch"])
def test_what_runs_as_a_whole_runs(networks, tmp_path, name):
    for question in ("bench", "calibrate", "evaluate"):
        asked(question, *networks[name], tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_file_is_linted(networks, name):
    severities = set(lint(networks[name][0]).table["severity"])
    assert ("error" in severities) == (name == "foreign")


def test_the_weights_of_other_graphs_are_kept(networks):
    """A float network made of a file leaves the graphs that it calls as they are."""
    from effnet_lab.litert import Runner, float_twin

    file, _, arrays = networks["loop"]
    sample = next(open_samples(arrays).samples())
    answers = [Runner(model).run(*sample)[0] for model in (file, float_twin(file))]
    np.testing.assert_array_equal(*answers)
