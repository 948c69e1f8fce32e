"""The inspector as one HTML file: opens from a disk, asks no server for anything."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ margin: 0; }}
h1 {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
@media (prefers-color-scheme: dark) {{ body {{ background: #16181c; }} }}
{style}
</style>
</head>
<body>
<main><h1>{title}</h1><div id="inspector"></div></main>
<script type="application/json" id="payload">{payload}</script>
<script type="module">
{script}
const payload = JSON.parse(document.getElementById("payload").textContent);
const inspector = mount(document.getElementById("inspector"), payload);
if (payload.state) inspector.move(payload.state);
</script>
</body>
</html>
"""


def front_end(name: str) -> str:
    """Text of a file of the front end: "inspector.js" or "inspector.css"."""
    return files("effnet_lab.view.inspector").joinpath(name).read_text(encoding="utf-8")


def inspector_page(payload: Mapping[str, object], *, title: str = "effnet-lab inspector") -> str:
    """The whole page.

    Parameters
    ----------
    payload : mapping
        What the front end draws.
    title : str
        Of the browser's tab.
    """
    return _PAGE.format(
        title=html.escape(title),
        style=front_end("inspector.css"),
        script=front_end("inspector.js"),
        payload=as_json(payload),
    )


def as_json(payload: Mapping[str, object]) -> str:
    """JSON that may stand inside a script element: no name in it can end the element; NaN is null, infinities are text."""
    text = json.dumps(plain(payload), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plain(value: Any) -> Any:
    """The same without what JSON does not have: NaN is None, infinities are text, tuples are lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value
