"""What-if: what is run again gives what the whole file gives, and a batch run writes the same file byte for byte."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from effnet_lab.analysis import verdicts
from effnet_lab.cli import app
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, read_graph, read_info
from effnet_lab.litert.rerun import Rerunner
from effnet_lab.litert.same_values import value_marks
from effnet_lab.litert.surgery import Source
from effnet_lab.names import UserError
from effnet_lab.quantize import parse_recipe
from effnet_lab.quantize.schemes import FORMATS, INT8
from effnet_lab.quantize.switches import PRECISIONS, Switch, recipe_of
from effnet_lab.studies.inspection.desk import Desk
from effnet_lab.studies.inspection.what_if import WhatIf

EDGE, CONVERTED, FLOAT = "static_wi8_ai8 ai_edge_quantizer", "static_wi8_ai8 converter", "float32 converter"
N = 6


@pytest.fixture(scope="module")
def what_if(files):
    return WhatIf(files[EDGE], "scenes", float_model=files[FLOAT], limit=N)


@pytest.fixture
def fresh(what_if):
    """The same session at its beginning."""
    what_if.switches.set("int8")
    return what_if


def layers(what_if) -> list[str]:
    return [switch.layer for switch in what_if.switches.layers]


def logits(content: bytes) -> np.ndarray:
    """Of the whole file, without any short cut."""
    source, images = Source(content), open_images("scenes", limit=N)
    runner = Runner(content, keep_all=True)
    found = []
    for (sample,) in images.samples(read_info_of(content)):
        runner.feed(sample)
        runner.invoke()
        found.append(runner.activation(source.graph.tensors[source.graph.logits]).reshape(-1))
    return np.stack(found)


def read_info_of(content: bytes):
    from effnet_lab.litert.flatbuffer import parse
    from effnet_lab.litert.metadata import info_of

    return info_of(parse(content), "model", content).preprocess


def test_the_file_as_given_is_judged_as_verdicts_judges_it(files, what_if):
    loss = verdicts(files[EDGE], open_images("scenes", limit=N), float_model=files[FLOAT]).loss
    assert what_if.given.sqnr_db == pytest.approx(loss.sqnr_db, abs=1e-6)
    assert what_if.given.agreement == 1 - loss.changed / N
    assert what_if.given.size_bytes == files[EDGE].stat().st_size
    assert what_if.given.top1_lo <= what_if.given.top1 <= what_if.given.top1_hi


@pytest.mark.parametrize("format", ["float32", "int16x8", "int8-per-tensor", "int4"])
def test_what_is_run_again_gives_what_the_whole_file_gives(fresh, format):
    layer = next(
        name for name in layers(fresh)[len(layers(fresh)) // 2 :] if not fresh.switches.option(name, format).reason
    )
    first = fresh.outcome()
    outcome = fresh.flip([layer], format)
    assert outcome.n_run < outcome.n_ops
    float_logits, int_logits = logits(fresh.float_content), logits(outcome.content)
    noise = np.square(float_logits.astype(np.float64) - int_logits).sum()
    signal = np.square(float_logits.astype(np.float64)).sum()
    assert outcome.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=1e-9)
    assert outcome.agreement == np.mean(float_logits.argmax(1) == int_logits.argmax(1))
    assert first.content != outcome.content
    assert fresh.switches.chosen[layer] == format


def test_nothing_before_the_flipped_layer_is_computed_again(fresh):
    fresh.outcome()
    outcome = fresh.flip([layers(fresh)[-3]], "float32")
    marks = [value_marks(Source(content)) for content in (fresh.known(parse_recipe("int8")).content, outcome.content)]
    new = set(marks[1].values()) - set(marks[0].values())
    assert 0 < outcome.n_run <= len(new)
    assert outcome.n_run <= 10  # the layer, its neighbours, and what changes types between them


def test_marks_are_equal_where_values_are_and_nowhere_else(files):
    """Every tensor of two files: with the same mark, the same codes."""
    contents = [files[EDGE].read_bytes(), files["static_wi8_ai8_per_tensor ai_edge_quantizer"].read_bytes()]
    sample = next(open_images("scenes", limit=1).samples(read_info(files[EDGE]).preprocess))
    values = []
    for content in contents:
        source, runner = Source(content), Runner(content, keep_all=True)
        runner.feed(*sample)
        runner.invoke()
        marks = value_marks(source)
        values.append(
            {marks[i]: runner.codes(source.graph.tensors[i]).copy() for op in source.graph.ops for i in op.outputs}
        )
    assert value_marks(Source(contents[0])) == value_marks(Source(contents[0]))
    shared = values[0].keys() & values[1].keys()
    assert len(shared) < len(values[0])
    for mark in shared:
        np.testing.assert_array_equal(values[0][mark], values[1][mark])


def test_undo_redo_and_a_new_branch(fresh):
    first, second, third = layers(fresh)[:3]
    beginning = fresh.switches.recipe.text
    fresh.flip([first], "float32")
    fresh.flip([second], "int16x8")
    assert fresh.switches.chosen[first] == "float32"
    fresh.undo()
    assert fresh.switches.chosen[second] == "int8"
    assert fresh.switches.can_redo
    fresh.redo()
    assert fresh.switches.chosen[second] == "int16x8"
    fresh.undo()
    fresh.undo()
    assert fresh.switches.recipe.text == beginning
    fresh.flip([third], "float32")
    assert not fresh.switches.can_redo
    assert fresh.switches.chosen == dict.fromkeys(layers(fresh), "int8") | {third: "float32"}


def test_groups(fresh):
    switches = fresh.switches
    kinds = {switch.layer: switch.kind for switch in switches.layers}
    depthwise = next(layer for layer, kind in kinds.items() if kind == "depthwise")
    assert {kinds[layer] for layer in switches.alike(depthwise)} == {"depthwise"}
    assert switches.after(layers(fresh)[-2]) == layers(fresh)[-2:]
    fresh.flip(switches.alike(depthwise), "float32")
    assert switches.recipe.text == "int8; op:depthwise=float32"


def test_what_the_back_end_cannot_do_is_refused_with_the_reason(fresh):
    depthwise = next(switch.layer for switch in fresh.switches.layers if switch.kind == "depthwise")
    (reason,) = {one.reason for one in fresh.switches.options(depthwise) if one.format == "int4"}
    assert "4-bit" in reason
    with pytest.raises(UserError, match="4-bit"):
        fresh.flip([depthwise], "int4")
    with pytest.raises(UserError, match="Unknown layer"):
        fresh.flip(["no_such_layer"], "float32")


def test_the_options_are_kept_by_the_back_end(fresh):
    """What is offered is what the file has afterwards."""
    switches = fresh.switches
    for format in ("int4", "int16x8", "int8-per-tensor"):
        able = [s for s in switches.layers if not switches.option(s.layer, format).reason]
        content = fresh.quantize(parse_recipe(f"int8; {able[-1].layer}={format}"))
        graph = read_graph(content)
        op = graph.produced[able[-1].tensor]
        kernel = graph.stored_weights(op)
        if format == "int16x8":
            assert graph.tensors[op.outputs[0]].dtype == np.int16
        elif format == "int4":
            assert kernel.dtype.name == "int4"
        else:
            assert kernel.scale.size == 1


@pytest.mark.parametrize("source", ["a float file", "the file's own ranges and weights"])
def test_a_batch_export_writes_the_same_file_byte_for_byte(files, tmp_path, source):
    pair = {"a float file": (files[EDGE], files[FLOAT]), "the file's own ranges and weights": (files[CONVERTED], None)}
    quantized, float_model = pair[source]
    session = WhatIf(quantized, "scenes", float_model=float_model, limit=2)
    session.flip([layers(session)[1]], "int8-per-tensor")
    session.flip([layers(session)[4]], "float32")
    session.flip(session.switches.after(layers(session)[-4]), "int16x8")
    *_, written = session.export(tmp_path)
    _, *words = session.command(tmp_path)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "again.tflite").read_bytes() == written.read_bytes() == session.outcome().content


def test_calibration_images_fix_the_ranges(files):
    images = open_images("scenes", split="calibration", limit=5)
    session = WhatIf(files[EDGE], "scenes", float_model=files[FLOAT], calibration=images, limit=2)
    assert session.statistics.n_images == 5
    assert session.outcome().sqnr_db > 10
    layer = layers(session)[3]
    lowest, highest = session.range_setters(layer)
    alone = [
        WhatIf(
            files[EDGE], "scenes", float_model=files[FLOAT], calibration=images.pick(np.array([i])), limit=1
        ).statistics
        for i in (lowest, highest)
    ]
    at = session.statistics.layers.index(layer)
    assert alone[0].low[0, at] == session.statistics.low[:, at].min()
    assert alone[1].high[0, at] == session.statistics.high[:, at].max()
    with pytest.raises(UserError, match="evaluation"):
        WhatIf(files[EDGE], "scenes", calibration=open_images("scenes", limit=2), limit=2)


def test_little_room_costs_time_but_no_answer(files, what_if):
    content = what_if.outcome().content
    samples = list(what_if.twins.samples(what_if.images))
    roomy, small = Rerunner(samples), Rerunner(samples, kept_bytes=20_000)
    for file in (files[EDGE].read_bytes(), content):
        a, b = roomy.run(file), small.run(file)
        np.testing.assert_array_equal(a.logits, b.logits)
        assert small.kept_bytes <= 2 * 20_000
    assert b.n_run >= a.n_run


NAMES = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).map(str.strip).filter(bool)
)


@given(
    names=st.lists(NAMES, min_size=1, max_size=6, unique=True),
    formats=st.lists(st.sampled_from(PRECISIONS), min_size=6, max_size=6),
    kinds=st.lists(st.sampled_from(["conv", "depthwise", "add"]), min_size=6, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_a_recipe_says_every_switch_and_is_read_as_it_is_written(names, formats, kinds):
    import fnmatch

    switches = [Switch(layer=name, kind=kind, tensor=name) for name, kind in zip(names, kinds, strict=False)]
    chosen = dict(zip(names, formats, strict=False))
    recipe = parse_recipe(recipe_of(switches, chosen, INT8).text)
    for switch in switches:
        scheme = INT8
        for pattern, rule in recipe.rules:
            of_kind = pattern.startswith("op:") and pattern.removeprefix("op:") == switch.kind
            if (
                pattern == "*"
                or of_kind
                or (not pattern.startswith("op:") and fnmatch.fnmatchcase(switch.layer, pattern))
            ):
                scheme = rule
        alike = [other for other in names if len(other) == len(switch.layer) and other != switch.layer]
        assert scheme is FORMATS[chosen[switch.layer]] or alike  # "?" stands for what a rule cannot hold


class Slow:
    """Stands in for a session whose work can be held up."""

    def __init__(self, what_if):
        self.what_if, self.go, self.begun = what_if, threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self.what_if, name)

    def outcome(self, check):
        self.begun.set()
        while not self.go.wait(0.005):
            check()
        check()
        return self.what_if.outcome(check)


def test_the_newest_flip_wins_and_nothing_waits_for_the_others(fresh, monkeypatch):
    told, slow = [], Slow(fresh)
    monkeypatch.setattr(fresh.times, "missing", list)
    monkeypatch.setattr(fresh.times, "estimate", lambda: 1.0)
    desk = Desk(lambda: slow, told.append)
    first, second = layers(fresh)[2:4]
    desk.ask({"kind": "flip", "layer": first, "scope": "layer", "format": "float32"})
    assert slow.begun.wait(20)
    desk.ask({"kind": "flip", "layer": second, "scope": "layer", "format": "float32"})
    slow.go.set()
    assert desk.wait(60)
    desk.close()
    outcomes = [answer for answer in told if answer["kind"] == "outcome"]
    assert [one["now"]["recipe"] for one in outcomes] == [f"int8; {first}=float32; {second}=float32"]
    assert outcomes[0]["now"]["sqnr_db"] == fresh.outcome().sqnr_db
    assert [one["chosen"][first] for one in told if one["kind"] == "state"] == ["float32", "float32"]


def test_the_desk_answers_in_words_where_something_cannot_be(fresh):
    told = []
    desk = Desk(lambda: fresh, told.append)
    desk.ask({"kind": "recipe", "text": "int8; no_such_layer=float32"})
    assert desk.wait(60)
    desk.close()
    assert [answer["kind"] for answer in told] == ["refused", "state"]
    assert "No layer matches" in told[0]["words"]


def test_the_images_that_set_a_range_are_shown(files):
    images = open_images("scenes", split="calibration", limit=3)
    session = WhatIf(files[EDGE], "scenes", float_model=files[FLOAT], calibration=images, limit=1)
    told = []
    desk = Desk(lambda: session, told.append)
    desk.ask({"kind": "range", "layer": layers(session)[1]})
    assert desk.wait(60)
    desk.close()
    (answer,) = told
    assert [one["end"] for one in answer["images"]] == ["lowest", "highest"]
    assert all(one["thumb"].startswith("data:image/jpeg") for one in answer["images"])
