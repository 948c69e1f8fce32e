"""Keep the chatter of libraries off the terminal and out of notebooks."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what Python prints and what C++ writes to the file descriptors 1 and 2.

    If the block fails, its exception carries the end of it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    printed = io.StringIO()  # in a notebook, what Python prints does not pass through the descriptors
    with tempfile.TemporaryFile() as written:
        kept = [(fd, os.dup(fd)) for fd in (1, 2)]
        try:
            for fd, _copy in kept:
                os.dup2(written.fileno(), fd)
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                yield
        except Exception as error:
            written.seek(0)
            error.add_note((printed.getvalue() + written.read().decode("utf-8", "replace"))[-2000:])
            raise
        finally:
            for fd, copy in kept:
                os.dup2(copy, fd)
                os.close(copy)
