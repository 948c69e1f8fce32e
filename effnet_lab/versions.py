"""Versions of what is installed, from the installed metadata: nothing heavy is imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def version_of(distribution: str) -> str | None:
    """Of one distribution; None where it is not installed, such as a checkout that is run as it is."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
