"""Faults planted in files that nobody here made: how many verdicts name them, and what else they blame.

Prints a row per file and fault. A file with its float file gets every fault; one without shows faults of its ranges only,
because its twin has its own weights. PER_FAULT layers are drawn for each fault, the first layer is one of them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import plant

from effnet_lab.analysis import verdicts

FILES = {  # quantized file: its float file
    "mlcommons__pretrainedResnet_quant": "mlcommons__pretrainedResnet",
    "mlcommons__vww_96_int8": "mlcommons__vww_96_float",
    "google-coral__mobilenet_v1_0.25_128_quant": None,
    "mit-han-lab__vww": None,
    "tensorflow__mobilenet_v2_quantized_1x3x224x224": None,
}
PER_FAULT, IMAGES = int(os.environ.get("PER_FAULT", "3")), 8
SOUND = ("healthy", "upstream")


def faults_of(pair: plant.Published) -> list[tuple]:
    """Each fault, with the layers that it can be planted in; the first of them is the first of the file."""
    kernels = [name for name in pair.kinds(*plant.WITH_KERNEL) if len(pair.ops[name].inputs) > 2]
    scales = {name: len(pair.graph.tensors[pair.ops[name].inputs[1]].scale) for name in kernels}
    ranged = [
        name
        for name in pair.kinds(*plant.WITH_KERNEL, "add")
        if pair.readers(name) and {pair.ops[r].kind for r in pair.readers(name)} <= {*plant.WITH_KERNEL, "add"}
    ]
    found = [(fault, ranged) for fault in plant.STORED_RANGES]
    if pair.float_model is not None:
        found += [
            (fault, kernels) for fault in (*plant.DEFECTS, *plant.MORE_DEFECTS) if fault is not plant.doubled_channel
        ]
        found += [(plant.doubled_channel, [name for name in kernels if scales[name] > 1])]
    return found


def drawn(layers: list[str], rng: np.random.Generator) -> list[str]:
    return [layers[0], *map(str, rng.permutation(layers[1:])[: PER_FAULT - 1])]


def judged(patient: plant.Patient) -> pd.DataFrame:
    return verdicts(patient.quantized, "flowers160", float_model=patient.float_model, limit=IMAGES).table.set_index(
        "layer"
    )


@pytest.fixture(scope="module")
def trials(shared, tmp_path_factory) -> pd.DataFrame:
    """One row per planted fault."""
    os.environ["EFFNET_LAB_CACHE"] = str(shared / "data")
    folder, rng, rows = tmp_path_factory.mktemp("planted"), np.random.default_rng(3), []
    for name, reference in FILES.items():
        paths = [
            None if each is None else shared / "fixtures" / "wild" / f"{each}.tflite" for each in (name, reference)
        ]
        pair = plant.Published(paths[0], None, float_model=paths[1])
        before = judged(pair.sound(folder, "healthy", "as published"))["verdict"]
        usual = set(before.index[~before.isin(SOUND)])
        for fault, layers in faults_of(pair):
            for layer in drawn(layers, rng):
                patient = fault(pair, layer, folder, rng)
                said = judged(patient)["verdict"]
                others = said.drop(layer)
                blamed = sorted(set(others.index[~others.isin(SOUND)]) - usual)
                rows.append(
                    {"file": name[:28], "fault": patient.quantized.stem.removeprefix(f"{name}-"), "said": said[layer]}
                    | {"named": said[layer] == patient.fault, "blamed": ", ".join(blamed)}
                )  # fmt: skip
                print(*rows[-1].values(), sep=" | ", flush=True)
        print(f"{name}: as published, {', '.join(sorted(usual)) or 'nothing'} at fault", flush=True)
    return pd.DataFrame(rows)


def test_nine_of_ten_are_named_and_nothing_else_is_blamed(trials):
    print(
        f"\n{trials['named'].sum()} of {len(trials)} named; {(trials['blamed'] != '').sum()} with another layer blamed"
    )
    print(trials.groupby("file")["named"].agg(["sum", "size"]).to_string())
    assert trials["named"].mean() >= 0.9, trials.loc[~trials["named"], ["file", "fault", "said"]].to_string()
    others = trials[trials["named"] & (trials["blamed"] != "")]
    assert others.empty, others[["file", "fault", "blamed"]].to_string()
