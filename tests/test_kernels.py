"""Kernels that are forked from a process with the libraries in it; but for that they are like those that are started as ever."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
from sweep_drills import KERNEL as KERNEL_PROCESS
from sweep_drills import PATIENCE_S, SERVER, WORKER, Drill, kind_of

from effnet_lab.regress.execution import KERNEL, TIMEOUT, Limits, execute
from effnet_lab.regress.kernel import shared_kernels, sliced_polling
from effnet_lab.regress.kernel_broker import BROKER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, all kernels are started as ever")
SWEEP = "sweep"
OWN = "EFFNET_LAB_TEST"  # environment variable: kernels with another value have another server
PARENT = """import json, os
with open(out, "w") as file:
    json.dump({"pid": os.getpid(), "parent": os.getppid()}, file)
"""
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


def write_cell(folder: Path, cell: str) -> Path:
    cells = [nbformat.v4.new_code_cell('out: str = ""  # file', metadata={"tags": ["parameters"]}),
             nbformat.v4.new_code_cell(cell)]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "cell.ipynb")
    return folder / "cell.ipynb"


def servers() -> set[psutil.Process]:
    return {child for child in psutil.Process().children() if kind_of(child) == SERVER}


@pytest.fixture(scope="module")
def environment():
    """One that is this file's own; the first kernel waits for its server, which ends with the last test."""
    root, there = str(Path(__file__).parents[1]), servers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))
        patch.setenv(OWN, uuid.uuid4().hex)
        with shared_kernels({}):
            yield
    assert servers() == there


@pytest.fixture
def run(tmp_path, environment):
    """A function that executes a cell in a kernel."""
    pids: list[int] = []

    def run(cell: str, *, whole_s: float | None = None):
        out = tmp_path / f"{len(pids)}.json"
        limits, values = Limits(whole_s=whole_s), {"out": str(out)}
        with sliced_polling():
            failure = execute(
                write_cell(tmp_path, cell), tmp_path / "done.ipynb", values, limits=limits, started=pids.append
            )
        assert not psutil.pid_exists(pids[-1]) or psutil.Process(pids[-1]).status() == psutil.STATUS_ZOMBIE
        return failure or json.loads(out.read_text())

    return run


