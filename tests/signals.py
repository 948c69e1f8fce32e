"""Ctrl-C between any two lines of the package."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable


def stopped_at_line(count: int, call: Callable[[], object]) -> bool:
    """Does Ctrl-C end this call, when it comes at the `count`-th line that runs in the package?"""
    lines = itertools.count(1)

    def stop(frame, event, _argument):
        if event == "line" and frame.f_globals["__name__"].startswith("effnet_lab") and next(lines) == count:
            raise KeyboardInterrupt
        return stop

    before = sys.gettrace()
    sys.settrace(stop)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
