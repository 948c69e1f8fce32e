"""A bar counts what the user counts, images or runs, also where the work is done in larger pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TypeVar

T = TypeVar("T")
Progress = Callable[..., Iterable[Any]]  # wraps what is counted, as `tqdm` does


def counted(
    progress: Progress | None, pieces: Iterable[T], total: int, size: Callable[[T], int] | None = None
) -> Iterator[T]:
    """The pieces as they come, while a bar counts what they are made of.

    Parameters
    ----------
    progress : callable or None
        Wraps ``range(total)``; None: nobody watches.
    pieces : iterable
        Batches of images, say.
    total : int
        What all of them are made of.
    size : callable, optional
        How much of it is in a piece; by default its length.
    """
    if progress is None:
        yield from pieces
        return
    many = size or _length
    ticks = iter(progress(range(total), total=total))
    next(ticks, None)  # the bar stands there before the first piece is done
    try:
        for piece in pieces:
            yield piece
            for _ in range(many(piece)):
                next(ticks, None)
    finally:
        if (close := getattr(ticks, "close", None)) is not None:
            close()


def _length(piece: object) -> int:
    assert isinstance(piece, Sized)
    return len(piece)
