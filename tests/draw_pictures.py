"""Draw the README's picture of a run from the figures that it recorded: draw_pictures.py RESULTS PICTURES (needs Chromium)."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import kaleido
import plotly.io

PICTURES = ("tradeoffs",)  # names of recorded figures
SIZE = {"width": 900, "height": 560, "scale": 2}


def main(results: str, pictures: str) -> None:
    Path(pictures).mkdir(parents=True, exist_ok=True)
    kaleido.start_sync_server(n=1, mathjax=False, silence_warnings=True)
    for name in PICTURES:
        figure = plotly.io.read_json(Path(results) / "figures" / f"{name}.json")
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="The kopts argument is ignored"
            )  # of every call to a running server
            figure.write_image(Path(pictures) / f"{name}.png", **SIZE)
    kaleido.stop_sync_server()


if __name__ == "__main__":
    main(*sys.argv[1:])
