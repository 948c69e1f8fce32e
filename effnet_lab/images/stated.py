"""What a user says of a network's input, and where it came from where nobody said it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from effnet_lab.images.preprocess import INTERPOLATIONS, Grey, Preprocess
from effnet_lab.names import UserError, lookup

PRESETS = {"none": None, "squash": None}  # of the crop
_RANGE = re.compile(r"(-?[\d.]+(?:e-?\d+)?)\s*\.\.\s*(-?[\d.]+(?:e-?\d+)?)")
_CHANNELS = {"rgb": "RGB", "bgr": "BGR", "grey": "grey", "gray": "grey"}
_VALUES = ("mean", "std", "input_range", "channels")  # what a guess is about
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class StatedInput:
    """The preprocessing as far as the user states it; None, or empty text, is not stated.

    Examples
    --------
    >>> StatedInput(input_range="0..1", crop="none").over(Preprocess(size_px=96, origin="guessed")).std
    255.0
    """

    mean: float | str | Sequence[float] | None = None  # grey levels; three numbers: one per channel
    std: float | str | Sequence[float] | None = None
    input_range: str | tuple[float, float] | None = (
        None  # what black and white become, "0..255"; instead of mean and std
    )
    size: int | None = None  # px
    crop: float | str | None = None  # a share of the shorter side, or "none"
    interpolation: str | None = None
    channels: str | None = None  # RGB, BGR or grey
    guess: bool = False  # go on where the values are a guess

    def __post_init__(self) -> None:
        if _given(self.input_range) and (_given(self.mean) or _given(self.std)):
            raise UserError("State either the input range, or mean and std: they say the same thing.")
        if _given(self.interpolation):
            lookup("interpolation", str(self.interpolation), dict.fromkeys(INTERPOLATIONS))
        if _given(self.channels):
            lookup("channels", str(self.channels).lower(), _CHANNELS)
        self._tone()
        self._crop()

    def __bool__(self) -> bool:
        return any(_given(getattr(self, each.name)) for each in fields(self) if each.name != "guess")

    def over(self, found: Preprocess) -> Preprocess:
        """What was found, with what is stated in its place."""
        chosen: dict[str, object] = {} if (tone := self._tone()) is None else dict(tone)
        if _given(self.channels):
            chosen["channels"] = lookup("channels", str(self.channels).lower(), _CHANNELS)
        if any(_given(getattr(self, name)) for name in _VALUES[:3]) or (chosen and found.origin != "guessed"):
            chosen["origin"] = "stated"
        if _given(self.size):
            chosen |= {"size_px": self.size, "width_px": None}
        if _given(self.crop) or _given(self.interpolation):
            chosen["framing"] = "stated"
        if _given(self.crop):
            chosen["crop"] = self._crop()
        if _given(self.interpolation):
            chosen["interpolation"] = self.interpolation
        return replace(found, **chosen)  # type: ignore[arg-type]

    def written(self) -> dict[str, object]:
        """What is stated, by its name, as a user writes it: numbers and ranges as text.

        Examples
        --------
        >>> StatedInput(mean=(1, 2, 3), std=2.0, size=96).written()
        {'mean': '1,2,3', 'std': '2.0', 'size': 96}
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _as_written(name, value) for name, value in given.items() if _given(value) and value is not False}

    def _tone(self) -> dict[str, Grey] | None:
        """Mean and standard deviation, as far as they are stated."""
        if _given(self.input_range):
            low, high = _ends(self.input_range)
            std = 255 / (high - low)
            return {"mean": -low * std or 0.0, "std": std}
        stated = {"mean": self.mean, "std": self.std}
        return {name: _numbers(name, value) for name, value in stated.items() if _given(value)} or None

    def _crop(self) -> float | None:
        if not _given(self.crop) or str(self.crop).lower() in PRESETS:
            return None
        try:
            return float(self.crop)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise UserError(
                f"The crop is a share of the shorter side such as 0.875, or 'none'. Got {self.crop!r}."
            ) from None


Stated = StatedInput | Preprocess | None  # what functions take as `preprocess`


def stated_side(stated: Stated) -> int | None:
    """Side of the input that is asked for, px; None where nothing is said of it."""
    if isinstance(stated, Preprocess):
        return stated.size_px if stated.width_px is None else None
    return stated.size if stated else None


def tell(text: str) -> None:
    """One line for whoever runs this: on standard error, unless the program that uses the package wants it elsewhere."""
    log.warning(text)


def _given(value: object) -> bool:
    return value is not None and value != ""


def _as_written(name: str, value: object) -> object:
    if name in ("size", "guess"):
        return value
    if isinstance(value, tuple | list):
        return (".." if name == "input_range" else ",").join(map(str, value))
    return str(value)


def _ends(text: object) -> tuple[float, float]:
    """What black and white become."""
    try:
        if isinstance(text, str):
            match = _RANGE.fullmatch(text.strip())
            low, high = (float(end) for end in match.groups()) if match else (0.0, 0.0)
        else:
            low, high = (float(end) for end in text)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high < float("inf"):
        raise UserError(f"The input range is two numbers, as in 0..255, 0..1 or -1..1. Got {text!r}.")
    return low, high


def _numbers(name: str, value: object) -> Grey:
    """One number, or one for each channel: 127.5, or "123.675,116.28,103.53"."""
    try:
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
        numbers = tuple(float(part) for part in parts)  # type: ignore[arg-type]
        if len(numbers) not in (1, 3) or not all(abs(number) < 1e9 for number in numbers):
            raise ValueError
    except (TypeError, ValueError):
        raise UserError(f"The {name} is one number in grey levels, or three with commas. Got {value!r}.") from None
    if name == "std" and min(numbers) <= 0:
        raise UserError(f"The std must be > 0. Got {value!r}.")
    return numbers[0] if len(numbers) == 1 else numbers
