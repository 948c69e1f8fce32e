"""nbformat, without 39 grammars that no notebook needs.

jsonschema, which nbformat imports, builds them at its import to check a kind of text (IRI), where the library that has them is
installed: 1.3 s of CPU in every command that opens a notebook, and in every kernel that draws a figure of plotly.
"""

from __future__ import annotations

import sys
from typing import Any

_GRAMMARS = "rfc3987_syntax"

_modules: dict[str, Any] = sys.modules
if _GRAMMARS in _modules:
    import nbformat
else:
    _modules[_GRAMMARS] = None  # an import of it fails, and jsonschema goes on without
    try:
        import nbformat
    finally:
        del _modules[_GRAMMARS]

__all__ = ["nbformat"]
