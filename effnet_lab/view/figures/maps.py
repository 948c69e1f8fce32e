"""What a network computes on its way, as pictures: one small map per channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from effnet_lab.view import theme

N_MAPS, N_COLUMNS = 24, 8  # drawn, and beside each other; half as many when one row would hold all
FEWEST, MOST = 24, 48  # cells along a tile: small maps are repeated, large ones averaged
TITLE_PX = 56  # above and below the tiles
PAGE_PX = 720  # width that the tiles get on a usual page, for the height of the figure


def plot_endpoint(maps: NDArray[Any], name: str, n: int = N_MAPS) -> go.Figure:
    """Maps of the channels that vary most, on one colour scale; a vector as bars.

    Parameters
    ----------
    maps : ndarray, float (h, w, c) or (c,)
        Output of one endpoint for one picture.
    name : str
        Of the endpoint.
    n : int
        Maps drawn, in the order of their channels.
    """
    if maps.ndim == 1:
        return _bars(maps, name)
    if maps.ndim != 3:
        raise ValueError(f"plot_endpoint takes (h, w, c) or (c,). Got {maps.shape}.")
    height, width, channels = maps.shape
    spread = maps.std(axis=(0, 1)) if height * width > 1 else np.abs(maps[0, 0])
    chosen = np.sort(np.argsort(-spread, kind="stable")[:n])
    words = f"the {len(chosen)} that vary most" if len(chosen) < channels else "all of them"
    title = f"{name}: {channels} maps of {width} x {height}, {words}"
    tiles = np.stack([_tile(maps[..., channel]) for channel in chosen])
    grid, of_channel, corners = _grid(tiles, chosen)
    tall = min(2 * theme.HEIGHT_PX, round(PAGE_PX * grid.shape[0] / grid.shape[1]))
    fig = theme.new_figure(title, tall + TITLE_PX).update_layout(margin={"t": TITLE_PX - 8, "l": 8, "r": 8, "b": 8})
    fig.add_heatmap(
        z=grid, customdata=of_channel, name="maps", hoverongaps=False, **_colors(maps[..., chosen]),
        hovertemplate="channel %{customdata}<br>%{z:.4g}<extra></extra>",
        colorbar={"title": {"text": "activation", "side": "right", "font": {"size": 13}}, "thickness": 14, "outlinewidth": 0},
    )  # fmt: skip
    x, y = zip(*corners, strict=True)
    fig.add_scatter(
        x=x, y=y, mode="text", text=[str(channel) for channel in chosen], textposition="top right", name="channel",
        textfont={"size": 11, "color": theme.GREY}, hoverinfo="skip", showlegend=False, cliponaxis=False,
    )  # fmt: skip
    fig.update_xaxes(visible=False, range=[-0.5, grid.shape[1] - 0.5], constrain="domain")
    return fig.update_yaxes(visible=False, range=[grid.shape[0] - 0.5, -0.5], scaleanchor="x", constrain="domain")


def _tile(values: NDArray[Any]) -> NDArray[Any]:
    """One map, with as many cells along its longer side as can be seen on a page."""
    values = values.astype(np.float32)
    side = max(values.shape)
    if side <= MOST:
        return np.kron(values, np.ones((-(-FEWEST // side),) * 2, np.float32))
    step = -(-side // MOST)
    rows, columns = (np.arange(0, size, step) for size in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    return sums / np.outer(np.diff([*rows, values.shape[0]]), np.diff([*columns, values.shape[1]])).astype(np.float32)


def _grid(tiles: NDArray[Any], channels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], list[tuple[float, float]]]:
    """Tiles in rows with room for a number above each: values, channel of every cell, top left corner of every tile."""
    n, height, width = tiles.shape
    gap, head = max(1, width // 12), max(2, height // 5)
    n_columns = N_COLUMNS if n > N_COLUMNS else N_COLUMNS // 2
    n_rows = -(-n // n_columns)
    grid = np.full((n_rows * (height + head), n_columns * (width + gap) - gap), np.nan, np.float32)
    of_channel = np.zeros(grid.shape, np.int16)
    corners = []
    for i, (tile, channel) in enumerate(zip(tiles, channels, strict=True)):
        top, left = i // n_columns * (height + head) + head, i % n_columns * (width + gap)
        grid[top : top + height, left : left + width] = tile
        of_channel[top : top + height, left : left + width] = channel
        corners.append((left - 0.5, top - 0.5))
    return grid, of_channel, corners


def _colors(values: NDArray[Any]) -> dict[str, object]:
    """Dark is much; where there are negative values, white is zero. The largest 0.5 % of the values share one colour."""
    low, high = float(values.min()), float(np.quantile(np.abs(values), 0.995)) or 1.0
    if low < 0:
        return {"colorscale": "RdBu", "reversescale": True, "zmin": -high, "zmax": high}
    return {"colorscale": "Viridis", "zmin": 0.0, "zmax": high}


def _bars(values: NDArray[Any], name: str) -> go.Figure:
    fig = theme.new_figure(f"{name}: {len(values)} values").update_layout(margin_t=theme.BARE_TOP_PX, bargap=0)
    fig.add_bar(
        y=values, name="values", marker={"color": theme.BLUE, "line": {"width": 0}},
        hovertemplate="channel %{x}<br>%{y:.4g}<extra></extra>",
    )  # fmt: skip
    return fig.update_xaxes(title_text="channel").update_yaxes(title_text="value")
