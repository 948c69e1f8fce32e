"""What a network is shown: pictures, or arrays of any kind, behind one door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from numpy.typing import NDArray

from effnet_lab.images.preprocess import Preprocess


@runtime_checkable
class Samples(Protocol):
    """Samples of one split of one source, read one at a time. `ImageSet` and `ArraySet` are the two kinds."""

    counted: ClassVar[str]  # what a sentence calls them

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> NDArray[Any]: ...
    @property
    def labelled(self) -> bool: ...

    def __len__(self) -> int: ...

    def sample(self, index: int, preprocess: Preprocess | None) -> tuple[NDArray[Any], ...]:
        """One float32 array for each input of the network, in its order, without the batch axis; safe in threads."""
        ...

    def samples(self, preprocess: Preprocess | None) -> Iterator[tuple[NDArray[Any], ...]]:
        """Every sample, in order."""
        ...

    def take(self, limit: int | None) -> Self:
        """The same `limit` samples every time; None takes all."""
        ...

    def pick(self, indices: NDArray[Any]) -> Self:
        """The samples at these indices, in this order."""
        ...

    def require_calibration(self) -> None:
        """Refuse to calibrate with samples that measure accuracy."""
        ...
