"""Places in the array of sums over a tensor and its quantized counterpart."""

from __future__ import annotations

COUNT, REFERENCE2, QUANTIZED2, PRODUCT, ERROR2, ERROR, OUTSIDE, MAX_ERROR, LOW, HIGH = range(10)
EMPTY = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, float("inf"), float("-inf"))
