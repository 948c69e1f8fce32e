"""Coefficient sliders: what the resulting network costs, exactly and at once."""

from __future__ import annotations

from typing import Protocol

import ipywidgets as ipw
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import VARIANTS, require
from effnet_lab.names import UserError
from effnet_lab.view.figures.scaling import plot_counts, plot_family
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import Note, Range, menu, named, pick, row

COLUMNS = ("madds", "params", "activation_bytes", "weight_bytes")
RANGES = {
    "width": Range(low=0.05, high=2.0, step=0.05),
    "depth": Range(low=0.1, high=3.0, step=0.1),
    "resolution_px": Range(low=32, high=512, step=4),
    "alpha": Range(low=1.0, high=2.0, step=0.01),
    "beta": Range(low=1.0, high=2.0, step=0.01),
    "gamma": Range(low=1.0, high=2.0, step=0.01),
    "phi": Range(low=-4.0, high=7.0, step=0.25),
}
MODES = {"multipliers": ("width", "depth", "resolution_px"), "compound": ("alpha", "beta", "gamma", "phi")}


class CountNetwork(Protocol):
    """From slider settings to what the network costs.

    Called with keywords: `fixed_ends`, and either `width`, `depth` and `resolution_px` (mode "multipliers") or `alpha`,
    `beta`, `gamma` and `phi` (mode "compound", which scales the neutral network). Given neutral defaults (1, 1, 224
    and phi = 0) one function without a branch serves both.
    """

    def __call__(self, *, fixed_ends: bool, **settings: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        """VARIANTS frame with one row and COUNTS frame of the same network."""


class ScalingView(ipw.VBox):
    """Sliders for width, depth and resolution, or for alpha, beta, gamma and phi; numbers, family and layers below.

    Parameters
    ----------
    count : CountNetwork
        Callback that counts the network of the settings.
    variants : DataFrame
        VARIANTS frame to stand against.
    mode : str
        "multipliers" or "compound": which sliders count.
    width, depth, resolution_px, alpha, beta, gamma, phi, fixed_ends
        Start values of the controls of the same name.
    column : str
        COUNTS column of the bars: "madds", "params", "activation_bytes" or "weight_bytes".
    """

    def __init__(
        self, count: CountNetwork, variants: pd.DataFrame, *, mode: str = "multipliers", width: float = 1.0,
        depth: float = 1.0, resolution_px: int = 224, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15,
        phi: float = 0.0, fixed_ends: bool = True, column: str = "madds",
    ) -> None:  # fmt: skip
        self._count, self._variants = count, require(variants, VARIANTS, caller="ScalingView")
        self.mode = ipw.ToggleButtons(options=list(MODES), value=pick("mode", mode, MODES))
        self.width, self.depth = RANGES["width"].slider("width", width), RANGES["depth"].slider("depth", depth)
        self.resolution_px = RANGES["resolution_px"].slider("resolution_px", resolution_px)
        self.alpha, self.beta = RANGES["alpha"].slider("alpha", alpha), RANGES["beta"].slider("beta", beta)
        self.gamma, self.phi = RANGES["gamma"].slider("gamma", gamma), RANGES["phi"].slider("phi", phi)
        self.fixed_ends = ipw.Checkbox(
            value=fixed_ends, description="stem and head stay as they are (Lite)", indent=False
        )
        self.column = menu("bars show", named(COLUMNS), pick("column", column, COLUMNS))
        self.text, self.canvas, self.detail_canvas = Note(), Canvas(), Canvas()
        sliders = {mode: row(*(getattr(self, name) for name in names)) for mode, names in MODES.items()}
        self._sliders = sliders
        super().__init__(
            [
                self.mode,
                *sliders.values(),
                row(self.fixed_ends, self.column),
                self.text,
                self.canvas,
                self.detail_canvas,
            ]
        )
        for control in (self.mode, self.fixed_ends, self.column, *(getattr(self, name) for name in RANGES)):
            control.observe(self._on_change, names="value")
        self._draw()

    @property
    def settings(self) -> dict[str, float]:
        """Keywords of the callback: the controls that count in this mode."""
        names = ("fixed_ends", *MODES[self.mode.value])
        return {name: getattr(self, name).value for name in names}

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is on show, by the names under which it is recorded."""
        return {"your_network": self.figure, "your_layers": self.detail}

    @property
    def figure(self) -> go.Figure:
        """The family with the network of the sliders."""
        return self.canvas.figure

    @property
    def detail(self) -> go.Figure:
        """The layers of that network."""
        return self.detail_canvas.figure

    def _on_change(self, _change: object) -> None:
        try:
            self._draw()
        except UserError as error:  # a setting that no network has: say so, keep the last picture
            self.text.say(f"<b>{error}</b>")

    def _draw(self) -> None:
        for mode, sliders in self._sliders.items():
            sliders.layout.display = "flex" if mode == self.mode.value else "none"
        point, counts = self._count(**self.settings)
        self.text.say(_sentence(point.iloc[0]))
        self.canvas.show(plot_family(self._variants, point))
        self.detail_canvas.show(plot_counts(counts, self.column.value))


def _sentence(net: pd.Series) -> str:
    """The exact numbers of one VARIANTS row."""
    kib = net["peak_activation_bytes"] / 1024
    return (
        f"width {net['width']:.3g}, depth {net['depth']:.3g}, {net['resolution_px']:,d} px: "
        f"<b>{net['params']:,d}</b> parameters, <b>{net['madds']:,d}</b> MAdds, "
        f"<b>{net['peak_activation_bytes']:,d}</b> bytes of int8 activations at the peak ({kib:,.1f} KiB)"
    )
