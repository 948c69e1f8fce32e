"""Coefficient sliders: what the resulting network costs, exactly and at once, beside another that is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import ipywidgets as ipw
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import COUNTS, VARIANTS, require
from effnet_lab.names import UserError
from effnet_lab.view.axes import interval
from effnet_lab.view.figures.scaling import ESTIMATED, EXPECTED, plot_counts, plot_family
from effnet_lab.view.figures.scaling_study import plot_gain
from effnet_lab.view.figures.stages import plot_stages
from effnet_lab.view.table import Table, heading, write_value
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import Note, Range, menu, named, pick, row

COLUMNS = ("madds", "params", "activation_bytes", "weight_bytes")
AXES = ("madds", "params", "peak_activation_bytes", "flash_bytes", ESTIMATED, EXPECTED)
COMPARED = ("width", "depth", "resolution_px", *AXES)
RANGES = {
    "width": Range(low=0.05, high=2.0, step=0.05),
    "depth": Range(low=0.1, high=3.0, step=0.1),
    "resolution_px": Range(low=32, high=512, step=4),
    "alpha": Range(low=1.0, high=2.0, step=0.01),
    "beta": Range(low=1.0, high=2.0, step=0.01),
    "gamma": Range(low=1.0, high=2.0, step=0.01),
    "phi": Range(low=-4.0, high=7.0, step=0.25),
}
OUTSIDE = "This network lies outside what was trained for the law, so nothing is expected of it here."
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
    """Sliders for width, depth and resolution, or for alpha, beta, gamma and phi; numbers, family, stack and layers below.

    Parameters
    ----------
    count : CountNetwork
        Callback that counts the network of the settings.
    variants : DataFrame
        VARIANTS frame to stand against; with a column "estimated_ms", that is an axis, too.
    counts : DataFrame, optional
        COUNTS frame of the variants; a held variant is drawn from it.
    estimate : callable, optional
        From a COUNTS frame of one network to its estimated latency in ms.
    expect : callable, optional
        From the keywords of `count` to the top-1 that a law expects and what each dimension would add, see `Law.at`.
    mode : str
        "multipliers" or "compound": which sliders count.
    width, depth, resolution_px, alpha, beta, gamma, phi, fixed_ends
        Start values of the controls of the same name.
    column : str
        COUNTS column of the bars: "madds", "params", "activation_bytes" or "weight_bytes".
    x, y : str
        Axes of the family: "madds", "params", "peak_activation_bytes", "flash_bytes" or "estimated_ms".
    held : str
        Variant held beside yours; empty: none.
    """

    def __init__(
        self, count: CountNetwork, variants: pd.DataFrame, *, counts: pd.DataFrame | None = None,
        estimate: Callable[[pd.DataFrame], float] | None = None,
        expect: Callable[..., tuple[pd.DataFrame, pd.DataFrame]] | None = None, mode: str = "multipliers", width: float = 1.0,
        depth: float = 1.0, resolution_px: int = 224, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15,
        phi: float = 1.0, fixed_ends: bool = True, column: str = "madds", x: str = "madds", y: str = "params",
        held: str = "",
    ) -> None:  # fmt: skip
        self._count, self._variants = count, require(variants, VARIANTS, caller="ScalingView")
        self._counts, self._estimate, self._expect = counts, estimate, expect
        self.mode = ipw.ToggleButtons(options=list(MODES), value=pick("mode", mode, MODES))
        given = {"width": width, "depth": depth, "resolution_px": resolution_px}
        given |= {"alpha": alpha, "beta": beta, "gamma": gamma, "phi": phi}
        self.sliders = {name: RANGES[name].slider(name, value) for name, value in given.items()}
        self.fixed_ends = ipw.Checkbox(
            value=fixed_ends, description="stem and head stay as they are (Lite)", indent=False
        )
        self.column = menu("bars show", named(COLUMNS), pick("column", column, COLUMNS))
        axes = [name for name in AXES if name in variants.columns]
        self.x, self.y = (
            menu("x axis", named(axes), pick("axis", x, axes)),
            menu("y axis", named(axes), pick("axis", y, axes)),
        )
        self.hold = ipw.Button(description="hold this one", tooltip="Keep this network beside the next one")
        self.release = ipw.Button(description="let go", tooltip="Stop comparing")
        self._held = self._variant(held) if held else None
        self._unscaled: dict[bool, float] = {}  # MAdds at phi = 0, with fixed ends and without
        self._build()
        self._draw()

    def _build(self) -> None:
        """Lay the controls out and listen to them."""
        self.text, self.canvas, self.stack_canvas, self.detail_canvas = Note(), Canvas(), Canvas(), Canvas()
        self.constraint, self.expected, self.gain_canvas = Note(), Note(), Canvas()
        self._rows = {mode: row(*(self.sliders[name] for name in names)) for mode, names in MODES.items()}
        super().__init__([
            self.mode, *self._rows.values(), self.constraint, row(self.fixed_ends, self.hold, self.release),
            row(self.x, self.y, self.column), self.text, self.stack_canvas, self.canvas, self.detail_canvas,
            self.expected, self.gain_canvas,
        ])  # fmt: skip
        for control in (self.mode, self.fixed_ends, self.column, self.x, self.y, *self.sliders.values()):
            control.observe(self._on_change, names="value")
        self.hold.on_click(self._on_hold)
        self.release.on_click(self._on_hold)

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is on show, by the names under which it is recorded."""
        shown = {"your_stages": self.stack_canvas.figure, "your_network": self.figure, "your_layers": self.detail}
        return shown | ({"your_gain": self.gain_canvas.figure} if self.gain_canvas.layout.display != "none" else {})

    @property
    def settings(self) -> dict[str, Any]:
        """Keywords of the callback: the controls that count in this mode."""
        chosen = {name: self.sliders[name].value for name in MODES[self.mode.value]}
        return {"fixed_ends": self.fixed_ends.value, **chosen}

    @property
    def figure(self) -> go.Figure:
        """The family with the network of the sliders."""
        return self.canvas.figure

    @property
    def detail(self) -> go.Figure:
        """The layers of that network."""
        return self.detail_canvas.figure

    def _variant(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """VARIANTS row and COUNTS rows of a named network."""
        if self._counts is None:
            raise UserError("ScalingView needs the counts of the variants to hold one. Give counts=...")
        require(self._counts, COUNTS, caller="ScalingView")
        name = pick("variant", name, self._variants["model"])
        return self._variants[self._variants["model"] == name], self._counts[self._counts["model"] == name]

    def _on_hold(self, button: ipw.Button) -> None:
        self._held = _named(*self._yours) if button is self.hold else None
        self._draw()

    def _on_change(self, _change: object) -> None:
        try:
            self._draw()
        except UserError as error:  # a setting that no network has: say so, keep the last picture
            self.text.say(f"<b>{error}</b>")

    def _measured(self, law: pd.Series | None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What the network of the sliders costs, with its estimated latency, and its top-1 as far as the law expects one."""
        point, counts = self._count(**self.settings)
        if self._estimate:
            point = point.assign(**{ESTIMATED: self._estimate(counts)})
        if law is not None:
            point = point.assign(**{EXPECTED: law[EXPECTED] if law["inside"] else float("nan")})
        return point, counts

    def _unscaled_madds(self) -> float:
        """MAdds at phi = 0, what the constraint is counted from: the same whatever the coefficients are."""
        ends = self.fixed_ends.value
        if ends not in self._unscaled:
            unscaled, _ = self._count(**(self.settings | {"phi": 0.0}))
            self._unscaled[ends] = float(unscaled["madds"].iloc[0])
        return self._unscaled[ends]

    def _constraint(self, ratio: float) -> str:
        """The paper's constraint at these coefficients: what it promises, and what rounding makes of it."""
        settings = self.settings
        per_phi = settings["alpha"] * settings["beta"] ** 2 * settings["gamma"] ** 2
        return (
            f"alpha · beta² · gamma² = <b>{per_phi:.2f}</b> (the paper asks for about 2). With phi = {settings['phi']:g} that is "
            f"{per_phi ** settings['phi']:.2f} times the MAdds; after rounding it is <b>{ratio:.2f}</b> times."
        )

    def _show_gain(self, law: pd.Series | None, gains: pd.DataFrame | None) -> None:
        self.gain_canvas.layout.display = "none"
        if law is None or gains is None:
            return
        self.expected.say("" if law["inside"] else OUTSIDE)
        if law["inside"]:
            top1, low, high = law[[EXPECTED, *interval(EXPECTED)]]
            self.gain_canvas.layout.display = ""
            self.gain_canvas.show(
                plot_gain(gains, f"The next MAdd; expected top-1 {top1:.0%} ({low:.0%} to {high:.0%})")
            )

    def _draw(self) -> None:
        for mode, sliders in self._rows.items():
            sliders.layout.display = "flex" if mode == self.mode.value else "none"
        unscaled = self._unscaled_madds() if self.mode.value == "compound" else 0.0
        expected, gains = self._expect(**self.settings) if self._expect else (None, None)
        law = None if expected is None else expected.iloc[0]
        self._yours = point, counts = self._measured(law)
        held_point, held_counts = self._held or (None, None)
        self.text.say(side_by_side(point, held_point))
        self.stack_canvas.show(plot_stages(counts, held_counts, self.column.value))
        self.canvas.show(plot_family(self._variants, point, self.x.value, self.y.value, held_point))
        self.detail_canvas.show(plot_counts(counts, self.column.value))
        self.constraint.say(self._constraint(float(point["madds"].iloc[0]) / unscaled) if unscaled else "")
        self._show_gain(law, gains)


def _named(point: pd.DataFrame, counts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two frames of a network under a name that tells it from the next one of the sliders."""
    width, depth, side = (write_value(name, point[name].iloc[0]) for name in ("width", "depth", "resolution_px"))
    name = f"width {width}, depth {depth}, {side} px"
    return point.assign(model=name), counts.assign(model=name)


def side_by_side(point: pd.DataFrame, held: pd.DataFrame | None = None) -> str:
    """HTML of one VARIANTS row as a list, or of two beside each other with their ratio."""
    known = [name for name in COMPARED if name in point.columns and pd.notna(point[name].iloc[0])]
    columns = {"quantity": [heading(name) for name in known]}
    columns["yours"] = [write_value(name, point[name].iloc[0]) for name in known]
    if held is not None:
        held = held.reindex(columns=[*dict.fromkeys([*held.columns, *known])])
        columns[f"held: {held['model'].iloc[0]}"] = [write_value(name, held[name].iloc[0]) for name in known]
        ratios = [float(point[name].iloc[0]) / float(held[name].iloc[0] or float("nan")) for name in known]
        columns["yours / held"] = [f"{ratio:.3g}" if ratio == ratio else "–" for ratio in ratios]
    return Table(rows=pd.DataFrame(columns), columns=tuple(columns))._repr_html_()
