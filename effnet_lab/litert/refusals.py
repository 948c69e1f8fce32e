"""What the interpreter says when it refuses a model, in short."""

from __future__ import annotations

import re

_CUSTOM = re.compile(r"unresolved custom op: ([^\s.]+)")
_FLEX = re.compile(r"\((Flex\w+)\)")
_SENTENCE = re.compile(  # LiteRT puts its sentences together without a space, some without a full stop
    r"(?<=[\w)\]])\.(?!cc:|h:)(?=[A-Za-z])|(?<=XNNPACK delegate)(?=[a-z])|(?=Node number)"
)


def in_short(said: str) -> str:
    """The first two sentences of what the interpreter says; it can say the same of a hundred tensors."""
    if op := _CUSTOM.search(said):
        hint = (
            ": the file was compiled for the Edge TPU, give the one that it was made from" if "edgetpu" in op[1] else ""
        )
        return f"there is no kernel for its custom op {op[1][:60]!r} here{hint}"
    if "Select TensorFlow op" in said:
        names = ", ".join(dict.fromkeys(_FLEX.findall(said)))[:60]
        return f"it holds ops of TensorFlow itself ({names or 'Flex'}); convert it again with built-in ops only"
    lines = said.strip().splitlines() or ["it does not say why"]
    return ". ".join(_SENTENCE.split(lines[0])[:2]).rstrip(".")[:200]
