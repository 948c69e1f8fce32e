"""The recipe language: patterns, order, refusals; and what both back ends make of it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, read_graph, read_info
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.models import load_model
from effnet_lab.names import UserError
from effnet_lab.quantize import get_scheme, keep_worst, parse_recipe, requantize, targets, write_files
from effnet_lab.quantize.carried_out import remarks
from effnet_lab.quantize.ranges import Ranging
from effnet_lab.scaling import get_spec
from effnet_lab.scaling.layers import layers as layers_of

BOTH = ("converter", "ai_edge_quantizer")


@pytest.fixture(scope="module")
def graph(files):
    return read_graph(files["float32 converter"])


@pytest.fixture(scope="module")
def ranges(files):
    path = files["float32 converter"]
    images = open_images("scenes", split="calibration", limit=40)
    return Ranging(images=images).measure(path.read_bytes(), read_info(path).preprocess).ranges("minmax")


def resolved(text: str, graph) -> dict[str, str]:
    names = layer_names(graph)
    return {names[tensor]: scheme.format for tensor, scheme in parse_recipe(text).resolve(graph).items()}


def test_names_are_those_of_the_specification(graph):
    expected = [layer.name for layer in layers_of(get_spec("micro0"), classes=10)]
    assert [name for name in resolved("int8", graph) if name in expected] == [
        name for name in expected if name in resolved("int8", graph)
    ]
    assert len(set(expected) & resolved("int8", graph).keys()) >= 0.9 * len(expected)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("head_dense", {"head_dense"}),
        ("op:add", {"blocks_0_add"}),
        ("*_expand", {"blocks_1_expand", "blocks_2_expand"}),
        ("block:0", {"blocks_0_dwconv", "blocks_0_project", "blocks_0_add"}),
    ],
)
def test_patterns(pattern, expected, graph):
    found = {layer for layer, scheme in resolved(f"int8; {pattern}=float32", graph).items() if scheme == "float32"}
    assert expected <= found
    kinds = {layer: graph.produced[tensor].kind for tensor, layer in layer_names(graph).items()}
    for layer in found - expected:
        assert (pattern == "op:add" and kinds[layer] == "add") or (pattern == "*_expand" and layer.endswith("_expand"))


def test_block_numbers_are_whole(files):
    """block:1 is not block 10."""
    from effnet_lab.quantize.recipes import _matches

    assert _matches("block:1", "blocks_1_expand", "conv")
    assert _matches("block:1", "blocks_1/Relu6", "conv")
    assert not _matches("block:1", "blocks_10_expand", "conv")
    assert not _matches("block:1", "blocks_11/Relu6", "conv")


def test_the_last_rule_that_matches_counts(graph):
    assert resolved("int8; op:dense=float32; head_dense=int16x8", graph)["head_dense"] == "int16x8"
    assert resolved("int8; head_dense=int16x8; op:dense=float32", graph)["head_dense"] == "float32"
    assert set(resolved("head_dense=float16; int8", graph).values()) == {"int8"}
    assert resolved("head_dense=int8", graph)["stem_conv"] == "float32"  # what no rule names


def test_text_is_read_back(tmp_path):
    recipe = parse_recipe("int8; op:dense = float32 ;block:0=int16x8;")
    assert recipe.text == "int8; op:dense=float32; block:0=int16x8"
    assert parse_recipe(recipe.text) == recipe
    file = tmp_path / "recipe.txt"
    file.write_text("int8  # for all\nop:dense=float32\n\n# the first block is the widest\nblock:0=int16x8\n")
    assert parse_recipe(file) == parse_recipe(str(file)) == recipe


def test_names_tell_recipes_apart():
    one, other = (parse_recipe(f"int8; {layer}=float32") for layer in ("head_dense", "stem_conv"))
    assert one.name != other.name
    assert one.name.startswith("static_wi8_ai8_mixed_")
    assert parse_recipe("int8").name == "static_wi8_ai8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8; blocks_1_expnd=float32", "Did you mean 'blocks_1_expand'"),
        ("int8; op:dens=float32", "Did you mean 'op:dense'"),
        ("int8; block:99=float32", r"blocks are 0 to \d"),
        ("int8; nothing_*=float32", "No layer matches 'nothing_\\*'"),
    ],
)
def test_a_pattern_without_a_layer_names_the_nearest(text, message, graph):
    with pytest.raises(UserError, match=message):
        parse_recipe(text).resolve(graph)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "needs a rule"), ("int88", "Did you mean 'int8'"), ("=float32", "no pattern before")],
)
def test_what_is_no_recipe(text, message):
    with pytest.raises(UserError, match=message):
        parse_recipe(text)


@pytest.mark.parametrize("text", ["int8; op:dense=int16x8", "int16x8; op:dense=float32", "float16; op:dense=float32"])
def test_what_the_converter_cannot_mix_is_said_first(text, tmp_path):
    with pytest.raises(UserError, match=r"can only keep layers in float32.*Use: ai_edge_quantizer"):
        targets([parse_recipe(text)], ["converter"])
    with pytest.raises(UserError, match="can only keep layers in float32"):
        targets([parse_recipe(text)], BOTH)  # it was named: not left out without a word
    (target,) = targets([parse_recipe(text)], "all")
    assert target[1] == "ai_edge_quantizer"


def errors(values: dict[str, float], column: str = "sqnr_local_db") -> pd.DataFrame:
    rows = [
        {"model": "m", "scheme": "s", "backend": "b", "layer_index": i, "layer": layer, column: value}
        for i, (layer, value) in enumerate(values.items())
    ]
    return frames.build(frames.LAYER_ERROR, rows)


def test_the_worst_rows_are_kept():
    table = errors({"a": 30.0, "b": 10.0, "c": 20.0, "d[0]": -np.inf, "e": np.nan})
    recipe = keep_worst(table, 2, keep="int16x8")
    assert recipe.text == "int8; d[[]0]=int16x8; b=int16x8"
    accumulated = errors({"a": 1.0, "b": 2.0}, "sqnr_accumulated_db")
    assert keep_worst(accumulated, 1).text == "int8; a=float32"
    with pytest.raises(UserError, match="k must be 1 to 4"):
        keep_worst(table, 5)
    with pytest.raises(UserError, match="of one file"):
        keep_worst(pd.concat([table, table.assign(model="other")]), 1)


def output_types(path, wanted) -> dict[str, str]:
    graph = read_graph(path)
    names = layer_names(graph)
    return {
        names[tensor]: graph.tensors[op.outputs[0]].dtype.name
        for tensor, op in graph.produced.items()
        if names.get(tensor) in wanted
    }


def test_both_back_ends_keep_the_same_layers_in_float(tmp_path):
    recipe = parse_recipe("int8; op:dense=float32; blocks_1_expand=float32")
    calibration = open_images("scenes", split="calibration", limit=40)
    paths = write_files(load_model("micro0"), targets([recipe], BOTH), tmp_path, calibration=calibration)
    for path in paths:
        types = output_types(path, {"head_dense", "blocks_1_expand", "blocks_1_dwconv", "stem_conv"})
        assert types == {
            "stem_conv": "int8", "blocks_1_expand": "float32", "blocks_1_dwconv": "int8", "head_dense": "float32",
        }  # fmt: skip
        assert read_info(path).recipe == recipe.text
        assert Runner(path).input.dtype.name == "int8"


@pytest.mark.parametrize(
    ("scheme", "activation", "weights"),
    [("float32", "float32", "float32"), ("float16", "float32", "float16"), ("int16x8", "int16", "int8")],
)
def test_selective_precisions(scheme, activation, weights, files, ranges):
    content = requantize(
        files["float32 converter"].read_bytes(), parse_recipe(f"int8; blocks_1_expand={scheme}"), ranges
    )
    graph = read_graph(content)
    names = layer_names(graph)
    op = next(op for tensor, op in graph.produced.items() if names.get(tensor) == "blocks_1_expand")
    assert graph.tensors[op.outputs[0]].dtype.name == activation
    assert graph.stored_weights(op).dtype.name == weights
    others = [op for tensor, op in graph.produced.items() if names.get(tensor, "blocks_1_expand") != "blocks_1_expand"]
    assert {graph.tensors[op.outputs[0]].dtype.name for op in others} == {"int8"}
    batch = next(open_images("scenes", limit=32).batches(read_info(files["float32 converter"]).preprocess))[0]
    same = Runner(content).predict(batch).argmax(1) == Runner(files["float32 converter"]).predict(batch).argmax(1)
    assert same.mean() >= 0.9


def test_ranges_have_to_be_there_and_finite(files, ranges):
    content, recipe = files["float32 converter"].read_bytes(), parse_recipe("int8")
    missing = dict(list(ranges.items())[:-1])
    with pytest.raises(UserError, match="There is no calibration range for"):
        requantize(content, recipe, missing)
    with pytest.raises(UserError, match="not finite"):
        requantize(content, recipe, dict.fromkeys(ranges, (0.0, float("nan"))))


def test_a_layer_that_never_fires_does_not_break_the_file(files, ranges):
    """A range of nothing would make a scale, and so a multiplier, that XNNPACK refuses at the first run."""
    dead = {name: (0.0, 0.0) if "blocks_1_expand" in name else ends for name, ends in ranges.items()}
    runner = Runner(requantize(files["float32 converter"].read_bytes(), parse_recipe("int8"), dead))
    assert np.isfinite(runner.predict(np.zeros((1, 32, 32, 3), np.float32))).all()


# --- what a back end does not do


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8; op:depthwise=int4", r"cannot do 'op:depthwise=int4' in this network: (\d+) of \1 layers stay int8"),
        ("op:depthwise=weight-int4", r"cannot do 'op:depthwise=weight-int4'"),
    ],
)
def test_a_rule_that_is_not_carried_out_is_refused(text, message, files, graph, ranges):
    recipe = parse_recipe(text)
    content = requantize(files["float32 converter"].read_bytes(), recipe, ranges)
    with pytest.raises(UserError, match=message):
        remarks(recipe, "ai_edge_quantizer", graph, read_graph(content))


def test_a_rule_that_holds_for_some_layers_is_said(files, graph, ranges):
    for text, kept in (("int4", "depthwise"), ("int8; op:conv=float32", None), ("float32; op:conv=int8", None)):
        recipe = parse_recipe(text)
        content = requantize(files["float32 converter"].read_bytes(), recipe, ranges)
        said = remarks(recipe, "ai_edge_quantizer", graph, read_graph(content))
        assert len(said) == (kept is not None), said
        assert kept is None or re.search(r"int4: \d+ of \d+ layers stay int8: .*dwconv", said[0])


def test_the_base_is_the_last_rule_for_all_layers():
    assert parse_recipe("int8; int16x8; op:dense=float32").base.format == "int16x8"
    assert parse_recipe("int8; op:dense=float32; int16x8").schemes == (get_scheme("int16x8"),)
