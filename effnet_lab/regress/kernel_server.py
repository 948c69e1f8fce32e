"""A process that has imported the libraries of the notebooks, and forks a kernel as often as it is asked to.

``python -m effnet_lab.regress.kernel_server`` says when it is ready; then it reads one line of JSON for each kernel, the
arguments of `_become_kernel`, and answers with the kernel's process number. It ends when nobody can ask any more, and its
kernels with it; or when nobody has asked for a while, and none is left.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any

# Importing them starts no computation: what is forked is a process that has run nothing, and draws no numbers.
LIBRARIES = (
    "ipykernel.kernelapp", "ipywidgets", "anywidget", "pandas", "scipy.optimize", "statsmodels.api", "numba", "great_tables",
    "plotly.io", "sklearn.datasets", "tensorflow", "tf_keras", "ai_edge_litert.interpreter", "ai_edge_quantizer.quantizer",
    "effnet_lab.view.figures",
)  # fmt: skip
PATIENCE_S = 300  # it holds 700 MB


def main() -> None:
    """Import, then fork until the input ends."""
    if sys.path[0] in ("", os.getcwd()):  # as ipykernel's own launcher does: a kernel looks where it stands, not here
        del sys.path[0]
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # a kernel ends with it; ipykernel reads it when it is imported
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # what is here is shared with the kernels as long as nobody touches it
    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGALRM, _end_if_idle)
    signal.alarm(PATIENCE_S)
    _say("ready")
    for line in sys.stdin:
        signal.alarm(PATIENCE_S)
        pid = os.fork()
        if not pid:
            _become_kernel(**json.loads(line))
            return
        with suppress(OSError):  # it has ended
            os.setpgid(pid, pid)  # before anybody knows of it: it is ended by its group
        _say(str(pid))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _reap(*_signal: Any) -> None:
    """Let ended kernels be gone."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_if_idle(*_signal: Any) -> None:
    try:
        os.waitpid(-1, os.WNOHANG)
        signal.alarm(PATIENCE_S)
    except ChildProcessError:  # it has none
        os._exit(0)


def _become_kernel(*, arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Be what ``python -m ipykernel_launcher`` is, as if started with these."""
    import numpy as np
    from ipykernel.kernelapp import launch_new_instance

    for number in (signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(environment, JPY_PARENT_PID=str(os.getppid()))
    os.chdir(folder)
    np.random.seed()  # noqa: NPY002  NumPy's old numbers would be the same in every kernel; others see to it themselves
    sys.argv = ["ipykernel_launcher", *arguments]
    launch_new_instance()


if __name__ == "__main__":
    main()
