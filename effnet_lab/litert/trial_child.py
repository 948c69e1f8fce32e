"""The process that tries files: opens each as it is told, runs it twice, and says how far it came.

It is a script, started by `trial`, and imports nothing of this package: it has to be up in a tenth of a second. A line in:
JSON with `path`, `kernels`, `keep_all`. Lines out: the name of each step as it begins, at the end "done" and what was refused.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

try:
    import resource
except ImportError:  # not on this system
    resource = None  # type: ignore[assignment]

warnings.simplefilter("ignore")
_RANDOM = (np.int8, np.uint8, np.int16, np.float32)  # wider integers may be indices: zeros only


def limit_memory() -> None:
    """Let an allocation that no machine can satisfy fail here."""
    if resource is not None:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def attempt(say: Callable[[str], None], path: str, kernels: str, keep_all: bool) -> str:
    """Open, run twice, close; the interpreter's words where it refuses, else ""."""
    try:
        say("opened")
        interpreter = Interpreter(
            path,
            experimental_op_resolver_type=OpResolverType[kernels],
            experimental_preserve_all_tensors=keep_all,
            num_threads=1,
        )
        say("prepared")
        interpreter.allocate_tensors()
        rng = np.random.default_rng(0)
        say("run")
        refused = [_run(interpreter, rng), _run(interpreter, None)]
        say("closed")
        del interpreter
    except (RuntimeError, ValueError, MemoryError, TypeError) as error:
        return str(error) or type(error).__name__
    return refused[0] if all(refused) else ""


def _run(interpreter: Interpreter, rng: np.random.Generator | None) -> str:
    """Run once on random values, or on zeros; what was refused. Some networks run on most values: they divide by one of them."""
    for end in interpreter.get_input_details():
        shape, dtype = end["shape"], end["dtype"]
        given = np.zeros(shape) if rng is None or dtype not in _RANDOM else rng.uniform(-128, 127, shape)
        interpreter.set_tensor(end["index"], given.astype(dtype))
    try:
        interpreter.invoke()
    except RuntimeError as error:
        return str(error)
    return ""


def main() -> None:
    """Answer until nobody asks any more."""
    limit_memory()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to standard error

    def say(text: str) -> None:
        answers.write(text + "\n")
        answers.flush()

    for line in sys.stdin:
        asked = json.loads(line)
        refused = attempt(say, asked["path"], asked["kernels"], asked["keep_all"])
        say("done " + json.dumps(refused))


if __name__ == "__main__":
    main()
