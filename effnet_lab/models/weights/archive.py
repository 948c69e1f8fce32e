"""Weights inside a .tar or .tar.gz: looked through completely, and only what is wanted is taken out."""

from __future__ import annotations

import errno
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from effnet_lab.models.weights.mapping import reason
from effnet_lab.names import UserError, WriteError
from effnet_lab.paths import scratch_folder

SUFFIXES = (".tar.gz", ".tgz", ".tar")
MOST_MEMBERS = 10_000
MOST_BYTES = 2_000_000_000  # unpacked; the largest official archive holds about a tenth of it
_WANTED = re.compile(r"checkpoint|.+\.index|.+\.data-\d{5}-of-\d{5}|saved_model\.pb|tfhub_module\.pb")


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Temporary folder with the checkpoint, or the SavedModel, of an archive.

    Nothing is written before every member has been looked at, and then only under names of our own choice.

    Raises
    ------
    UserError
        If the archive is damaged, too large, or has a member that points out of it or is a link.
    """
    with scratch_folder() as folder:
        try:
            with tarfile.open(path) as archive:
                for member, target in _plan(archive, path).items():
                    _extract(archive, member, folder / target)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise WriteError(folder, error) from None  # type: ignore[arg-type]
            raise UserError(f"Cannot unpack {path}: {reason(error)}. It may be cut short: download it again.") from None
        yield folder


def _plan(archive: tarfile.TarFile, path: Path) -> dict[tarfile.TarInfo, str]:
    """Members to extract, and under which names."""
    total = 0
    plan: dict[tarfile.TarInfo, str] = {}
    for count, member in enumerate(archive, start=1):
        name, total = PurePosixPath(member.name), total + member.size
        if name.is_absolute() or ".." in name.parts or "\\" in member.name:
            raise UserError(
                f"{path} has a member that points outside the archive: {member.name!r}. Do not trust this archive."
            )
        if not (member.isreg() or member.isdir()):
            raise UserError(
                f"{path} has a member that is a link or a device: {member.name!r}. Do not trust this archive."
            )
        if count > MOST_MEMBERS or total > MOST_BYTES:
            raise UserError(
                f"{path} unpacks to over {MOST_BYTES:,} bytes or {MOST_MEMBERS:,} files. Unpack it yourself and give the folder."
            )
        if member.isreg() and _WANTED.fullmatch(name.name):
            target = f"variables/{name.name}" if name.parent.name == "variables" else name.name
            if target in plan.values():
                raise UserError(f"{path} holds {name.name!r} more than once. Unpack it and give one folder of it.")
            plan[member] = target
    return plan


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    source = archive.extractfile(member)
    assert source is not None, member  # it is a regular file
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
