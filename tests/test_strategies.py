"""Where a run computes: what a cluster needs is said, and another precision or compiler trains nearly alike."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from two_replicas import losses

from effnet_lab.names import UserError
from effnet_lab.training import train
from effnet_lab.training.pipeline import Order
from effnet_lab.training.state import state_path
from effnet_lab.training.strategies import is_chief, open_strategy, require_equal_parts

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 400  # a busy machine is no failure


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
    with pytest.raises(UserError, match="TF_CONFIG is not JSON"):
        is_chief()
    with pytest.raises(UserError, match="Did you mean 'mirrored'"):
        train("micro0", strategy="miror")


SMALL = {"width": 0.05, "depth": 0.1, "size_px": 32, "data": "scenes?n=40&side_px=32", "epochs": 1, "batch": 20}


@pytest.fixture(scope="module")
def plain():
    return train(**SMALL).table["loss"][0]


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"precision": "float16"}, {"xla": True}], ids=str)
def test_mixed_precision_and_xla_train_nearly_alike(options, plain):
    done = train(**SMALL, **options)
    assert done.table["loss"][0] == pytest.approx(plain, rel=0.05)
    assert {variable.dtype.name for variable in done.model.keras.weights} == {"float32"}


# --- several replicas


def start(**how: object) -> subprocess.Popen[str]:
    """The run of `two_replicas` in a process of its own."""
    cluster = how.pop("cluster", None)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTEROP_THREADS": "2"}
    environment |= {"TF_CONFIG": json.dumps(cluster)} if cluster else {}
    command = [sys.executable, str(ROOT / "tests" / "two_replicas.py"), json.dumps(how)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def workers(*each: dict[str, object]) -> list[subprocess.Popen[str]]:
    """As many workers of one cluster as there are ways to start them."""
    sockets = [socket.socket() for _ in each]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return [
        start(
            how="multiworker",
            cluster={"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}},
            **how,
        )
        for index, how in enumerate(each)
    ]


def said(process: subprocess.Popen[str]) -> list[float]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def alone():
    """What one process sees, which takes the whole batch."""
    return losses()


def test_two_processors_train_as_one(alone):
    np.testing.assert_allclose(said(start(how="mirrored")), alone, rtol=0, atol=1e-4)


def test_two_workers_train_as_one_process_also_when_one_died(tmp_path, alone):
    """The second dies after the first epoch; both are started again, and go on."""
    out = str(tmp_path / "x.safetensors")
    first, second = workers({"out": out}, {"out": out, "dies": True})
    second.communicate(timeout=PATIENCE_S)
    assert second.returncode == -signal.SIGKILL
    first.communicate(timeout=PATIENCE_S)
    assert first.returncode != 0
    assert state_path(out).exists()
    again = [said(worker) for worker in workers({"out": out, "again": True}, {"out": out, "again": True})]
    np.testing.assert_allclose(again, [alone, alone], rtol=0, atol=1e-4)
    assert state_path(out).exists(), "nobody has written the weights yet"


def test_replicas_get_equal_parts_of_every_batch():
    order = Order(11, 4, seed=3, replicas=2)
    order.begin(0)
    shown = [len(indices) for _epoch, indices in order.batches()]
    assert shown == [4, 4, 2]
    assert len(order) == len(shown)
    seen = set()
    for epoch in range(20):
        order.begin(epoch)
        seen |= {int(i) for _epoch, indices in order.batches() for i in indices}
    assert seen == set(range(11))  # nothing is left out for good
    with pytest.raises(UserError, match="must be a multiple of the 2 replicas"):
        require_equal_parts(5, 2)