def test_a_forked_kernel_is_like_one_that_was_started(run, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv(OWN, uuid.uuid4().hex)
        elsewhere.delenv(BROKER)
        first = run(LOOK)
    second, third = run(LOOK), run(LOOK)
    server = psutil.Process(second["parent"])
    assert (first["parent"], first["loaded"]) == (os.getpid(), [])
    assert server.ppid() == os.getpid()
    for copy in (second, third):
        assert copy["parent"] == server.pid
        assert copy["loaded"] == ["plotly", "tensorflow"]
        assert copy["group"] == copy["pid"]
        for same in ("folder", "path", "streams"):
            assert copy[same] == first[same]
        its_own = {"JPY_PARENT_PID", "JPY_SESSION_NAME", OWN}
        assert copy["environment"].keys() == first["environment"].keys()
        assert {name for name, value in first["environment"].items() if copy["environment"][name] != value} <= its_own
    assert len({*first["drawn"], *second["drawn"], *third["drawn"]}) == 12


def test_how_a_forked_kernel_ends_is_told(run):
    assert run(PARENT)["parent"] != os.getpid()
    assert run("while True: pass", whole_s=5).kind == TIMEOUT
    assert run("import os; os.kill(os.getpid(), 9)").kind == KERNEL
    assert run("1 / 0").name == "ZeroDivisionError"


def test_a_server_that_died_is_replaced(run):
    server = psutil.Process(run(PARENT)["parent"])
    server.kill()
    server.wait()
    parent = psutil.Process(run(PARENT)["parent"])
    assert parent.ppid() == os.getpid()
    assert parent != server


def test_a_server_that_nobody_asks_any_more_ends(run):
    server = psutil.Process(run(PARENT)["parent"])
    ring = f"import os, time\nos.kill({server.pid}, {signal.SIGALRM:d})\ntime.sleep(1)\n"
    assert run(ring + PARENT)["parent"] == server.pid
    while server.children():
        time.sleep(0.1)
    server.send_signal(signal.SIGALRM)
    server.wait(60)


def test_whoever_is_alone_does_not_wait_for_a_server(run, monkeypatch, tmp_path):
    """Or whose broker is gone: kernels are started as ever until there is one, and again after its death."""
    monkeypatch.setenv(OWN, uuid.uuid4().hex)
    monkeypatch.setenv(BROKER, str(tmp_path / "gone"))
    there = servers()
    assert run(PARENT)["parent"] == os.getpid()
    assert servers() == there
    assert run(PARENT)["parent"] == os.getpid()
    (server,) = servers() - there
    while run(PARENT)["parent"] != server.pid:
        assert server.is_running()
        time.sleep(2)
    server.kill()
    server.wait()
    assert run(PARENT)["parent"] == os.getpid()


@pytest.mark.parametrize("victims", [(KERNEL_PROCESS, WORKER, SERVER), (SWEEP,)], ids=" ".join)
def test_of_what_is_killed_nothing_is_left(tmp_path, victims):
    """What can be tried again is."""
    drill = Drill(tmp_path, 4, "--workers", "2", wait_s=5.0)
    sweep = drill.start()
    seen: set[psutil.Process] = set()

    def forked() -> set[psutil.Process]:
        return {kernel for server in drill.processes(SERVER) for kernel in server.children()} - seen

    if SWEEP in victims:
        drill.wait_for(drill.n_finished, sweep)  # there is something to be lost
    for victim in victims:
        drill.wait_for(forked, sweep)
        assert len(drill.processes(SERVER)) == 1, "the one that was begun has the environment of the workers"
        seen |= forked()
        for process in [psutil.Process(sweep.pid)] if victim == SWEEP else drill.processes(victim):
            process.kill()
    out, err = sweep.communicate(timeout=PATIENCE_S)
    assert sweep.returncode == (-9 if SWEEP in victims else 0), out + err
    drill.assert_nothing_is_left()
    drill.assert_whole(finished=drill.n_finished() if SWEEP in victims else 4)


_WORKER = """import sys
from pathlib import Path
from effnet_lab.regress.execution import Limits, execute
from effnet_lab.regress.kernel import sliced_polling
with sliced_polling():
    execute(Path(sys.argv[1]), Path(sys.argv[2]).with_suffix(".ipynb"), {"out": sys.argv[2]}, limits=Limits())"""


class Worker:
    """A process that runs a notebook whose kernel tells who it is, and stays."""

    def __init__(self, folder: Path, name: str) -> None:
        self._out = folder / f"{name}.json"
        cell = write_cell(folder, f"{PARENT}import time\ntime.sleep(3600)")
        self.process = psutil.Popen([sys.executable, "-c", _WORKER, str(cell), str(self._out)])

    def kernel(self) -> psutil.Process:
        told = {}
        while not told:
            assert self.process.poll() is None
            time.sleep(0.1)
            with suppress(OSError, ValueError):  # not yet, or not yet the whole
                told = json.loads(self._out.read_text())
        kernel = psutil.Process(told["pid"])
        assert kernel.ppid() == told["parent"]
        return kernel


@pytest.fixture
def work(tmp_path, environment):
    """A function that starts such a process; all end with the test."""
    workers: list[Worker] = []

    def work(name: str) -> Worker:
        workers.append(Worker(tmp_path, name))
        return workers[-1]

    yield work
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


def test_processes_have_their_kernels_from_one_server(work, monkeypatch):
    """One that is killed takes its own kernel with it, and no other."""
    monkeypatch.setenv(OWN, uuid.uuid4().hex)
    first, there = work("first"), servers()
    while not (begun := servers() - there):
        assert first.process.poll() is None
        time.sleep(0.01)
    begun.pop().kill()  # while it imports, and the kernel waits for it
    assert first.kernel().parent() == first.process
    second = work("second")
    server = second.kernel().parent()
    assert servers() - there == {server}
    third = work("third")
    kernels = [worker.kernel() for worker in (second, third)]
    assert kernels[1].parent() == server
    second.process.kill()
    kernels[0].wait(60)
    assert kernels[1].is_running()
