"""Vela's reports, read and joined to the layers."""

from __future__ import annotations

import pytest

from effnet_lab import view
from effnet_lab.board import ACCELERATORS, ethosu
from effnet_lab.litert.flatbuffer import IDENTIFIER
from effnet_lab.names import UserError

INT8 = "static_wi8_ai8 ai_edge_quantizer"


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_int8_runs_on_the_npu_whole(files, accelerator, tmp_path):
    compiled = ethosu(files[INT8], accelerator, out=tmp_path / "npu.tflite")
    row, layers = compiled.table.iloc[0], compiled.layers
    assert row["cpu_ops"] == 0 < row["npu_ops"]
    assert row["npu_ops"] == (layers["runs_on"] == "NPU").sum()  # what a figure of the layers shows
    assert layers["estimated_ms"].sum() == pytest.approx(row["inference_ms"], rel=1e-6)
    assert layers["cycles"].sum() == row["cycles"]
    assert compiled.fallbacks == ()
    assert (tmp_path / "npu.tflite").read_bytes()[4:8] == IDENTIFIER


@pytest.mark.real
def test_real_lite0_on_the_npu_of_the_imx93(shared):
    row = ethosu(shared / "fixtures/litert/flowers_lite0_int8.tflite").table.iloc[0]
    assert row["cpu_ops"] == 0
    assert row["madds"] == pytest.approx(384.1e6, rel=1e-3)  # five classes; 385.25 M with a thousand
    assert row["inference_ms"] == pytest.approx(5.8, rel=0.05)
    assert row["sram_used_bytes"] <= 384 * 1024


def test_float_stays_on_the_cpu_and_every_op_says_why(files):
    compiled = ethosu(files["float32 converter"])
    assert (compiled.table["npu_ops"].item(), compiled.table["inference_ms"].isna().item()) == (0, True)
    left = compiled.layers[compiled.layers["runs_on"] == "CPU"]
    assert len(left) == compiled.table["cpu_ops"].item() == 32
    assert left["reason"].str.contains("unsupported DataType Float32").all()
    (said,) = compiled.fallbacks  # one reason is said once
    assert said.startswith(
        "conv of the layer 'stem_conv' and 31 more run on the CPU: Operation has tensor with unsupported"
    )
    assert "stem_conv_act" not in said
    assert len(view.plot_ethosu(compiled.layers).data[1].x) == 32


def test_crash_of_the_compiler_is_one_line(files, tmp_path):
    with pytest.raises(UserError, match=r"Vela was ended by SIGFPE.*4 bits"):
        ethosu(files["static_wi4_ai8 ai_edge_quantizer"], out=tmp_path / "x.tflite")
    assert not list(tmp_path.iterdir())


def test_names_are_checked_before_anything_runs(files):
    with pytest.raises(UserError, match="Did you mean 'ethos-u65-256'"):
        ethosu(files[INT8], "ethos-u65-265")
    with pytest.raises(UserError, match="memory mode"):
        ethosu(files[INT8], "ethos-u55-128", memory_mode="Dedicated_Sram_384KB")
