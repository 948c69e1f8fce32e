"""Verdicts: each fault by hand on a few numbers, then planted in networks and found, and nothing else; healthy ones."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plant
import pytest

from effnet_lab import cli, frames
from effnet_lab.analysis import verdicts
from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts import closing, faults
from effnet_lab.analysis.verdicts.assign import examine_all, severity
from effnet_lab.analysis.verdicts.evidence import CodeGrid, Evidence
from effnet_lab.images import open_images
from effnet_lab.litert import read_graph
from effnet_lab.models import LoadedModel, build_model, load_model
from effnet_lab.names import UserError
from effnet_lab.quantize import targets, write_files
from effnet_lab.scaling import get_spec
from effnet_lab.view import plot_evidence, plot_verdicts

NETWORKS = ("micro0", "micro1", "micro2")
PER_FAULT = 2  # places per fault and network
FIRST = "stem_conv"
INT8, FLOAT = "static_wi8_ai8 ai_edge_quantizer", "float32 converter"


def judge(patient: plant.Patient, images) -> pd.DataFrame:
    return verdicts(patient.quantized, images, float_model=patient.float_model).table


@pytest.fixture(scope="module")
def scenes():
    return open_images("scenes", split="evaluation", limit=16)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> dict[str, plant.Healthy]:
    calibration, folder = open_images("scenes", split="calibration", limit=48), tmp_path_factory.mktemp("float")
    wanted = targets(["float32"], ["converter"])
    shown = open_images("scenes", split="evaluation", limit=16)
    return {
        name: plant.Healthy(write_files(load_model(name), wanted, folder)[0], calibration, shown) for name in NETWORKS
    }


@pytest.fixture(scope="module")
def trials(healthy, scenes, tmp_path_factory) -> list[tuple[plant.Patient, pd.DataFrame]]:
    """Every fault in a few places of every network, with what was said; faults of rarer kinds in the smallest one."""
    folder, rng, planted = tmp_path_factory.mktemp("planted"), np.random.default_rng(7), []
    for network in healthy.values():
        places, layers = plant.places(network), network.kinds("conv", "depthwise", "dense")
        for fault, where in places.items():
            planted += [fault(network, str(layer), folder, rng) for layer in rng.permutation(where)[:PER_FAULT]]
        for spoil in plant.DEFECTS:  # one in the first layer, one anywhere
            planted += [spoil(network, str(layer), folder, rng) for layer in (FIRST, rng.choice(layers[1:]))]
        if network is healthy[NETWORKS[0]]:
            values = (plant.clipped, plant.wasted_range, plant.outlier_kernel, plant.dead)
            planted += [fault(network, FIRST, folder, rng) for fault in values]
            for spoil in plant.MORE_DEFECTS:
                planted += [spoil(network, str(layer), folder, rng) for layer in (FIRST, rng.choice(layers[1:]))]
            planted += [plant.stuck_output(network, str(rng.choice(places[plant.unlike_residual])), folder, rng)]
            planted += [plant.rare_image(network, layer, folder, rng) for layer in places[plant.outlier_channel]]
    return [(patient, judge(patient, scenes)) for patient in planted]


def test_nine_of_ten_planted_faults_are_named(trials):
    named = [t.set_index("layer").loc[p.layer, "verdict"] == p.fault for p, t in trials]
    assert len(named) >= 80
    assert {patient.fault for patient, _ in trials} == set(frames.VERDICT_NAMES) - {"healthy", "upstream", "coarse"}
    missed = [patient.quantized.name for (patient, _), found in zip(trials, named, strict=True) if not found]
    assert len(missed) <= 0.1 * len(named), missed
    defects = [found for (patient, _), found in zip(trials, named, strict=True) if patient.fault == "defective"]
    assert len(defects) == 2 * len(plant.DEFECTS) * len(NETWORKS) + 2 * len(plant.MORE_DEFECTS)
    assert np.mean(defects) >= 0.9, missed


def test_and_nothing_else_is_blamed(trials):
    for patient, table in trials:
        others = table[table["layer"] != patient.layer]
        assert set(others["verdict"]) <= {"healthy", "upstream"}, patient.quantized.name
        found = table.set_index("layer").loc[patient.layer, "verdict"] == patient.fault
        assert set(others.loc[others["verdict"] == "upstream", "culprit"]) <= ({patient.layer} if found else set())


def test_every_row_says_what_and_what_to_do(trials):
    table = pd.concat([table for _, table in trials])
    frames.require(trials[0][1], frames.VERDICTS, caller="test")
    sick = ~table["verdict"].isin(["healthy", "upstream"])
    assert table["sentence"].str.endswith(".").all()
    assert (table.loc[table["verdict"] != "healthy", "remedy"].str.len() > 10).all()
    assert (table.loc[sick & (table["verdict"] != "defective"), "bits_lost"] >= 1).all()
    assert (table.loc[sick, "bits_lost"] > 0).all()
    assert np.isfinite(table.loc[sick, "evidence_value"]).all()
    assert (table["culprit"] != "").eq(table["verdict"] == "upstream").all()
    assert set(table["verdict"]) <= set(frames.VERDICT_NAMES)


def test_arithmetic_unlike_the_replay_is_named(files, scenes, monkeypatch):
    """A kernel that halves every code of one layer: what is stored is sound, what is computed is not."""
    layer = "blocks_4_expand"
    alone, whole = Twins.local_codes, Twins.code_of
    monkeypatch.setattr(Twins, "local_codes", lambda self, pair: alone(self, pair) // (1 + (pair.layer == layer)))

    def halved(self, tensor):
        mine = next((pair.quantized.index for pair in self.pairs if pair.layer == layer), None)
        return whole(self, tensor) // (1 + (tensor.index == mine))

    monkeypatch.setattr(Twins, "code_of", halved)
    found = verdicts(files[INT8], scenes.take(4), float_model=files[FLOAT]).table.set_index("layer")
    assert found.loc[layer, "verdict"] == "defective"
    assert "otherwise than the op's arithmetic says" in found.loc[layer, "sentence"]
    assert set(found.drop(layer)["verdict"]) <= {"healthy", "upstream"}


def test_layers_behind_a_bad_one_are_upstream_of_it(healthy, scenes, tmp_path):
    table = judge(plant.clipped(healthy["micro2"], "blocks_1_expand", tmp_path, None, keep=0.1), scenes)
    place = table.index[table["layer"] == "blocks_1_expand"].item()
    assert table.loc[place, "verdict"] == "clipped"
    assert set(table.loc[: place - 1, "verdict"]) == {"healthy"}
    behind = table.loc[place + 1 :]
    bad = behind["sqnr_accumulated_db"] < 20
    assert bad.sum() > 20
    assert set(behind.loc[bad, "verdict"]) == {"upstream"}
    assert set(behind.loc[bad, "culprit"]) == {"blocks_1_expand"}
    assert behind.loc[bad, "sentence"].str.startswith("The error comes from blocks_1_expand (clipped)").all()


@pytest.mark.parametrize("name", NETWORKS)
def test_healthy_networks_raise_no_alarm(healthy, scenes, tmp_path, name):
    assert (judge(plant.write(healthy[name], tmp_path), scenes)["verdict"] != "healthy").sum() <= 1


def test_a_healthy_network_of_sixty_ops_raises_one_alarm_at_most(tmp_path):
    """Random weights: nobody has trained its ranges to be even."""
    import tf_keras

    tf_keras.utils.set_random_seed(11)
    spec = replace(get_spec("lite0"), name="lite0-at-64", resolution=64)
    like = load_model("micro0")
    model = LoadedModel(
        name=spec.name, spec=spec, keras=build_model(spec, 10), classes=like.classes,
        preprocess=replace(like.preprocess, size_px=64),
    )  # fmt: skip
    path = write_files(model, targets(["float32"], ["converter"]), tmp_path)[0]
    network = plant.Healthy(path, open_images("scenes", split="calibration", limit=32))
    table = judge(plant.write(network, tmp_path), open_images("scenes", split="evaluation", limit=8))
    assert len(table) >= 60
    assert (table["verdict"] != "healthy").sum() <= 1, table[table["verdict"] != "healthy"]


@pytest.mark.real
def test_a_published_network_raises_one_alarm_at_most(shared, flowers_cache):
    path = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    images = open_images("flowers160", limit=10)
    table = verdicts(path, images).table
    assert len(table) > 60
    assert (table["verdict"] != "healthy").sum() <= 1, table[table["verdict"] != "healthy"]


FILE = {"model": "m", "scheme": "s", "backend": "b"}
PUBLISHED = {  # quantized: float, layers that may be called at fault
    "mlcommons__vww_96_int8": ("mlcommons__vww_96_float", {"clipped"}),
    "mlcommons__pretrainedResnet_quant": ("mlcommons__pretrainedResnet", set()),
    "google-coral__mobilenet_v1_0.25_128_quant": (None, set()),
    "mit-han-lab__vww": (None, set()),
    "tensorflow__mobilenet_v2_quantized_1x3x224x224": (None, {"coarse"}),
}


def test_ctrl_c_while_effects_are_added_up_is_not_swallowed(monkeypatch):
    """A sum over the images until then would be told as if it were whole."""
    monkeypatch.setattr(closing, "Measuring", lambda *_: SimpleNamespace(run=lambda images: False))
    twins, images = SimpleNamespace(is_own_twin=False), SimpleNamespace(take=lambda n: None)
    monkeypatch.setattr(closing, "_weakest", lambda *_: "")
    with pytest.raises(KeyboardInterrupt):
        closing.closing(twins, images, {}, SimpleNamespace(sqnr_db=0.0))


@pytest.mark.real
@pytest.mark.parametrize("name", PUBLISHED)
def test_verdicts_agree_with_the_errors_of_files_from_the_wild(shared, flowers_cache, name):
    """Invariants, and no false alarm: what is clipped or coarse there has an error to show for it."""
    reference, allowed = PUBLISHED[name]
    paths = [shared / "fixtures" / "wild" / f"{each}.tflite" for each in (name, reference or name)]
    found = verdicts(paths[0], "flowers160", float_model=paths[1] if reference else None, limit=8)
    table = found.table
    sick = ~table["verdict"].isin(["healthy", "upstream"])
    assert not (table.loc[table["verdict"] == "healthy", "sqnr_local_db"] < 20).any()
    assert set(table.loc[sick, "verdict"]) <= allowed
    assert found.loss.sqnr_db >= 20 or sick.any() or "add up to" in " ".join(found.closing)
    assert sick.any() or found.closing[-2].startswith(("Nothing is at fault. The weakest", "No layer is bad"))
    assert found.closing[-1].startswith("At the logits")
    assert found.closing[0].startswith("No float file was given") == (reference is None)
    if name == "mlcommons__vww_96_int8":
        first = table.iloc[0]
        assert first["verdict"] == "clipped"
        assert "of it in channel 0" in first["sentence"]


@pytest.mark.real
def test_faults_planted_in_a_published_pair_are_named(shared, flowers_cache, tmp_path):
    """Each in one layer of ResNet-8; `tests/benchmarks` has the table of all files."""
    wild, rng = shared / "fixtures" / "wild", np.random.default_rng(5)
    paths = [wild / f"mlcommons__pretrainedResnet{end}.tflite" for end in ("_quant", "")]
    pair, images = plant.Published(paths[0], None, float_model=paths[1]), open_images("flowers160", limit=8)
    layers = [name for name in pair.kinds("conv") if pair.readers(name)]
    for fault in (*plant.STORED_RANGES, *plant.DEFECTS, *plant.MORE_DEFECTS):
        patient = fault(pair, str(rng.choice(layers)), tmp_path, rng)
        said = judge(patient, images).set_index("layer")["verdict"]
        assert said[patient.layer] == patient.fault, patient.quantized.name
        assert set(said.drop(patient.layer)) <= {"healthy", "upstream"}, patient.quantized.name


WILD = {  # every file, with its float file where there is one: what is said where there is no verdict
    "google-coral__mobilenet_v1_0.25_128_quant": "", "mit-han-lab__vww": "", "mlcommons__kws_ref_model": "",
    "mlcommons__kws_ref_model_float32": "", "mlcommons__pretrainedResnet_quant": "", "mlcommons__vww_96_int8": "",
    "tensorflow__hello_world_int8": "", "tensorflow__mobilenet_v2_quantized_1x3x224x224": "",
    "mlcommons__pretrainedResnet_quant / mlcommons__pretrainedResnet": "",
    "mlcommons__vww_96_int8 / mlcommons__vww_96_float": "",
    "tensorflow__hello_world_int8 / tensorflow__hello_world_float": "do not correlate|another training",
    "mlcommons__kws_ref_model / mlcommons__kws_ref_model_float32": "is not a float network: it holds integer weights",
    "mlcommons__pretrainedResnet / mlcommons__pretrainedResnet_quant": "quantized|float",
    "mlcommons__pretrainedResnet": r"Nothing in .* is quantized.*\. Give a quantized file of this network",
    "mlcommons__vww_96_float": "Nothing in .* is quantized",
    "tensorflow__hello_world_float": "Nothing in .* is quantized",
    "tensorflow__person_detect": "LiteRT refuses", "tensorflow__keyword_scrambled_8bit": "keeps state",
    "esphome__vad": "keeps state",
}  # fmt: skip


def inputs_of(path):
    """Random values over the range of each input, as codes hold it."""
    graph, rng = read_graph(path), np.random.default_rng(0)
    arrays = {}
    for i, tensor in enumerate(graph.tensors[index] for index in graph.inputs):
        ends = (
            tensor.real(np.array([np.iinfo(tensor.dtype).min, np.iinfo(tensor.dtype).max]))
            if tensor.quantized
            else (0, 1)
        )
        arrays[f"in{i}"] = rng.uniform(*ends, (4, *tensor.shape[1:])).astype(np.float32)
    return arrays


@pytest.mark.real
def test_every_file_from_the_wild_is_here(shared):
    here = {name.split(" / ")[0] for name in WILD}
    assert here == {path.stem for path in (shared / "fixtures" / "wild").glob("*.tflite")}


@pytest.mark.real
@pytest.mark.parametrize("pair", WILD)
def test_what_a_verdict_must_never_say(shared, tmp_path, pair):
    """Fed with noise, which no file was made for: a layer with much error of its own is not healthy, and a loss has a cause."""
    names = [shared / "fixtures" / "wild" / f"{name}.tflite" for name in pair.split(" / ")]
    np.savez(tmp_path / "noise.npz", **inputs_of(names[0]))
    options = {"float_model": names[1] if len(names) == 2 else None, "anyway": False}
    if reason := WILD[pair]:
        with pytest.raises(UserError, match=reason):
            verdicts(names[0], tmp_path / "noise.npz", **options)
        if len(names) == 1 or names[1].stem.endswith("_quant"):
            return
        options["anyway"] = True
    found = verdicts(names[0], tmp_path / "noise.npz", **options)
    table, closing = found.table, " ".join(found.closing)
    assert not (table.loc[table["verdict"] == "healthy", "sqnr_local_db"] < 20).any()
    at_fault = ~table["verdict"].isin(["healthy", "upstream"])
    assert found.loss.sqnr_db >= 20 or at_fault.any() or "that explains the loss" in closing
    assert at_fault.any() or "The weakest layers" in closing
    assert found.closing[-1].startswith("At the logits")
    assert table["pairing"].str.startswith("not a pair").all() == options["anyway"]


def seen(*values: np.ndarray, low: float, high: float, op: str = "conv", layer: str = "a", parents=()) -> Evidence:
    """Evidence of a layer that took these values, one array (positions, channels) per image, on 256 codes."""
    one = Evidence(
        file=FILE, layer_index=0, layer=layer, op=op, parents=parents,
        grid=CodeGrid(scale=(high - low) / 255, low=low, high=high),
    )  # fmt: skip
    for image in values:
        one.see(np.asarray(image, np.float32)[None])
    return one


def test_clipping_in_bits_by_hand():
    """Half of the values one unit beyond an end: energy 1/2 per value against step**2 / 12."""
    one = seen(np.tile([[0.5, 2.0]], (100, 1)), low=0.0, high=1.0)
    finding = faults.clipped(one)
    assert finding.evidence == 0.5
    assert finding.bits_lost == pytest.approx(0.5 * np.log2(1 + 0.5 / ((1 / 255) ** 2 / 12)), rel=1e-5)


def test_a_wasted_range_in_bits_by_hand():
    values = np.linspace(0, 1, 200).reshape(50, 4)
    finding = faults.wasted_range(seen(values, low=-8.0, high=8.0))
    assert finding.bits_lost == pytest.approx(4.0)
    assert faults.wasted_range(seen(values, low=-4.0, high=4.0)) is None
    assert faults.wasted_range(seen(values, low=-8.0, high=8.0, op="softmax")) is None  # its grid is prescribed


def test_the_ends_of_a_relu6_are_neither_clipped_nor_bimodal():
    values = np.random.default_rng(0).normal(3, 8, (50, 40)).clip(0, 6)
    assert faults.clipped(seen(values, low=0.0, high=6.0)) is None
    assert faults.bimodal(seen(values, low=0.0, high=6.0)) is None
    only_ends = np.where(values < 3, 0.0, 6.0)
    assert faults.bimodal(seen(only_ends, low=0.0, high=6.0)) is None


def test_clipping_is_judged_by_its_share_of_the_error():
    """Rare or not: an image that goes far beyond counts, one that passes an end by a little does not."""
    usual, strange = np.random.default_rng(0).uniform(0, 1, (2, 50, 4))
    finding = faults.clipped(seen(*[usual] * 15, 3 * strange, low=0.0, high=1.0))
    assert "on 1 of 16 images" in finding.sentence
    assert "makes 100% of the error" in finding.sentence
    assert "16 bits over the same range would clip equally" in finding.remedy
    assert faults.clipped(seen(*[usual] * 15, 1.2 * strange, low=0.0, high=1.0)) is None
    assert faults.clipped(seen(*[usual] * 8, *[1.2 * strange] * 8, low=0.0, high=1.0)) is not None


def test_the_channel_that_is_cut_off_is_named():
    values = np.random.default_rng(0).uniform(0, 1, (500, 16)) * ([1.0] * 5 + [4.0] + [1.0] * 10)
    assert "100% of it in channel 5" in faults.clipped(seen(values, low=0.0, high=1.0)).sentence


def test_outlier_channel_in_bits_by_hand():
    values = np.random.default_rng(0).uniform(-1, 1, (2000, 16)) * ([1.0] * 15 + [64.0])
    finding = faults.outlier_channel(seen(values, low=-64.0, high=64.0))
    assert finding.bits_lost == pytest.approx(6.0, abs=0.01)
    assert finding.channels == {15}
    assert faults.outlier_channel(seen(values[:, :15], low=-1.0, high=1.0)) is None


def test_a_gap_in_bits_by_hand():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(0, 1, (5000, 1)), rng.uniform(7, 8, (5000, 1))], axis=1)
    finding = faults.bimodal(seen(values, low=0.0, high=8.0))
    assert finding.evidence == pytest.approx(6 / 8, abs=0.01)
    assert finding.bits_lost == pytest.approx(2.0, abs=0.05)


def test_unlike_inputs_in_bits_by_hand():
    ramp = np.linspace(-1, 1, 101)[:, None]
    small = seen(ramp, low=-1.0, high=1.0, layer="small")
    large = seen(31 * ramp, low=-31.0, high=31.0, layer="large")
    total = seen(32 * ramp, low=-32.0, high=32.0, op="add", parents=("small", "large"))
    assert faults.unlike_residual(total, [small, large]).bits_lost == pytest.approx(5.0, abs=0.01)
    assert faults.unlike_residual(replace(total, op="mul"), [small, large]) is None
    misfit = replace(small, grid=large.grid)  # the grid is the fault of the layer before
    assert faults.unlike_residual(total, [misfit, large]) is None
    zeros = seen(0 * ramp, low=-1e-6, high=1e-6, layer="small")
    assert faults.unlike_residual(total, [zeros, large]) is None  # nothing is lost of them


def test_constant_channels_are_dead_unless_their_inputs_are():
    values = np.random.default_rng(0).uniform(0, 1, (100, 10)) * ([0.0] * 6 + [1.0] * 4)
    one = seen(values, low=0.0, high=1.0)
    assert faults.dead(one, np.zeros(10, bool)).evidence == 0.6
    assert (
        faults.dead(replace(one, op="fill"), np.zeros(10, bool)) is None
    )  # constants that a converter lets the file make
    assert faults.dead(one, np.arange(10) < 3) is None
    assert faults.dead(seen(values[:, 5:], low=0.0, high=1.0), np.zeros(5, bool)) is None


def measured(**layers: tuple[float, float]) -> pd.DataFrame:
    """LAYER_ERROR rows with these (accumulated, local) errors, dB."""
    rows = [
        {"layer_index": i, "layer": name, "sqnr_accumulated_db": accumulated, "sqnr_local_db": local}
        for i, (name, (accumulated, local)) in enumerate(layers.items())
    ]
    return frames.build(frames.LAYER_ERROR, [FILE | row for row in rows])


@pytest.mark.parametrize(("comes_in_db", "culprit"), [(3.1, "a"), (2.9, "")])
def test_upstream_is_where_three_decibels_come_in(comes_in_db, culprit):
    values = np.random.default_rng(0).uniform(0, 1, (100, 10))
    bad = seen(values * ([0.0] * 6 + [1.0] * 4), low=0.0, high=1.0)
    behind = replace(seen(values, low=0.0, high=1.0, layer="b", parents=("a",)), layer_index=1)
    cases = examine_all(measured(a=(15.0, 40.0), b=(22.0 - comes_in_db, 22.0)), [bad, behind])
    assert cases["a"].findings[0].verdict == "dead"
    assert cases["b"].culprit == culprit


def test_a_dead_layer_is_dead_first():
    """Whatever else costs more bits, also a defect."""
    values = 1e-3 * np.random.default_rng(0).uniform(0, 1, (100, 10)) * ([0.0] * 6 + [1.0] * 4)
    cases = examine_all(measured(a=(15.0, 40.0)), [seen(values, low=0.0, high=64.0)])
    first, second = cases["a"].findings[:2]
    assert (first.verdict, second.verdict) == ("dead", "wasted range")
    assert second.bits_lost > first.bits_lost
    defect = replace(first, verdict="defective", bits_lost=99.0)
    assert sorted([second, defect, first], key=severity)[::-1] == [first, defect, second]


def test_an_own_error_under_twenty_decibels_is_never_healthy():
    values = np.random.default_rng(0).normal(0, 1, (100, 10)).clip(-3, 3)
    alone = seen(values, low=-3.0, high=3.0)
    assert examine_all(measured(a=(19.9, 19.9)), [alone])["a"].findings[0].verdict == "coarse"
    assert not examine_all(measured(a=(20.1, 20.1)), [alone])["a"].findings


def test_sixteen_bits_have_room_for_an_outlier():
    values = np.random.default_rng(0).uniform(-1, 1, (200, 16)) * ([1.0] * 15 + [64.0])
    one = seen(values, low=-64.0, high=64.0)
    wide = CodeGrid(scale=128 / 65535, low=-64.0, high=64.0)
    assert faults.outlier_channel(one) is not None
    assert faults.outlier_channel(replace(one, grid=wide)) is None


@pytest.mark.parametrize("fault", [plant.clipped, partial(plant.outlier_channel, factor=64), plant.unlike_residual])
def test_figures(healthy, scenes, tmp_path, fault):
    network = healthy["micro0"]
    layer = plant.places(network)[getattr(fault, "func", fault)][1]
    patient, few = fault(network, layer, tmp_path, np.random.default_rng(0)), scenes.take(8)
    judged = verdicts(patient.quantized, few, float_model=patient.float_model)
    table, evidence = judged.table, judged.evidence
    along = plot_verdicts(table)
    assert patient.fault in along.layout.annotations[0].text
    assert sum(len(trace.x) for trace in along.data if trace.mode == "markers") == len(table)
    detail = plot_evidence(evidence, table, layer)
    assert patient.fault in detail.layout.title.text
    assert detail.layout.xaxis.title.text
    with pytest.raises(UserError, match="no verdict on 'nonsense'"):
        plot_evidence(evidence, table, "nonsense")
    with pytest.raises(UserError, match="Got 2 of them"):
        plot_verdicts(pd.concat([table, table.assign(model="other")]))


def test_the_command(healthy, tmp_path, monkeypatch, capfd):
    patient = plant.clipped(healthy["micro0"], "blocks_3_expand", tmp_path, None)
    args = ["--quantized", patient.quantized, "--float", patient.float_model, "--images", "scenes", "--limit", "8"]

    def run(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["effnet-lab", "verdicts", *map(str, args), *more])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
        return capfd.readouterr().out

    text = run()
    assert "blocks_3_expand: clipped" in text
    assert "Calibrate with the extremes" in text
    rows = json.loads(run("--json"))
    assert list(rows[0]) == list(frames.VERDICTS.columns)
    assert [row["layer"] for row in rows if row["verdict"] == "clipped"] == ["blocks_3_expand"]
