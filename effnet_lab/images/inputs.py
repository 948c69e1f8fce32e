"""Inputs that are no pictures: spectrograms, vectors, windows of sensor values, from .npy and .npz files."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.imageset import digest, require_limit, spread
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.names import UserError, suggest

SUFFIXES = (".npy", ".npz")
LABELS = "labels"  # name of the array in an .npz that holds a class number for every sample
VALUES = ("real", "codes")


class InputSlot(NamedTuple):
    """One input of a network, as far as arrays must fit it."""

    names: tuple[str, ...]  # by which an array may call it
    shape: tuple[int, ...]  # of the network's tensor, with the batch axis
    dtype: np.dtype
    scale: float  # of a quantized input, else 0
    zero_point: int
    open_size: bool = False  # the file leaves a side open, and states a stand-in


@dataclass(frozen=True, kw_only=True, eq=False)
class ArraySet:
    """Samples from arrays: the first axis counts them. Offers what `ImageSet` does, for networks that take no pictures."""

    counted: ClassVar[str] = "samples"  # what a sentence calls them
    name: str
    arrays: Mapping[str, NDArray[Any]]  # (n, ...) each, by name; "" where the file names none
    fingerprint: str
    labels: NDArray[Any]  # int64 (n,); zeros where there are none
    classes: tuple[str, ...] = ()
    positional: bool = True  # labels are outputs of a network by number
    values: str = ""  # "real" or "codes": what integers for a quantized input are; "" where nobody has said
    split: str = "all"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        """Whether somebody has said what the samples show."""
        return bool(self.classes)

    def unlabelled(self) -> ArraySet:
        """The same samples, without what they show."""
        return replace(self, classes=(), labels=np.zeros(len(self), np.int64))

    def take(self, limit: int | None) -> ArraySet:
        """The same `limit` samples every time, spread evenly over the classes; None takes all."""
        require_limit(limit)
        return self if limit is None or limit >= len(self) else self.pick(spread(self.labels, limit))

    def pick(self, indices: NDArray[Any]) -> ArraySet:
        """The samples at these indices, in this order."""
        indices = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            arrays={name: array[indices] for name, array in self.arrays.items()},
            labels=self.labels[indices],
            fingerprint=digest(self.fingerprint.encode(), indices.tobytes()),
        )

    def require_calibration(self) -> None:
        """Arrays have no splits; what they are for is the user's word."""

    def sample(self, index: int, preprocess: Preprocess | None = None) -> tuple[NDArray[Any], ...]:
        """One float32 array for each input, without the batch axis. Call it on what `fitted` returns."""
        return tuple(np.asarray(array[index], dtype=np.float32) for array in self.arrays.values())

    def samples(self, preprocess: Preprocess | None = None) -> Iterator[tuple[NDArray[Any], ...]]:
        """Every sample, in order."""
        return (self.sample(i) for i in range(len(self)))

    def fitted(self, slots: Sequence[InputSlot], network: str) -> ArraySet:
        """The same samples with an array for each input of the network, in its order and shape, as real values.

        An array belongs to the input whose name it has, or else to the one at its place in the file.

        Raises
        ------
        UserError
            If the arrays are not what the network takes: names the input and both shapes.
        """
        if len(self.arrays) != len(slots):
            raise UserError(
                f"{network} takes {len(slots)} inputs ({', '.join(slot.names[0] for slot in slots)}), {self.name} holds "
                f"{len(self.arrays)} arrays ({', '.join(self.arrays) or 'none'}). Give an .npz with one array for each."
            )
        named = [next((name for name in slot.names if name in self.arrays), None) for slot in slots]
        chosen = [name for name in named if name is not None]
        if len(chosen) != len(slots):
            chosen = list(self.arrays)
        return replace(
            self,
            arrays={
                name: self._fit(self.arrays[name], slot, network) for name, slot in zip(chosen, slots, strict=True)
            },
            values="real",
        )

    def _fit(self, array: NDArray[Any], slot: InputSlot, network: str) -> NDArray[Any]:
        wanted = slot.shape[1:] if slot.shape[:1] == (1,) else slot.shape
        if array.shape[1:] == (1, *wanted):  # each sample with its own batch axis
            array = array[:, 0]
        elif (
            array.shape[1:] != wanted and array[0].size == int(np.prod(wanted)) and 1 in (*array.shape[1:], *wanted, 1)
        ):
            squeezed = [tuple(side for side in shape if side != 1) for shape in (array.shape[1:], wanted)]
            array = array.reshape(len(array), *wanted) if squeezed[0] == squeezed[1] else array
        if array.shape[1:] != wanted:
            raise UserError(
                f"{network} takes {wanted} for its input {slot.names[0]!r}, {self.name} holds {array.shape[1:]} for each "
                f"of {len(array)} samples. "
                + (
                    "The file leaves that size open: export it with the size that you use."
                    if slot.open_size
                    else f"Give an array of shape (samples, {', '.join(map(str, wanted))})."
                )
            )
        return self._real(array, slot)

    def _real(self, array: NDArray[Any], slot: InputSlot) -> NDArray[Any]:
        """Codes of the input's own type to what they stand for."""
        if not slot.scale or array.dtype != slot.dtype or self.values == "real":
            return array
        if not self.values:
            raise UserError(
                f"{self.name} holds {array.dtype} for an input that is quantized to {array.dtype}. Say what the numbers are: "
                f"'{self.name}?values=codes' of that input, or '?values=real'."
            )
        return (array.astype(np.float32) - np.float32(slot.zero_point)) * np.float32(slot.scale)


def open_arrays(path: Path, options: Mapping[str, str]) -> ArraySet:
    """Open an .npy, or an .npz with an array for each input of a network and perhaps one called "labels".

    Parameters
    ----------
    path : Path
    options : mapping
        "values": "codes" says that integers are codes of a quantized input, "real" that they are plain numbers.

    Raises
    ------
    UserError
        If the file is no such archive, or its arrays are not numbers of one count of samples.
    """
    for key in options:
        if key != "values":
            raise UserError(suggest(f"option of {str(path)!r}", key, ("values",)))
    if (values := options.get("values", "")) not in ("", *VALUES):
        raise UserError(suggest("values", values, VALUES))
    arrays = _load(path)
    labels = arrays.pop(LABELS, None) if len(arrays) > 1 else None
    for name, array in arrays.items():
        if array.ndim < 1 or array.dtype.kind not in "fiub":
            raise UserError(
                f"{path}: {name or 'the array'} is {array.dtype} {array.shape}. Give numbers, samples first."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{path}: {name or 'the array'} holds NaN or infinity. Remove these samples.")
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        raise UserError(f"{path}: its arrays hold {sorted(counts)} samples. Give each the same number, at least one.")
    n = counts.pop()
    sums = (hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest() for array in arrays.values())
    classes: tuple[str, ...] = ()
    if labels is not None:
        if labels.shape != (n,) or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise UserError(f"{path}: 'labels' must be {n} whole numbers from 0. Got {labels.dtype} {labels.shape}.")
        classes = tuple(str(i) for i in range(int(labels.max()) + 1))
    return ArraySet(
        name=path.name, arrays=arrays, values=values, classes=classes,
        labels=np.zeros(n, np.int64) if labels is None else labels.astype(np.int64),
        fingerprint=digest(b"arrays 1", values.encode(), *sums, b"" if labels is None else labels.tobytes()),
    )  # fmt: skip


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if path.suffix == ".npy":
            return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        MemoryError,
    ) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"Cannot read {path} as arrays of numbers: {said}. Write it with numpy.save or numpy.savez."
        ) from None
