"""Weights that a file stores without their zeros: back to one value for every place.

Source: tensorflow/lite/schema/schema.fbs, SparsityParameters; the order in which TFLite's FormatConverter walks.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from effnet_lab.names import UserError


def dense(
    values: NDArray[np.generic], shape: tuple[int, ...], stored: schema.SparsityParametersT
) -> NDArray[np.generic]:
    """All values of a tensor, from those that are stored.

    Parameters
    ----------
    values : ndarray
        Those that are stored, in their order.
    shape : tuple of int
        Of the whole tensor.
    stored : SparsityParametersT
        Where they belong: axes in the order in which they are walked, the inner ones those of blocks.

    Raises
    ------
    UserError
        If the places do not fit the shape or the number of values.
    """
    order = [int(axis) for axis in stored.traversalOrder]
    blocks = [] if stored.blockMap is None else [int(axis) for axis in stored.blockMap]
    try:
        places = _places(stored.dimMetadata, len(values), int(np.prod(shape, dtype=np.int64)))
        inner = dict(zip(order, places.T, strict=True))
        sides = {axis: int(each.denseSize) for axis, each in zip(order, stored.dimMetadata, strict=True)}
        whole = [inner[axis] for axis in range(len(shape))]
        for i, axis in enumerate(blocks):
            whole[axis] = whole[axis] * sides[len(shape) + i] + inner[len(shape) + i]
        if min(int(each.min(initial=0)) for each in whole) < 0:
            raise ValueError("a negative place")
        full = np.zeros(shape, values.dtype)
        full[tuple(whole)] = values
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise UserError(f"A sparse tensor of shape {shape} states places that do not fit: {str(error)[:80]}.") from None
    return full


def _places(axes: list[schema.DimensionMetadataT], n_values: int, most: int) -> NDArray[np.int64]:
    """Index along every axis of each stored value, (values, axes)."""
    places, rows = np.zeros((1, 0), np.int64), np.zeros(1, np.int64)  # rows: which slice of the next axis
    for axis in axes:
        if axis.format == schema.DimensionType.DENSE:
            size = int(axis.denseSize)
            if not 0 < size * len(rows) <= most:
                raise ValueError(f"{size * len(rows)} places")
            index, parent = np.tile(np.arange(size), len(rows)), np.repeat(np.arange(len(rows)), size)
            rows = rows[parent] * size + index
        else:
            segments, indices = (np.asarray(part.values, np.int64) for part in (axis.arraySegments, axis.arrayIndices))
            if (segments[rows + 1] - segments[rows]).clip(0).sum() > most or segments.min(initial=0) < 0:
                raise ValueError("more places than values")
            spans = [np.arange(segments[row], segments[row + 1]) for row in rows]
            parent = np.repeat(np.arange(len(rows)), [len(span) for span in spans])
            rows = np.concatenate(spans) if spans else np.zeros(0, np.int64)
            index = indices[rows]
        places = np.column_stack([places[parent], index])
    if len(places) != n_values:
        raise ValueError(f"{len(places)} places for {n_values} values")
    return places
