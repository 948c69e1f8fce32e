"""Bytes of a picture to pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from effnet_lab.names import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")
_BROKEN = (  # what Pillow raises for damaged files
    OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def decode(data: bytes, name: str) -> NDArray[Any]:
    """Decode JPEG or PNG to uint8 (h, w, 3) RGB.

    An alpha channel is dropped; 16-bit samples keep their upper 8 bits; CMYK, palettes and grey become RGB; EXIF orientation
    is ignored, as TensorFlow does.

    Raises
    ------
    UserError
        If the bytes are no complete picture; `name` says which file they came from.
    """
    if not data:
        raise UserError(f"Cannot decode {name}: the file is empty. Replace the file or remove it.")
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        image.load()
        return np.array(_rgb(image))
    except _BROKEN as error:
        reason = "neither JPEG nor PNG" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UserError(
            f"Cannot decode {name}: {reason or type(error).__name__}. Replace the file or remove it."
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:  # Pillow warns on the direct way
        image = image.convert("RGBA")
    return image.convert("RGB")
