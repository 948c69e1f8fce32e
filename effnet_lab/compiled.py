"""Numba, loaded without what no kernel here needs."""

from __future__ import annotations

from importlib import import_module

from numba import njit
from numba.np import linalg

__all__ = ["njit"]


def _no_blas() -> None:
    raise ImportError


def _load_arrays() -> None:
    """Load what numba knows of arrays, but not all of `scipy.linalg` (.15 s), by which it only finds out that it is there.

    A kernel that multiplies matrices has it loaded all the same.
    """
    ensure_blas = linalg.ensure_blas
    linalg.ensure_blas = _no_blas
    try:
        import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ensure_blas


_load_arrays()
