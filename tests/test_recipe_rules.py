"""The recipe language on a network of a few layers that exists on paper: which layer gets what, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hand_made import float_graph

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.quantize.recipes import Recipe, as_recipe, keep_worst, parse_recipe
from effnet_lab.quantize.schemes import SCHEMES

GRAPH = float_graph(
    ("conv", "stem_conv", ("image",)),
    ("conv", "blocks_1_expand", ("stem_conv",)),
    ("depthwise", "blocks_1_dwconv", ("blocks_1_expand",)),
    ("conv", "blocks_10_expand", ("blocks_1_dwconv",)),
    ("conv", "block3_project", ("blocks_10_expand",)),
    ("conv", "block2a_expand", ("block3_project",)),
    ("add", "odd[0]", ("block2a_expand", "blocks_10_expand")),
    ("mean", "head_pool", ("odd[0]",)),
    ("dense", "head_dense", ("head_pool",)),
    ("softmax", "block_7", ("head_dense",)),
)


def resolved(text: str) -> dict[str, str]:
    return {name: scheme.format for name, scheme in parse_recipe(text).resolve(GRAPH).items()}


def chosen(pattern: str) -> set[str]:
    return {name for name, scheme in resolved(f"int8; {pattern}=float32").items() if scheme == "float32"}


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [
        ("head_dense", {"head_dense"}),
        ("op:conv", {"stem_conv", "blocks_1_expand", "blocks_10_expand", "block3_project", "block2a_expand"}),
        ("op:depthwise", {"blocks_1_dwconv"}),
        ("*_expand", {"blocks_1_expand", "blocks_10_expand", "block2a_expand"}),
        ("block:1", {"blocks_1_expand", "blocks_1_dwconv"}),  # whole numbers: not block 10
        ("block:10", {"blocks_10_expand"}),
        ("block:3", {"block3_project"}),  # spelled in other ways
        ("block:2", {"block2a_expand"}),
        ("block:7", {"block_7"}),
        ("odd[0]", {"odd[0]"}),  # a name, although it could be read as a pattern
        ("odd[[]0]", {"odd[0]"}),
    ],
)
def test_a_pattern_chooses(pattern, layers):
    assert chosen(pattern) == layers


def test_every_tensor_that_is_computed_gets_a_scheme():
    assert list(resolved("int8")) == [
        "stem_conv", "blocks_1_expand", "blocks_1_dwconv", "blocks_10_expand", "block3_project", "block2a_expand",
        "odd[0]", "head_pool", "head_dense", "block_7",
    ]  # fmt: skip
    assert set(resolved("int8").values()) == {"int8"}


def test_the_last_rule_that_matches_counts():
    assert resolved("int8; op:dense=float32; head_dense=int16x8")["head_dense"] == "int16x8"
    assert resolved("int8; head_dense=int16x8; op:dense=float32")["head_dense"] == "float32"
    assert set(resolved("head_dense=float16; int8").values()) == {"int8"}
    assert resolved("head_dense=int8")["stem_conv"] == "float32"  # what no rule names


def test_the_last_rule_for_all_layers_is_the_base():
    """It takes the place of every rule before it; what they named cannot come to a layer any more."""
    recipe = parse_recipe("int16x8; head_dense=float16; int8; stem_conv=float32; block_7=float32")
    assert recipe.base.format == "int8"
    assert [scheme.format for scheme in recipe.schemes] == ["int8", "float32"]
    assert recipe.selective
    assert set(resolved("int16x8; int8").values()) == {"int8"}


@pytest.mark.parametrize(
    ("text", "base", "schemes", "selective", "calibrated"),
    [
        ("int8", "int8", ["int8"], False, True),
        ("stem_conv=float32; int8", "int8", ["int8"], False, True),
        ("stem_conv=int8", "float32", ["float32", "int8"], True, True),
        ("stem_conv=int8; head_dense=int16x8", "float32", ["float32", "int8", "int16x8"], True, True),
        ("float16; head_dense=dynamic", "float16", ["float16", "dynamic"], True, False),
        ("head_dense=int8; float16", "float16", ["float16"], False, False),
    ],
)
def test_what_a_recipe_can_bring(text, base, schemes, selective, calibrated):
    recipe = parse_recipe(text)
    assert recipe.base.format == base
    assert [scheme.format for scheme in recipe.schemes] == schemes
    assert (recipe.selective, recipe.calibrated) == (selective, calibrated)


def test_a_scheme_is_a_recipe_for_all_layers():
    recipe = as_recipe(SCHEMES["static_wi8_ai8"])
    assert (recipe.text, recipe.name, recipe.selective) == ("int8", "static_wi8_ai8", False)
    assert as_recipe(recipe) is recipe


def test_text_is_read_back(tmp_path):
    recipe = parse_recipe("int8; op:dense = float32 ;block:1=int16x8;")
    assert recipe.text == "int8; op:dense=float32; block:1=int16x8"
    assert parse_recipe(recipe.text) == recipe
    file = tmp_path / "recipe.txt"
    file.write_text("int8  # for all\nop:dense=float32\n\n# the widest block\nblock:1=int16x8\n", encoding="utf-8")
    assert parse_recipe(file) == parse_recipe(str(file)) == recipe
    assert parse_recipe("a=b=int8").rules[0][0] == "a=b"  # the last sign of equality parts a rule


def test_a_name_with_a_dot_that_is_no_file_is_a_rule():
    assert parse_recipe("layer.1=int8").rules[0][0] == "layer.1"


def test_names_tell_recipes_apart():
    one, other = (parse_recipe(f"int8; {layer}=float32").name for layer in ("head_dense", "stem_conv"))
    assert one != other
    base, word, digits = one.rpartition("_mixed_")
    assert (base, word, len(digits)) == ("static_wi8_ai8", "_mixed_", 6)
    int(digits, 16)
    assert parse_recipe("stem_conv=int8; float16").name == "float16"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8; blocks_1_expnd=float32", "'blocks_1_expnd'. Did you mean 'blocks_1_expand'\\?$"),
        ("int8; op:dens=float32", r"Did you mean 'op:dense'\? Kinds: add, conv, dense, depthwise, mean, softmax\.$"),
        ("int8; block:99=float32", "'block:99'. The blocks are 1 to 10."),
        ("int8; other:dense=float32", "'other:dense'. Did you mean"),
        ("int8; nothing_*=float32", r"'nothing_\*'"),
    ],
)
def test_a_pattern_without_a_layer_names_the_nearest(text, message):
    with pytest.raises(UserError, match=message):
        parse_recipe(text).resolve(GRAPH)


def test_a_file_without_numbered_blocks_says_so():
    with pytest.raises(UserError, match="The blocks are not numbered in this file"):
        parse_recipe("int8; block:1=float32").resolve(float_graph(("conv", "stem", ("image",))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a rule"),
        (" ; ", "needs a rule"),
        ("int88", "Did you mean 'int8'"),
        ("=float32", "no pattern before"),
    ],
)
def test_what_is_no_recipe(text, message):
    with pytest.raises(UserError, match=message):
        parse_recipe(text)
    with pytest.raises(UserError, match="needs a rule"):
        Recipe(rules=())


# --- which tool can write it


@pytest.mark.parametrize(
    "text",
    [
        "int8; op:dense=float32",  # what it can mix: float layers in an int8 network
        "int8", "int16x8", "float16", "float32", "stem_conv=int16x8; dynamic",
        "int8-per-tensor; head_dense=float32",
    ],
)  # fmt: skip
def test_what_the_converter_writes(text):
    parse_recipe(text).require_backend("converter")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("int8; op:dense=int16x8", "static_wi8_ai16"),
        ("int16x8; op:dense=float32", "static_wi8_ai16"),
        ("dynamic; op:dense=float32", "dynamic_wi8_afp32"),
        ("float16; op:dense=float32", "float16"),
        ("int4; op:dense=float32", "static_wi4_ai8"),
        ("op:dense=int8", "float32"),
    ],
)
def test_what_the_converter_cannot_mix(text, named):
    with pytest.raises(
        UserError, match=rf"converter can only keep layers in float32.* Got {named} .*Use: ai_edge_quantizer"
    ):
        parse_recipe(text).require_backend("converter")
    parse_recipe(text).require_backend("ai_edge_quantizer")


def test_what_no_whole_file_can_be():
    with pytest.raises(UserError, match="ai_edge_quantizer cannot write float32"):
        parse_recipe("float32").require_backend("ai_edge_quantizer")
    parse_recipe("float32; head_dense=int8").require_backend("ai_edge_quantizer")  # but parts of one
    with pytest.raises(UserError, match="converter cannot write static_wi4_ai8"):
        parse_recipe("int4").require_backend("converter")
    for text in ("int8", "int8; head_dense=float32"):
        with pytest.raises(UserError, match="Did you mean 'converter'"):
            parse_recipe(text).require_backend("convertor")


# --- the worst layers


def errors(values: dict[str, float], column: str = "sqnr_local_db") -> pd.DataFrame:
    rows = [
        {"model": "m", "scheme": "s", "backend": "b", "layer_index": i, "layer": layer, column: value}
        for i, (layer, value) in enumerate(values.items())
    ]
    return frames.build(frames.LAYER_ERROR, rows)


def test_the_worst_are_kept_the_worst_first():
    table = errors({"a": 30.0, "b": 10.0, "c": 20.0, "d[0]": -np.inf, "e": np.nan})
    assert keep_worst(table, 2, keep="int16x8").text == "int8; d[[]0]=int16x8; b=int16x8"
    assert keep_worst(table, 4).text == "int8; d[[]0]=float32; b=float32; c=float32; a=float32"
    assert keep_worst(table, 1, base="int16x8").text == "int16x8; d[[]0]=float32"


def test_equals_are_kept_in_forward_order():
    table = errors({"a": 30.0, "b": 10.0, "c": 10.0})
    assert keep_worst(table.iloc[::-1], 1).text == "int8; b=float32"


def test_the_most_telling_measure_is_ranked_by():
    table = errors({"a": 1.0, "b": 2.0}, "sqnr_accumulated_db")
    assert keep_worst(table, 1).text == "int8; a=float32"
    table["sqnr_local_db"] = [5.0, 4.0]
    assert keep_worst(table, 1).text == "int8; b=float32"
    table["sqnr_effect_db"] = [3.0, np.nan]
    assert keep_worst(table, 1).text == "int8; a=float32"
    assert keep_worst(table, 1, by="sqnr_local_db").text == "int8; b=float32"


def test_what_cannot_be_ranked():
    table = errors({"a": 30.0, "b": 10.0, "e": np.nan})
    for k in (0, 3):
        with pytest.raises(UserError, match=f"k must be 1 to 2, the layers with a measured sqnr_local_db. Got {k}"):
            keep_worst(table, k)
    with pytest.raises(UserError, match="k must be 1 to 0, the layers with a measured sqnr_effect_db"):
        keep_worst(errors({"a": np.nan}), 1)
    with pytest.raises(UserError, match="Did you mean 'sqnr_local_db'"):
        keep_worst(table, 1, by="sqnr_locl_db")
    with pytest.raises(UserError, match="of one file"):
        keep_worst(pd.concat([table, table.assign(model="other")]), 1)
