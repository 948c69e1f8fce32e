"""Where things lie, found in one place, and the one way a file is written."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from effnet_lab.names import UserError, WriteError

SCRATCH = "effnet-lab-"  # how folders for intermediate files begin, in the system's place for such
PART = ".part"  # how a file ends that is not yet whole
_ALIVE = ".alive"  # locked as long as the process runs that a folder belongs to
_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Models, baselines and published tables: inside an installed wheel, or beside the package in a checkout."""
    return _shipped("data")


def notebooks_dir() -> Path:
    """The notebooks: inside an installed wheel, or beside the package in a checkout."""
    return _shipped("notebooks")


def cache_dir() -> Path:
    """Where downloads are kept: ``$EFFNET_LAB_CACHE``, or the system's place (Linux: ``~/.cache/effnet-lab``)."""
    chosen = os.environ.get("EFFNET_LAB_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("effnet-lab", appauthor=False)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: a temporary neighbour takes the name when it is complete.

    Raises
    ------
    WriteError
        If the disk is full or the folder cannot be written to; it is an OSError and a UserError.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = open_beside(path)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o666 & ~_umask())  # mkstemp gives 0600
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WriteError(path, error) from None
        raise


def write_or_keep(path: Path, data: bytes) -> None:
    """As `write_atomically`; what cannot be written there goes to the system's place for intermediate files.

    Raises
    ------
    UserError
        That says where the data is now; a WriteError if there is no room there either.
    """
    try:
        write_atomically(path, data)
    except WriteError as error:
        kept = Path(tempfile.gettempdir()) / f"{SCRATCH}kept.{os.getpid()}.{path.name}"
        try:
            write_atomically(kept, data)
        except WriteError:
            raise error from None
        raise UserError(f"Cannot write {path}: {error.strerror}. What was computed is kept in {kept}.") from None


def require_room(path: Path) -> None:
    """Refuse a place that cannot be written to before anything slow begins; nothing is left there.

    Raises
    ------
    WriteError
        If the disk is full, or the nearest folder that exists cannot be written to.
    """
    nearest = path.parent if path.is_file() else path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest) as trial:
            trial.write(b"\0" * 4096)
    except OSError as error:
        raise WriteError(path, error) from None


def open_beside(path: Path) -> tuple[int, Path]:
    """An open file for what will become `path`, and its name."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=PART)
    return handle, Path(name)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for intermediate files, gone afterwards; if the process is killed, with `remove_left_behind`."""
    from filelock import FileLock

    with tempfile.TemporaryDirectory(prefix=SCRATCH) as name, FileLock(Path(name) / _ALIVE):
        yield Path(name)


@contextlib.contextmanager
def working_folder(kept: Path | None) -> Iterator[Path]:
    """A folder that keeps what is finished; without one, a folder that is gone afterwards."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with scratch_folder() as folder:
        yield folder


def remove_left_behind() -> list[Path]:
    """Remove what killed processes left: folders for intermediate files, and downloads that are not whole.

    What a living process holds is locked, and stays.
    """
    removed: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if not (entry.name.startswith(SCRATCH) and entry.is_dir(follow_symlinks=False)):
                continue
            if (alive := Path(entry.path) / _ALIVE).is_file():
                removed += _remove_unlocked(Path(entry.path), alive)
    with contextlib.suppress(OSError):
        for part in cache_dir().glob(f".*{PART}"):
            target = part.name[1:].removesuffix(PART).rpartition(".")[0]
            removed += _remove_unlocked(part, _lock_of(part.with_name(target)))
    return removed


def remove_parts(target: Path) -> None:
    """Remove what killed writers of a file left beside it; while a living one is at it, see `only_one`, all stays."""
    for part in target.parent.glob(f".{glob.escape(target.name[:100])}.*{PART}"):
        _remove_unlocked(part, _lock_of(target))


@contextlib.contextmanager
def only_one(target: Path) -> Iterator[None]:
    """Wait until no other process is at this file. The lock file goes away with its holder: those who wait make a new one.

    Raises
    ------
    WriteError
        If there can be no lock beside the file.
    """
    from filelock import FileLock

    path = _lock_of(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    except OSError as error:
        raise WriteError(target, error) from None
    try:
        yield
    finally:
        if os.name == "posix":  # Windows removes no open file; there the lock removes it when it is released
            path.unlink(missing_ok=True)
        lock.release()


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _remove_unlocked(path: Path, lock: Path) -> list[Path]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=0):
            if path.is_file():
                path.unlink()
            if os.name == "posix":
                lock.unlink(missing_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
    except (Timeout, OSError):  # in use, or not ours
        return []
    return [path]


def _shipped(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def _umask() -> int:
    """Permission bits that the user's new files lack; can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
