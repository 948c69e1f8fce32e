"""One notebook executed by papermill in a kernel of its own, and what went wrong, by kind."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from effnet_lab.names import UserError, WriteError
from effnet_lab.paths import scratch_folder
from effnet_lab.regress.kernel import KERNEL_ENVIRONMENT, kernel_manager
from effnet_lab.regress.showing import NOTEBOOK

USER, CELL, MEMORY, TIMEOUT, KERNEL, WORKER, DISK = (
    "user error", "error in a cell", "out of memory", "timeout", "kernel died", "worker lost", "disk full",
)  # fmt: skip
KINDS = (USER, CELL, MEMORY, TIMEOUT, KERNEL, WORKER, DISK)
RETRIED = (KERNEL, MEMORY)  # another try can end otherwise; a lost worker's points are tried again by Dask
ONE_THREAD = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    "1",
)
_KERNEL_ARGUMENTS = ["--IPKernelApp.log_level=50"]  # below, it reports how a run ends a kernel as an error
_NO_MEMORY = ("MemoryError", "_ArrayMemoryError", "ResourceExhaustedError")
_FULL = ("No space left on device", f"[Errno {errno.ENOSPC}]", "Disk quota exceeded")
_KILLED_FOR_MEMORY = ("/sys/fs/cgroup/memory.events", "/proc/vmstat")  # each with a line "oom_kill N"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a notebook did not run to its end."""

    kind: str  # one of KINDS
    name: str  # of the exception
    message: str  # its last line
    cell: int = -1  # number among the cells of the saved notebook; -1: not in a cell
    number: int | None = None  # of the cell as a reader sees it, ``[3]``


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long things may take, in seconds; None: as long as they need."""

    cell_s: float | None = None
    whole_s: float | None = None


def execute(
    source: Path,
    draft: Path,
    values: Mapping[str, object],
    *,
    limits: Limits,
    bar: bool = False,
    name: str = "",
    environment: Mapping[str, str] | None = None,
    started: Callable[[int], object] = lambda pid: None,
) -> Failure | None:
    """Execute one notebook into `draft`, which is written cell by cell; what failed, or None.

    To be called within `sliced_polling`: one with widgets may stall otherwise.

    Parameters
    ----------
    source, draft : Path
        The notebook, and the executed one.
    values : mapping
        Its parameters, checked before.
    limits : Limits
        Past the limit of the whole, the kernel is killed.
    bar : bool
        Show a bar on stderr that counts cells.
    name : str
        Of the notebook, for what it records; by default the file's.
    environment : mapping, optional
        Set for the kernel, too.
    started : callable
        Is given the process number of the kernel.
    """
    clock, killed_before = _Clock(limits.whole_s), _killed_for_memory()
    environment = KERNEL_ENVIRONMENT | {NOTEBOOK: name or source.stem} | dict(environment or {})

    def begin(pid: int) -> None:
        clock.watch(pid)
        started(pid)

    with scratch_folder() as folder, _quiet_libraries():
        manager = kernel_manager(folder, environment, begin)
        try:
            _papermill(source, draft, values, limits.cell_s, name or source.stem if bar else "", manager)
        except Exception as error:  # noqa: BLE001  whatever a notebook does is told, not raised
            failure = _failure(error, draft)
        else:
            return None
        finally:
            clock.end_kernel()
    if clock.rang:
        return replace(failure, kind=TIMEOUT, message=f"not done after {limits.whole_s:g} s")
    if failure.kind == KERNEL and _killed_for_memory() > killed_before:
        return replace(failure, kind=MEMORY, message="the system ended the kernel because memory ran out")
    return failure


def _papermill(
    source: Path, draft: Path, values: Mapping[str, object], cell_s: float | None, bar: str, manager: type
) -> None:
    import effnet_lab.notebook_format  # noqa: F401, I001  before papermill imports it in its own way
    import papermill

    papermill.execute_notebook(
        source,
        draft,
        parameters=dict(values),
        kernel_name="python3",
        progress_bar={"desc": bar, "unit": "cell", "leave": True} if bar else False,
        execution_timeout=cell_s,
        iopub_timeout=60,  # nbclient's 4 s are too short on a loaded machine
        shutdown_kernel="immediate",  # asked to end, one that ran a network does not, and is ended after 2.5 s
        extra_arguments=_KERNEL_ARGUMENTS,
        kernel_manager_class=manager,
    )


class _Clock:
    """Kills a kernel that takes too long, whatever it is doing; what it waited for before it was there is not counted."""

    def __init__(self, seconds: float | None) -> None:
        self.rang = False
        self._pid: int | None = None
        self._timer = threading.Timer(seconds, self._ring) if seconds else None

    def watch(self, pid: int) -> None:
        self._pid = pid
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def end_kernel(self) -> None:
        """Leave no process: nothing to do after a kernel that was shut down."""
        if self._timer:
            self._timer.cancel()
        if self._pid is not None:
            end_kernel(self._pid)

    def _ring(self) -> None:
        self.rang = True
        self.end_kernel()


def end_kernel(pid: int) -> None:
    """End a kernel and what it started: it leads a process group of its own."""
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL) if os.name == "posix" else os.kill(pid, signal.SIGTERM)


def _failure(error: Exception, draft: Path) -> Failure:
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    name = str(getattr(error, "ename", type(error).__name__))
    lines = str(getattr(error, "evalue", error)).strip().splitlines() or [""]
    cell, number = _cell_of(error, draft)
    if isinstance(error, CellTimeoutError):
        return Failure(kind=TIMEOUT, name=name, message=lines[0], cell=cell, number=number)
    if hasattr(error, "ename"):
        text = lines[-1]
        kind = _kind_of(name, text)
        whole = str(getattr(error, "evalue", text)) if kind == USER else text
        return Failure(kind=kind, name=name, message=whole, cell=cell, number=number)
    if isinstance(error, DeadKernelError) or (isinstance(error, RuntimeError) and "ernel" in lines[0]):
        return Failure(kind=KERNEL, name="DeadKernelError", message=lines[0], cell=cell, number=number)
    if cell < 0 and isinstance(error, ValueError):  # of nbformat: what should be a notebook is none
        return Failure(kind=USER, name=name, message=f"This is not a notebook: {lines[0][:200]}")
    kind = DISK if is_disk_full(error) else CELL
    return Failure(kind=kind, name=name, message=lines[0], cell=cell, number=number)


def is_disk_full(error: Exception) -> bool:
    """Whether there was no room for what was to be written."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _kind_of(name: str, text: str) -> str:
    if name in _NO_MEMORY:
        return MEMORY
    if name in (WriteError.__name__, "OSError") and any(words in text for words in _FULL):
        return DISK
    return USER if name in _user_errors() else CELL


