"""Which block of a network a layer belongs to, by its name."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"(?:.*/)?((?:blocks?|stage|layer|bottleneck|inverted_res\w*)_?\d+[a-z]?)(?:\W|_|$)", re.IGNORECASE)


def block_of(layer: str) -> str:
    """The block that is named in a layer's name; "" where none is."""
    match = _BLOCK.match(layer)
    return match[1] if match else ""
