"""Kernels that are forked from a process with the libraries in it; but for that they are like those that are started as ever."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest
from sweep_drills import PATIENCE_S, SERVER, Drill

from effnet_lab.regress.execution import KERNEL, TIMEOUT, Limits, execute
from effnet_lab.regress.kernel import sliced_polling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, all kernels are started as ever")
LOOK = """import json, os, random, sys
loaded = [name for name in ("plotly", "tensorflow") if name in sys.modules]
about = {"group": os.getpgid(0), "folder": os.getcwd(), "environment": dict(os.environ), "path": sys.path}
about["streams"] = [os.readlink(f"/proc/self/fd/{stream}") for stream in (1, 2)]
import numpy as np
import tensorflow as tf
from tf_keras.initializers import GlorotUniform
drawn = [random.random(), np.random.rand(), float(tf.random.uniform([])), float(GlorotUniform()((1, 1))[0, 0])]
told = about | {"pid": os.getpid(), "parent": os.getppid(), "loaded": loaded, "drawn": drawn}
with open(out, "w") as file:
    json.dump(told, file)"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that executes a cell in a kernel of an environment of this test's own."""
    root = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("EFFNET_LAB_TEST", uuid.uuid4().hex)
    pids: list[int] = []

    def run(cell: str, *, whole_s: float | None = None):
        cells = [nbformat.v4.new_code_cell('out: str = ""  # file', metadata={"tags": ["parameters"]}),
                 nbformat.v4.new_code_cell(cell)]  # fmt: skip
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "cell.ipynb")
        out = tmp_path / f"{len(pids)}.json"
        limits, values = Limits(whole_s=whole_s), {"out": str(out)}
        with sliced_polling():
            failure = execute(
                tmp_path / "cell.ipynb", tmp_path / "done.ipynb", values, limits=limits, started=pids.append
            )
        assert not psutil.pid_exists(pids[-1]) or psutil.Process(pids[-1]).status() == psutil.STATUS_ZOMBIE
        return failure or json.loads(out.read_text())

    return run


def forked(run):
    """What a kernel tells that was forked: of those before it, which are started as ever, only the first is certain."""
    assert run(LOOK)["parent"] == os.getpid()
    return next(told for told in (run(LOOK) for _ in range(50)) if told["parent"] != os.getpid())


def test_a_forked_kernel_is_like_one_that_was_started(run):
    first, second, third = run(LOOK), forked(run), run(LOOK)
    assert (first["parent"], first["loaded"]) == (os.getpid(), [])
    server = psutil.Process(second["parent"])
    assert server.ppid() == os.getpid()
    for copy in (second, third):
        assert copy["parent"] == server.pid
        assert copy["loaded"] == ["plotly", "tensorflow"]
        assert copy["group"] == copy["pid"]
        for same in ("folder", "path", "streams"):
            assert copy[same] == first[same]
        its_own = {"JPY_PARENT_PID", "JPY_SESSION_NAME"}
        assert copy["environment"].keys() == first["environment"].keys()
        assert {name for name, value in first["environment"].items() if copy["environment"][name] != value} <= its_own
    assert len({*first["drawn"], *second["drawn"], *third["drawn"]}) == 12


def test_a_server_that_died_is_replaced(run):
    servers = []
    for _ in range(2):
        servers.append(psutil.Process(forked(run)["parent"]))
        servers[-1].kill()
        servers[-1].wait()
    assert servers[0] != servers[1]
    assert os.getpid() not in {server.pid for server in servers}


def test_a_server_that_nobody_asks_any_more_ends(run):
    server = psutil.Process(forked(run)["parent"])
    ring = f"import os, time\nos.kill({server.pid}, {signal.SIGALRM:d})\ntime.sleep(1)\n"
    assert run(f"{ring}with open(out, 'w') as file: file.write(str(os.getppid()))") == server.pid
    while server.children():
        time.sleep(0.1)
    server.send_signal(signal.SIGALRM)
    server.wait(60)
    assert run(LOOK)["parent"] == os.getpid()


def test_how_a_forked_kernel_ends_is_told(run):
    forked(run)
    assert run("while True: pass", whole_s=15).kind == TIMEOUT
    assert run("import os; os.kill(os.getpid(), 9)").kind == KERNEL
    assert run("1 / 0").name == "ZeroDivisionError"


@pytest.mark.parametrize("victim", ["kernel", "server", "sweep"])
def test_of_what_is_killed_nothing_is_left(tmp_path, victim):
    """What can be tried again is."""
    drill = Drill(tmp_path, 4)
    waits = (0.0, 20.0, 5.0, 0.0)  # during the second, a server is begun
    drill.grid.write_text(json.dumps({"points": [{"x": float(x), "wait_s": wait} for x, wait in enumerate(waits)]}))
    sweep = drill.start()
    servers = partial(drill.processes, SERVER)
    drill.wait_for(lambda: servers() and servers()[0].children(), sweep)
    (server,) = servers()
    {"kernel": server.children()[0], "server": server, "sweep": psutil.Process(sweep.pid)}[victim].kill()
    out, err = sweep.communicate(timeout=PATIENCE_S)
    assert sweep.returncode == (-9 if victim == "sweep" else 0), out + err
    drill.assert_nothing_is_left()
    drill.assert_whole(finished=2 if victim == "sweep" else 4)
