"""Keep the chatter of C++ libraries off the terminal and out of notebooks."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what is written to the file descriptors 1 and 2; if the block fails, its exception carries the end of it."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        kept = [(fd, os.dup(fd)) for fd in (1, 2)]
        try:
            for fd, _copy in kept:
                os.dup2(log.fileno(), fd)
            yield
        except Exception as error:
            log.seek(0)
            error.add_note(log.read().decode("utf-8", "replace")[-2000:])
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for fd, copy in kept:
                os.dup2(copy, fd)
                os.close(copy)
