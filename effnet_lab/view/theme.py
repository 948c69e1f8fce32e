"""The look of every figure: one plotly template, one palette, three heights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import plotly.graph_objects as go

import effnet_lab.notebook_format  # noqa: F401  plotly imports nbformat where it shows a figure

T = TypeVar("T")

# Distinguishable with every common colour blindness. Source: Okabe and Ito, "Color Universal Design", 2008; their
# yellow is left out, it vanishes on white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B6470",
)  # fmt: skip
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star", "pentagon", "hexagon", "bowtie",
)  # fmt: skip
DASHES = ("solid", "dot", "dash", "dashdot", "longdash")
BESIDE = {  # legend to the right of the plot
    "orientation": "v",
    "yref": "paper",
    "x": 1.02,
    "xanchor": "left",
    "yanchor": "top",
    "title_font_size": 13,
}
INK, FAINT, RULE = "#1F2933", "#E6E9ED", "#9AA5B1"  # text, grid, axis lines
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
# The colour of an operator is the same in every figure; what is not here takes one by its name.
OP_COLORS = {
    "conv": BLUE, "depthwise": ORANGE, "dense": GREEN, "add": PURPLE, "mul": SKY, "mean": GREY, "softmax": VERMILION,
    "pad": SKY, "reshape": GREY, "quantize": VERMILION, "dequantize": VERMILION, "": RULE,
}  # fmt: skip
HEIGHT_PX, DETAIL_HEIGHT_PX = 440, 320  # a figure on its own; a second figure under it
BARE_TOP_PX = 52  # top margin of a figure whose legend is not between title and plot
PICTURE_PX = (900, HEIGHT_PX)  # width and height of an exported picture

_AXIS = {
    "showline": True, "linecolor": RULE, "ticks": "outside", "tickcolor": RULE, "ticklen": 4, "gridcolor": FAINT,
    "zeroline": False, "automargin": True, "title": {"standoff": 10, "font": {"size": 13}}, "tickfont": {"size": 12},
}  # fmt: skip
TEMPLATE = go.layout.Template(
    layout={
        "colorway": list(PALETTE),
        "font": {"family": FONT, "size": 13, "color": INK},
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14, "b": 10},
            "automargin": True,
            "font": {"size": 16},
        },
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 70, "r": 24, "t": 52, "b": 48},
        "legend": {  # below the plot, which leaves it the room it needs: no number of entries runs into the title
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "font": {"size": 12},
        },
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "bordercolor": RULE, "align": "left", "font": {"size": 12, "family": FONT}},
        "annotationdefaults": {"font": {"size": 11}, "arrowcolor": RULE, "arrowwidth": 1, "arrowhead": 0},
        "coloraxis": {
            "colorbar": {"thickness": 14, "outlinewidth": 0, "title": {"side": "right", "font": {"size": 13}}}
        },
    }
)


def new_figure(title: str, height: int = HEIGHT_PX) -> go.Figure:
    """Empty figure in the house theme; it takes the width of the page, `height` is in px."""
    return go.Figure(layout={"template": TEMPLATE, "title": {"text": title}, "height": height, "autosize": True})


def message_figure(text: str, height: int = HEIGHT_PX) -> go.Figure:
    """Figure with no axes that says why there is nothing to see."""
    fig = new_figure("", height)
    fig.add_annotation(text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font_size=13)
    return fig.update_xaxes(visible=False).update_yaxes(visible=False)


def op_color(op: str) -> str:
    """The colour of an operator, the same in every figure."""
    return OP_COLORS.get(op) or PALETTE[sum(op.encode()) % len(PALETTE)]


def translucent(color: str, opacity: float) -> str:
    """``#0072B2`` at an opacity, as plotly writes it."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def assign(keys: Iterable[T], styles: tuple[str, ...]) -> dict[T, str]:
    """One style per distinct key, in order of appearance; they repeat when there are more keys than styles."""
    return {key: styles[i % len(styles)] for i, key in enumerate(dict.fromkeys(keys))}


DARK = {  # neutral colours of the template, and what they are on a dark page
    INK: "#E4E7EB", "#444": "#E4E7EB", FAINT: "#2C3642", RULE: "#6B7785", GREY: "#A9B4C0", BLUE: "#2E86C8",
    "#FFFFFF": "#111418",
}  # fmt: skip

TIE, OFF, BARS = 0.55, 0.3, 0.45  # opacity of marks that stand back, a little and more, and of intervals
DARK_OPACITY = {TIE: 0.75, OFF: 0.5, BARS: 0.7}  # what is mixed with black is seen less than what is mixed with white


_NOT_IN_CELLS = ":not(.heatmap-label *)"  # a number in a heat map is as dark or light as its cell wants it, on any page
JUPYTER_DARK = 'body[data-jp-theme-light="false"]'  # JupyterLab, Voila and exported notebooks in a dark theme


def dark_style(scope: str) -> str:
    """CSS that gives figures inside `scope` (a selector) the colours of a dark page, whatever draws them.

    Plotly writes colours into the style of each element, and a rule marked important wins over those: so figures that
    were drawn light, also in an executed notebook, follow the theme of the page as soon as it changes.
    """
    plot = f"{scope} .js-plotly-plot"
    rules = [
        f"{plot} .main-svg {{ background: transparent !important; }}",
        f"{plot} .main-svg .bg {{ fill-opacity: 0 !important; }}",
        f"{plot} .modebar-btn path {{ fill: {DARK[GREY]} !important; }}",
    ]
    for light, dark in DARK.items():
        written = _as_written(light)
        for part in ("fill", "stroke"):
            rules.append(f'{plot} [style*="{part}: {written}"]{_NOT_IN_CELLS} {{ {part}: {dark} !important; }}')
    for given, more in DARK_OPACITY.items():
        rules.append(f'{plot} :is(.point, .scatterpts)[style*="opacity: {given};"] {{ opacity: {more} !important; }}')
        rules.append(f'{plot} .errorbar [style*="stroke-opacity: {given};"] {{ stroke-opacity: {more} !important; }}')
    return "\n".join(rules)


def _as_written(color: str) -> str:
    """``#1F2933`` as a browser spells it in a style: ``rgb(31, 41, 51)``."""
    digits = color.lstrip("#")
    pairs = [digits[i] * 2 for i in range(3)] if len(digits) == 3 else [digits[i : i + 2] for i in (0, 2, 4)]
    return f"rgb({', '.join(str(int(pair, 16)) for pair in pairs)})"
