"""Where a run computes: what a cluster needs is said, and another precision or compiler trains nearly alike."""

from __future__ import annotations

import json

import pytest

from effnet_lab.names import UserError
from effnet_lab.training import train
from effnet_lab.training.strategies import is_chief, open_strategy


def test_what_a_cluster_needs_is_said(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert is_chief()
    assert open_strategy("one") is None
    with pytest.raises(UserError, match="TF_CONFIG must name the workers"):
        open_strategy("multiworker")
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}})
    )
    assert not is_chief()
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(UserError, match="TF_CONFIG is no JSON"):
        is_chief()
    with pytest.raises(UserError, match="Did you mean 'mirrored'"):
        train("micro0", strategy="miror")


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}], ids=str)
def test_mixed_precision_and_xla_train_nearly_alike(options):
    how = {"data": "scenes?n=40&side_px=32", "epochs": 1, "batch": 20}
    done = train("micro0", **how, **options)
    plain = train("micro0", **how)
    assert done.table["loss"][0] == pytest.approx(plain.table["loss"][0], rel=0.05)
    assert {variable.dtype.name for variable in done.model.keras.weights} == {"float32"}
