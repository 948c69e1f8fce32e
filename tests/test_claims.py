"""The ledger settles what publications dispute, and cannot be talked into agreement."""

from __future__ import annotations

import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.scaling import published
from effnet_lab.studies.claims import claims_ledger, measure_claims
from effnet_lab.studies.claims.ledger import _judge
from effnet_lab.studies.claims.recounts import RECOUNTS, Claim


@pytest.fixture(scope="module")
def ledger():
    return claims_ledger()


def row(ledger, model, quantity, source):
    rows = ledger[(ledger["model"] == model) & (ledger["quantity"] == quantity)]
    return rows[rows["source"].str.startswith(source)].iloc[0]


def test_every_published_number_has_a_verdict(ledger):
    frames.require(ledger, frames.CLAIMS, caller="test")
    assert len(ledger) == len(published())
    known = {
        "reproduced", "within our tolerance", "copied", "confirmed elsewhere", "explained difference", "contradicted",
        "not checkable here",
    }  # fmt: skip
    assert set(ledger["verdict"]) == known
    silent = ledger[(ledger["verdict"] != "reproduced") & (ledger["explanation"].str.len() < 20)]
    assert silent.empty
    explained = ledger.loc[ledger["explanation"] != "", "explanation"]
    assert explained[~explained.str.match(r"[A-Z\d].*\.$")].tolist() == []  # notebook 07 puts the source behind it
    recounted = ledger["verdict"].isin(known - {"not checkable here"})
    assert ledger.loc[recounted, "ours"].notna().all()


def test_reproduced_is_what_we_counted_anew_within_the_rounding_of_the_publication(ledger):
    rows = ledger[ledger["verdict"] == "reproduced"].merge(published(), on=["model", "quantity", "source", "value"])
    assert len(rows) >= 8
    assert ((rows["ours"] - rows["value"]).abs() <= rows["rounded_to"] * 0.501).all()
    assert not rows["rule"].str.contains("original code|the number of").any()


def test_what_was_taken_over_or_allowed_is_called_that(ledger):
    allowed = ledger[ledger["verdict"] == "within our tolerance"]
    assert allowed["explanation"].str.contains(r"comes within [\d.]+%; we allow [\d.]+%").all()
    assert row(ledger, "lite0", "top1_int8", "NXP")["verdict"] == "copied"
    assert row(ledger, "lite0", "top1_float32", "an independent")["verdict"] == "confirmed elsewhere"
    assert row(ledger, "lite0", "file_bytes", "timm")["verdict"] == "within our tolerance"


@pytest.mark.parametrize(
    ("model", "quantity", "kib", "verdict"),
    [
        ("st_lc_v1_224", "ram_total_bytes", 377, "contradicted"),
        ("st_lc_v1_128", "ram_total_bytes", 243, "contradicted"),
        ("st_lc_v1_224", "flash_total_bytes", 688, "reproduced"),
    ],
)
def test_a_total_that_is_not_the_sum_of_its_parts_is_flagged(ledger, model, quantity, kib, verdict):
    found = row(ledger, model, quantity, "STM")
    assert (found["ours"], found["verdict"]) == (kib * 1024, verdict)
    assert ("not the sum of its parts" in found["explanation"]) == (verdict == "contradicted")


@pytest.mark.parametrize(
    ("model", "quantity", "source", "verdict", "words"),
    [
        ("lite0", "madds", "tensorflow/tpu", "explained difference", "385,187,552. .*3 per convolution output.* 0.39%"),
        ("lite4", "madds", "tensorflow/tpu", "explained difference", "gives it"),
        ("lite0", "flops", "timm", "contradicted", "No rule gives it.*385,187,552"),
        ("lite3", "resolution_px", "tensorflow/tpu", "copied", "original code"),
        ("lite3", "resolution_px", "timm", "explained difference", "EfficientNet-B3"),
        ("lite4", "resolution_px", "TF Hub", "explained difference", "EfficientNet-B3 and B4"),
        ("lite4", "top1_int8", "TensorFlow blog", "explained difference", "80.40% and 80.20%"),
        ("lite0", "top1_float32", "timm", "explained difference", "74.83% and 75.10%.*holds the second"),
        ("lite0", "operations", "NXP", "explained difference", "twice the 407 M"),
        ("lite0", "label_offset", "NXP", "contradicted", "no background class"),
        ("lite0", "latency_ms_int8_cpu", "tensorflow/tpu", "not checkable here", "bench --adb"),
    ],
)
def test_what_is_disputed(ledger, model, quantity, source, verdict, words):
    found = row(ledger, model, quantity, source)
    assert found["verdict"] == verdict
    assert pd.Series([found["explanation"]]).str.contains(words).item()


def test_lite3_at_280_px_gives_the_published_madds_and_at_300_does_not():
    claim = Claim(model="lite3", quantity="madds", source="x", value=1.44e9, rounded_to=1e7, conditions="")
    at_300 = Claim(model="lite3", quantity="madds", source="x", value=1.44e9, rounded_to=1e7, conditions="300 px")
    assert _judge(claim, RECOUNTS["madds"])["verdict"] == "explained difference"
    assert _judge(at_300, RECOUNTS["madds"])["verdict"] == "contradicted"


@pytest.mark.parametrize(
    ("value", "verdict"), [(4_652_008, "reproduced"), (4_652_009, "contradicted"), (4.7e6, "contradicted")]
)
def test_a_wrong_number_is_not_reproduced(value, verdict):
    claim = Claim(model="lite0", quantity="params", source="x", value=value, rounded_to=1, conditions="")
    assert _judge(claim, RECOUNTS["params"])["verdict"] == verdict


def test_an_arena_decides(ledger):
    """Within 3 % of the published one, or not."""
    claimed = row(ledger, "st_lc_v1_224", "activation_bytes", "STM")
    assert claimed["verdict"] == "not checkable here"
    for value, verdict in ((1.0, "reproduced"), (1.02, "within our tolerance"), (1.05, "contradicted")):
        arena = {
            "model": "st_lc_v1_224",
            "quantity": "activation_bytes",
            "rule": "arena",
            "tolerance": 0.03,
            "because": "",
        }
        measured = frames.build(frames.MEASURED, [arena | {"value": value * claimed["value"]}])
        again = row(claims_ledger(measured), "st_lc_v1_224", "activation_bytes", "STM")
        assert again["verdict"] == verdict


def test_what_st_published():
    """517,540 "parameters" are bytes; RAM within 3 %; the older tool's RAM is another planner's."""
    ledger = claims_ledger(measure_claims(["st_lc_v1_128"]))
    params = row(ledger, "st_lc_v1_128", "params", "STM")
    assert (params["ours"], params["verdict"]) == (517_540, "explained difference")
    assert "flash of the int8 file" in params["explanation"]
    assert row(ledger, "st_lc_v1_128", "flash_bytes", "STM")["verdict"] == "reproduced"
    assert row(ledger, "st_lc_v1_128", "madds", "STM")["verdict"] == "explained difference"
    arena = row(ledger, "st_lc_v1_128", "activation_bytes", "STM")
    assert arena["verdict"] == "within our tolerance"
    assert arena["ours"] == pytest.approx(129.17 * 1024, rel=0.03)


def test_accuracies_of_734_images_are_whole_numbers_of_them(ledger):
    rows = ledger[ledger["rule"].str.startswith("a whole number")]
    assert len(rows) == 8
    assert (rows["verdict"] == "not checkable here").all()
    assert (rows["ours"] * 734 % 1).sub(0.5).abs().min() > 0.499
