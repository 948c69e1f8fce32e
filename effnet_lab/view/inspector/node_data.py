"""Errors and verdicts for Model Explorer: its node data, one JSON file each, laid over the graph of the .tflite file.

Source of the format: google-ai-edge/model-explorer, node_data_builder.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from effnet_lab.names import lookup

GRADIENT = ("#00224e", "#575d6d", "#a59c74", "#fee838")  # of the front end's scale: bright is bad
_COLOURS = {"healthy": "#ffffff", "upstream": "#d9d9d9"}
_FAULT = "#f4b183"


def error_data(payload: Mapping[str, Any], metric: str = "sqnr_accumulated_db", file: int = 0) -> str:
    """A number per node of one file: one of the payload's metrics; nodes without the number are left out."""
    known = {one["id"]: one for one in payload["metrics"]}
    chosen, shown = lookup("metric", metric, known), payload["files"][file]
    results = {
        str(layer["node"]): {"value": value}
        for layer in shown["layers"]
        if math.isfinite(value := float(layer["values"][metric]))
    }
    colours = GRADIENT[::-1] if chosen["better"] == "higher" else GRADIENT
    gradient = [{"stop": i / (len(colours) - 1), "bgColor": colour} for i, colour in enumerate(colours)]
    words = f"{chosen['title']} ({chosen['unit']})" if chosen["unit"] else str(chosen["title"])
    return _as_text(shown["graph"], {"name": words, "results": results, "gradient": gradient})


def verdict_data(payload: Mapping[str, Any], file: int = 0) -> str:
    """The verdict of each node of one file, in words and colours."""
    shown = payload["files"][file]
    results = {
        str(layer["node"]): {
            "value": layer["verdict"], "bgColor": _COLOURS.get(layer["verdict"], _FAULT), "textColor": "#000000",
        }
        for layer in shown["layers"]
    }  # fmt: skip
    return _as_text(shown["graph"], {"name": "verdict", "results": results})


def _as_text(graph: str, data: Mapping[str, Any]) -> str:
    return json.dumps({graph: data}, indent=1)
