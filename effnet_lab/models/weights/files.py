"""Weights from the network: into the cache once, whole and verified or not at all."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import pooch

from effnet_lab.models.weights.mapping import reason
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import cache_dir, only_one, open_beside, write_atomically
from effnet_lab.scaling import LITE

_OFFICIAL = "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet/lite"
TIMEOUT_S = 30  # without a byte


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A file elsewhere."""

    url: str
    sha256: str = ""  # hex digits, or the first few of them; "" when its maker publishes none

    @property
    def filename(self) -> str:
        """Name in the cache."""
        return self.url.rsplit("/", 1)[-1]


REMOTE = {f"imagenet-{name}": Remote(url=f"{_OFFICIAL}/efficientnet-{name}.tar.gz") for name in LITE}


def fetch(name: str, *, progress: bool = True) -> Path:
    """Path of a registered file in the cache; downloaded unless it is there.

    A file whose maker publishes no SHA-256 is trusted on first use: the hash of the first download is kept beside it, and
    from then on the file must have it. Several processes may ask at once: one downloads, the others wait.

    Parameters
    ----------
    name : str
        A key of `REMOTE`, such as "imagenet-lite0".
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    UserError
        If there is no network, no space or a wrong hash; nothing is left behind.
    """
    remote = lookup("file", name, REMOTE)
    target = cache_dir() / remote.filename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(target):
            if not target.exists():
                _download(remote, target, progress)
            _verify(remote, target)
    except OSError as error:
        raise UserError(
            f"Cannot use the cache at {target.parent}: {error.strerror or error}. Set EFFNET_LAB_CACHE."
        ) from None
    return target


def _download(remote: Remote, target: Path, progress: bool) -> None:
    handle, temporary = open_beside(target)
    os.close(handle)
    try:
        pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT_S)(remote.url, str(temporary), None)
        found = pooch.file_hash(str(temporary))
        if not found.startswith(remote.sha256):
            raise UserError(
                f"{remote.url} has SHA-256 {found}, but {remote.sha256} was expected. Try again, or do not trust it."
            )
        write_atomically(_note(target), f"{found}  {target.name}\n".encode())
        temporary.chmod(0o644)
        os.replace(temporary, target)
    except OSError as error:  # what requests raises is one, too
        _note(target).unlink(missing_ok=True)
        raise _explained(error, remote, target) from None
    finally:
        temporary.unlink(missing_ok=True)


def _explained(error: OSError, remote: Remote, target: Path) -> UserError:
    if error.errno == errno.ENOSPC:
        return UserError(f"No space left in {target.parent} for {target.name}. Make room, or set EFFNET_LAB_CACHE.")
    return UserError(f"Cannot download {remote.url}: {reason(error)}. Without a network, put that file at {target}.")


def _verify(remote: Remote, target: Path) -> None:
    """A file that somebody put there by hand is trusted on first use, too."""
    note, found = _note(target), pooch.file_hash(str(target))
    noted = note.read_text(encoding="utf-8").split() if note.exists() else []
    expected = noted[0] if noted else remote.sha256
    if not found.startswith(expected) or not found.startswith(remote.sha256):
        raise UserError(
            f"{target} has SHA-256 {found}, but {expected} was expected. Remove it and {note.name}, and try again."
        )
    if not note.exists():
        write_atomically(note, f"{found}  {target.name}\n".encode())


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")
