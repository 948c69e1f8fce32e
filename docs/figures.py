"""Draw the figures of the explanations from the real thing: figures.py OUT (needs Chromium, takes about a minute)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import kaleido
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from safetensors.numpy import load_file

from effnet_lab import intervals
from effnet_lab.paths import data_dir
from effnet_lab.scaling import VARIANTS, Compound, get_spec, layer_counts, variants
from effnet_lab.view import plot_notions, theme

SIZE = {"width": 900, "height": theme.HEIGHT_PX, "scale": 2}


def scaling() -> go.Figure:
    """MAdds when one dimension grows, or all three: exact counts, with the steps that rounding makes."""
    base, compound = get_spec("lite0"), Compound()
    factors = np.arange(1, 2.01, 0.02)
    lines = {
        "depth alone": [replace(base, depth=f) for f in factors],
        "width alone": [replace(base, width=f) for f in factors],
        "resolution alone": [replace(base, resolution=round(224 * f / 8) * 8) for f in factors],
    }
    figure = theme.new_figure("MAdds of lite0 when a dimension grows")
    for name, specs in lines.items():
        figure.add_scatter(x=factors, y=[madds(spec) / madds(base) for spec in specs], name=name, mode="lines")
    phi = np.arange(0, 2.01, 0.05)
    together = [madds(compound.spec(base, p, "together")) / madds(base) for p in phi]
    figure.add_scatter(x=1.2**phi, y=together, name="all three together (axis: depth)", mode="lines", line_dash="dot")
    return figure.update_layout(xaxis_title="growth of the dimension", yaxis_title="MAdds, lite0 = 1")


def madds(spec: object) -> int:
    return int(layer_counts(spec)["madds"].sum())


def channels() -> go.Figure:
    """Largest weight of each channel of a real depthwise kernel: what one scale for all of them costs the small ones."""
    weights = load_file(data_dir() / "models" / "micro2.safetensors")
    kernel = weights["blocks_3_dwconv/depthwise_kernel"][
        ..., 0
    ]  # as stored; the converter multiplies the batch norm in
    norm = weights["blocks_3_dwconv_bn/gamma"] / np.sqrt(weights["blocks_3_dwconv_bn/moving_variance"] + 1e-3)
    largest = np.sort(np.abs(kernel * norm).max(axis=(0, 1)))
    figure = theme.new_figure("One depthwise kernel of micro2: steps of int8 that a channel's largest weight spans")
    steps = 127 * largest / largest[-1]
    figure.add_bar(x=np.arange(len(largest)), y=steps, name="one scale for the whole kernel (per tensor)")
    figure.add_scatter(
        x=[0, len(largest) - 1], y=[127, 127], name="a scale for each channel (per channel)", mode="lines"
    )
    return figure.update_layout(xaxis_title="channel, smallest first", yaxis_title="steps from 0")


def notions() -> go.Figure:
    """Accumulated, local and effect of every layer of micro2 in int8."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"micro2.{scheme}.converter.tflite") for scheme in ("float32", "static_wi8_ai8")]
        run("export", "--weights", "micro2", "--format", "float32,int8", "--out", folder)
        out = str(Path(folder) / "errors.csv")
        words = ["--images", "scenes", "--limit", "64", "--notions", "accumulated,local,effect", "--out", out]
        run("layer-error", "--float", files[0], "--quantized", files[1], *words)
        return plot_notions(pd.read_csv(out, keep_default_na=False, na_values=[""]))


def run(*words: str) -> None:
    subprocess.run([sys.executable, "-c", "from effnet_lab.cli import main; main()", *words], check=True)


def wilson() -> go.Figure:
    """Half the width of the interval of a top-1 against the number of images."""
    n = np.unique(np.geomspace(20, 50_000, 80).astype(int))
    figure = theme.new_figure("How far the true top-1 may be from the measured one, 95 %")
    for share in (0.75, 0.95):
        ends = [intervals.wilson(round(share * size), int(size)) for size in n]
        figure.add_scatter(x=n, y=[(high - low) / 2 for low, high in ends], name=f"top-1 {share:.0%}", mode="lines")
    figure.update_xaxes(type="log", title="images", tickvals=[20, 100, 500, 2000, 10_000, 50_000])
    ticks = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
    return figure.update_yaxes(type="log", title="half of the interval", tickformat=".1%", tickvals=ticks)


def published() -> go.Figure:
    """MAdds by our rule, with three operations more per output of a convolution, and as published."""
    table = variants().query("published_madds == published_madds")
    extra = []
    for name in table["model"]:
        layers = layer_counts(VARIANTS[name])
        inside = layers[layers["op"].isin(["conv", "depthwise"])]
        extra.append(int((3 * inside["out_side_px"] ** 2 * inside["out_channels"]).sum()))
    figure = theme.new_figure("The published MAdds count the batch norm as well", height=theme.DETAIL_HEIGHT_PX)
    figure.add_bar(x=table["model"], y=table["madds"], name="convolutions and dense layers")
    figure.add_bar(x=table["model"], y=extra, name="3 per output of a convolution")
    cross = {"symbol": "x", "size": 11, "color": theme.INK}
    figure.add_scatter(x=table["model"], y=table["published_madds"], name="published", mode="markers", marker=cross)
    return figure.update_layout(barmode="stack", yaxis_title="MAdds per image")


FIGURES = {"scaling": scaling, "channels": channels, "notions": notions, "wilson": wilson, "published": published}


def main(out: str, *names: str) -> None:
    """Draw all figures, or those that are named, into a folder."""
    Path(out).mkdir(parents=True, exist_ok=True)
    kaleido.start_sync_server(n=1, mathjax=False, silence_warnings=True)
    for name in names or FIGURES:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The kopts argument is ignored")  # of every call to a server
            FIGURES[name]().write_image(Path(out) / f"{name}.png", **SIZE)
    kaleido.stop_sync_server()


if __name__ == "__main__":
    main(*sys.argv[1:])
