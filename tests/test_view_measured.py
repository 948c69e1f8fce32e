"""Figures of what was measured, drawn from the frames of a real file: titles, units, hover, and what is drawn."""

from __future__ import annotations

import pandas as pd
import pytest

from effnet_lab import view
from effnet_lab.analysis import layer_error, verdicts
from effnet_lab.analysis.repair import channel_ranges
from effnet_lab.bench import measure_latency, profile
from effnet_lab.board import delegates, ethosu, footprint, measure_memory
from effnet_lab.evaluate import accuracy, collect_predictions, compare_predictions, confusion, reliability
from effnet_lab.images import open_images
from effnet_lab.names import UserError
from effnet_lab.studies import claims_ledger, repair_gain

FLOAT, INT8 = "float32 converter", "static_wi8_ai8 converter"


@pytest.fixture(scope="module")
def frames_of(files):
    """Every frame that these figures take, of micro0."""
    images = open_images("scenes", limit=40)
    paths = [files[FLOAT], files[INT8]]
    answers = [collect_predictions(path, images) for path in paths]
    errors = layer_error(
        files[INT8], images.take(4), float_model=files[FLOAT], notions=("accumulated", "local", "effect")
    ).table
    judged = verdicts(files[INT8], images.take(4), float_model=files[FLOAT])
    return {
        "answers": answers, "errors": errors, "verdicts": judged.table, "evidence": judged.evidence,
        "accuracy": pd.concat([accuracy(each) for each in answers], ignore_index=True),
        "latency": measure_latency(paths, n_runs=3), "profile": profile(files[INT8], 2).table, "claims": claims_ledger(),
        "memory": pd.concat([measure_memory(path) for path in paths], ignore_index=True),
        "delegation": pd.concat([delegates(path) for path in paths], ignore_index=True),
        "arena": footprint(files[INT8]).arena, "high_water": footprint(files[INT8]).high_water, "npu": ethosu(files[INT8]).layers,
        "confusion": confusion(answers[1]), "reliability": reliability(answers[1]),
        "repair": repair_gain({"float": answers[0], "none": answers[1], "equalize": answers[1]}),
        "channels": channel_ranges(files[FLOAT].read_bytes(), model="micro0", steps="none"),
    }  # fmt: skip


MEASURED = {  # every figure, and how it is called
    "plot_arena": lambda f: view.plot_arena(f["arena"], f["high_water"]),
    "plot_channel_ranges": lambda f: view.plot_channel_ranges(f["channels"]),
    "plot_claims": lambda f: view.plot_claims(f["claims"]),
    "plot_confusion": lambda f: view.plot_confusion(f["confusion"]),
    "plot_delegates": lambda f: view.plot_delegates(f["delegation"]),
    "plot_ethosu": lambda f: view.plot_ethosu(f["npu"]),
    "plot_evidence": lambda f: view.plot_evidence(f["evidence"], f["verdicts"], "stem_conv"),
    "plot_formats": lambda f: view.plot_formats(f["accuracy"], f["latency"], f["memory"]),
    "plot_notions": lambda f: view.plot_notions(f["errors"]),
    "plot_profile": lambda f: view.plot_profile(f["profile"]),
    "plot_reliability": lambda f: view.plot_reliability(f["reliability"]),
    "plot_repair": lambda f: view.plot_repair(f["repair"]),
    "plot_verdicts": lambda f: view.plot_verdicts(f["verdicts"]),
}


@pytest.mark.parametrize("name", MEASURED)
def test_figure_has_titles_units_and_hover(name, frames_of):
    figure = MEASURED[name](frames_of)
    assert figure.layout.title.text
    assert figure.layout.xaxis.title.text
    assert figure.layout.height
    assert figure.layout.width is None
    assert any(t.hovertemplate for t in figure.data)


def test_every_image_is_in_the_confusion_matrix(frames_of):
    (heat,) = MEASURED["plot_confusion"](frames_of).data
    assert heat.customdata.sum() == 40
    assert heat.z.sum(axis=1) == pytest.approx(1.0)


def test_what_the_delegate_leaves_is_open(frames_of):
    figure = MEASURED["plot_delegates"](frames_of)
    marks = {t.name: (len(t.x), t.marker.symbol) for t in figure.data}
    table = frames_of["delegation"]
    taken = int((table["delegate"] == "XNNPACK").sum())
    assert marks[f"XNNPACK ({taken})"] == (taken, "square")
    left = len(table) - taken
    assert marks[f"the interpreter's own kernel ({left})"] == (left, "square-open")


def test_the_profile_draws_every_operator_once(frames_of):
    figure = MEASURED["plot_profile"](frames_of)
    assert sorted(x for t in figure.data for x in t.x) == frames_of["profile"]["run_index"].tolist()


def test_formats_are_in_the_order_of_their_files(frames_of):
    figure = MEASURED["plot_formats"](frames_of)
    assert list(figure.data[0].y)[-1] == "float32<br>converter"  # the first file stands on top
    assert [axis.title.text.split(" (")[0] for axis in (figure.layout.xaxis, figure.layout.xaxis2)] == [
        "top-1 accuracy", "file size",
    ]  # fmt: skip


def test_claims_are_drawn_where_there_is_a_number_of_ours(frames_of):
    drawn = sum(len(t.x) for t in MEASURED["plot_claims"](frames_of).data)
    ledger = frames_of["claims"]
    assert (
        drawn == ((ledger["ours"].notna()) & (ledger["value"] > 0) & (ledger["verdict"] != "not checkable here")).sum()
    )


def test_one_file_per_figure(frames_of):
    two = pd.concat([frames_of["profile"], frames_of["profile"].assign(backend="other")], ignore_index=True)
    with pytest.raises(UserError, match=r"draws one file\. Got 2"):
        view.plot_profile(two)


def test_comparisons_name_their_files(frames_of):
    row = compare_predictions(*reversed(frames_of["answers"])).iloc[0]
    assert (row["scheme"], row["against"]) == ("static_wi8_ai8", "micro0 float32 converter")
