"""What notebooks 04 and 06 put into a hand: two answers to one picture, changed answers, and a file on a device."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from effnet_lab import board, frames, studies, view
from effnet_lab.evaluate import SideBySide, changed_answers, classify, collect_predictions
from effnet_lab.images import StatedInput, open_images
from effnet_lab.names import UserError

FLOAT, INT8, INT4 = "float32 converter", "static_wi8_ai8 ai_edge_quantizer", "static_wi4_ai8 ai_edge_quantizer"


@pytest.fixture(scope="module")
def deploy(files):
    return studies.Deployments({"int8": files[INT8], "float32": files[FLOAT]})


def device_view(deploy, **chosen) -> view.DeployView:
    return view.DeployView(deploy, deploy.formats, board.boards(), board.ACCELERATORS, **chosen)


def test_both_answers_are_those_of_classify(files):
    images = open_images("scenes", limit=3)
    both = SideBySide([files[FLOAT], files[INT8]], 3)
    for i in range(3):
        answers = both(images.read(i), f"scenes {i}")
        assert answers["rank"].tolist() == [1, 2, 3] * 2
        for scheme, file in (("float32", FLOAT), ("static_wi8_ai8", INT8)):
            alone = classify(images.pick(np.array([i])), files[file], 3)
            ours = answers[answers["scheme"] == scheme]
            assert ours["label"].tolist() == alone["label"].tolist()
            assert ours["score"].tolist() == pytest.approx(alone["score"].tolist())
    assert both.window(images.read(0))[2:] == images.read(0).shape[:2]


def test_the_input_that_is_stated_counts_for_both(files):
    picture = open_images("scenes", limit=1).read(0)
    dark = SideBySide([files[FLOAT], files[INT8]], preprocess=StatedInput(input_range="0..0.001"))
    usual = SideBySide([files[FLOAT], files[INT8]])
    assert dark(picture)["score"].tolist() != usual(picture)["score"].tolist()


def test_changed_answers_are_all_that_differ(files):
    images = open_images("scenes", limit=60)
    first, second = (collect_predictions(files[name], images) for name in (FLOAT, INT8))
    second = collect_predictions(files[INT8], images, preprocess=StatedInput(input_range="0..255"))  # many differ
    changed = changed_answers(first, second)
    differ = np.flatnonzero(first.ranked[:, 0] != second.ranked[:, 0])
    assert 5 < len(changed) == len(differ)
    assert sorted(changed["image_index"]) == differ.tolist()
    for row in changed.itertuples():
        assert row.label == images.classes[images.labels[row.image_index]]
        assert row.predicted == images.classes[first.ranked[row.image_index, 0]] != row.against_predicted
    surest = np.minimum(changed["confidence"], changed["against_confidence"])
    assert surest.is_monotonic_decreasing
    said = view.changed_sentence(changed, 60)
    right = int((changed["predicted"] == changed["label"]).sum())
    assert said.startswith(f"The answer stays the same on {60 - len(differ)} of 60 images.")
    assert f"float alone is right on {right}" in said
    assert view.changed_sentence(changed_answers(first, first), 60) == "The answer stays the same on 60 of 60 images."
    with pytest.raises(UserError, match="same images"):
        changed_answers(first, collect_predictions(files[INT8], images.take(20)))


def test_unlabelled_images_have_answers_by_the_networks_own_names(files):
    images = open_images("scenes", limit=20).unlabelled()
    first = collect_predictions(files[FLOAT], images)
    changed = changed_answers(
        first, collect_predictions(files[INT8], images, preprocess=StatedInput(input_range="0..255"))
    )
    assert set(changed["label"]) == {""}
    assert set(changed["predicted"]) <= set(first.info.classes)


def test_boards_have_room_and_a_source():
    table = board.boards()
    assert (table["board_ram_bytes"] < table["board_flash_bytes"]).all()
    assert table["source"].all()
    assert table.set_index("board").loc["nrf52840", ["board_flash_bytes", "board_ram_bytes"]].tolist() == [2**20, 2**18]


def test_table_figure_and_sentence_count_the_same_ops(deploy):
    widget = device_view(deploy, accelerator="ethos-u55-128")
    found = deploy("int8", "ethos-u55-128")
    on_npu = int((found.layers["runs_on"] == "NPU").sum())
    assert found.ethosu["npu_ops"].item() == on_npu > 0
    bars = next(trace for trace in widget.figures["ethosu"].data if trace.type == "bar")
    assert len(bars.x) == on_npu
    assert bars.name == f"NPU: {on_npu} ops"
    assert f"ethos-u55-128 takes {on_npu} ops" in widget.npu_text.value
    assert deploy("int8", "ethos-u55-128") is found  # compiled once


def test_a_board_is_too_small_or_not(deploy):
    widget = device_view(deploy, accelerator="ethos-u55-128")
    need = deploy("int8", "ethos-u55-128").footprint.iloc[0]
    assert (
        f"static_wi8_ai8 fits on nrf52840 (Cortex-M4F, 64 MHz). It takes {need['flash_bytes'] / 1024:,.0f} of 1,024 KiB"
        in (widget.sentence)
    )
    widget.board.value = "stm32h747"
    assert "fits on stm32h747" in widget.text.value
    tiny = board.boards().assign(board_ram_bytes=1024)
    small = view.DeployView(deploy, deploy.formats, tiny, board.ACCELERATORS, accelerator="ethos-u55-128")
    assert "does not fit: too little RAM on nrf52840" in small.text.value
    (line,) = small.figure.layout.shapes
    assert line.y0 == 1


def test_what_a_device_refuses_is_said(deploy):
    widget = device_view(deploy, format="float32", accelerator="ethos-u55-128")
    assert "takes none of the" in widget.npu_text.value
    widget.format.value = "int8"
    assert "ops of micro0 static_wi8_ai8" in widget.npu_text.value
    with pytest.raises(UserError, match="Did you mean 'pico'"):
        device_view(deploy, board="pica")

    def refuse(format, accelerator):
        empty = {
            name: frames.build(frames.FRAMES[name], [])
            for name in ("footprint", "arena", "high_water", "ethosu", "findings")
        }
        layers = frames.build(frames.ETHOSU_LAYERS, [])
        return studies.Deployment(**empty, layers=layers, no_arena="No op for it.", no_npu="Vela refuses it.")

    refused = view.DeployView(refuse, ["int4"], board.boards(), ["ethos-u55-128"])
    assert "No op for it." in refused.text.value
    assert "Vela refuses it." in refused.figures["ethosu"].layout.annotations[0].text
    assert "nothing to say" in refused.lint.value
    assert refused.sentence == "No op for it. Vela refuses it."


def test_findings_are_said_once_with_their_layers():
    def finding(id, layer, evidence, severity="warning"):
        return {"model": "m", "scheme": "s", "backend": "b", "id": id, "layer": layer, "layer_index": len(layer)} | {
            "severity": severity, "op": "conv", "evidence": evidence, "remedy": f"mend {id}",
        }  # fmt: skip

    rows = [finding("X1", "c" * i, "too slow: by much") for i in range(1, 7)]
    rows += [finding("X2", "a", "too long: 3"), finding("X2", "bb", "too long: 4"), finding("X3", "", "no labels")]
    table = view.findings_by_kind(frames.build(frames.FINDINGS, rows))
    assert table["layers"].tolist() == ["c, cc, ccc, cccc and 2 more", "a, bb", "the file as a whole"]
    assert table["evidence"].tolist() == ["too slow: by much", "too long, for example 3", "no labels"]
    assert table["remedy"].tolist() == ["mend X1", "mend X2", "mend X3"]
    assert table["files"].tolist() == ["s b"] * 3
    assert view.findings_by_kind(pd.DataFrame(columns=[*frames.FINDINGS.columns])).empty


def test_a_finding_of_several_files_stands_once():
    rows = [
        {
            "model": model,
            "scheme": scheme,
            "backend": "b",
            "id": "X1",
            "layer": "a",
            "layer_index": 0,
            "severity": "info",
        }
        | {"op": "conv", "evidence": evidence, "remedy": "mend"}
        for model, scheme, evidence in [
            ("m", "s", "slow"),
            ("m", "t", "slow"),
            ("m", "u", "slower"),
            ("n", "s", "slow"),
        ]
    ]
    one = view.findings_by_kind(frames.build(frames.FINDINGS, rows[:3]))
    assert list(zip(one["evidence"], one["files"], strict=True)) == [("slow", "s b, t b"), ("slower", "u b")]
    two = view.findings_by_kind(frames.build(frames.FINDINGS, rows))
    assert two["files"].tolist() == ["m s b, m t b, n s b", "m u b"]