def _user_errors(kind: type[UserError] = UserError) -> set[str]:
    """Names of the errors that are the user's; a kernel hands over no more than the name."""
    return {kind.__name__, *(name for child in kind.__subclasses__() for name in _user_errors(child))}


def _cell_of(error: Exception, draft: Path) -> tuple[int, int | None]:
    """The cell that failed, among those of the file, and its number for a reader.

    A cell that gave no reply has no number; it is the last one that began.
    """
    from effnet_lab.notebook_format import nbformat

    try:
        cells = nbformat.read(draft, as_version=4).cells
    except (OSError, ValueError):  # never written, or cut short by a full disk
        return -1, None
    failed = [i for i, cell in enumerate(cells) if any(o.output_type == "error" for o in cell.get("outputs", []))]
    begun = [i for i, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    at = (failed or begun or [-1])[-1]
    number: Any = getattr(error, "exec_count", None)
    return at, number


def _killed_for_memory() -> int:
    """How many processes the system has ended for lack of memory: in this container, or on this machine."""
    for place in _KILLED_FOR_MEMORY:
        with suppress(OSError):
            for line in Path(place).read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep off the terminal what the libraries say of a kernel's death: a run says it in one line."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # after Ctrl-C the kernel's death is nobody's task any more
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # warns of `int | None`, which our own parser reads, too
    yield
