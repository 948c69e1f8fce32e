"""Compound scaling: one coefficient phi moves depth, width and resolution together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from effnet_lab.scaling.specs import NetSpec

DIMENSIONS = ("width", "depth", "resolution")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compound:
    """``depth *= alpha**phi``, ``width *= beta**phi``, ``resolution *= gamma**phi``.

    The defaults are the paper's, found by grid search under ``alpha * beta**2 * gamma**2 ~ 2``, so that MAdds double
    with each phi. Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for CNNs", ICML 2019, section 3.3.
    """

    alpha: float = 1.2  # depth
    beta: float = 1.1  # width
    gamma: float = 1.15  # resolution

    def spec(self, base: NetSpec, phi: float, name: str) -> NetSpec:
        """`base` scaled by phi; the resolution goes to the nearest multiple of 8 px, which keeps the maps even."""
        return replace(
            base,
            name=name,
            depth=base.depth * self.alpha**phi,
            width=base.width * self.beta**phi,
            resolution=max(32, round(base.resolution * self.gamma**phi / 8) * 8),
        )

    def phi(self, width: float, depth: float, resolution: float | np.ndarray, base: NetSpec) -> float | np.ndarray:
        """Largest phi that all three dimensions have reached: the weakest of them decides."""
        reached = min(np.log(depth / base.depth) / np.log(self.alpha), np.log(width / base.width) / np.log(self.beta))
        weakest: float | np.ndarray = np.minimum(reached, np.log(resolution / base.resolution) / np.log(self.gamma))
        return weakest


PAPER = Compound()
