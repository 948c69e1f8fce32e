"""How long a control takes to redraw its figures: CPU time, so that a busy machine changes little.

Run with: pytest tests/benchmarks/test_redraw.py -s
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import view_frames as made

from effnet_lab.view import AnswerView, DeployView, LayerErrorView, ScalingView, TradeoffView

LIMIT_MS = 150
N = 15


def scaling():
    import pandas as pd

    from effnet_lab.scaling import count_network, layer_counts, variants
    from effnet_lab.scaling.variants import VARIANTS

    counts = pd.concat([layer_counts(spec) for spec in VARIANTS.values()])
    widget = ScalingView(count_network, variants(), counts=counts, held="lite0")
    return widget.sliders["width"], [0.5 + 0.05 * i for i in range(N)]


def layer():
    widget = LayerErrorView(made.errors(), made.histogram)
    layers = [name for _label, name in widget.layer.options]
    return widget.layer, [layers[i % len(layers)] for i in range(N)]


def budget():
    widget = TradeoffView(made.tradeoffs(), made.standing, made.choose)
    return widget.budgets["max_ms"], [0.5 + 0.1 * i for i in range(N)]


def picture():
    """What int8 and float say of another picture, from two open files."""
    from effnet_lab.evaluate import SideBySide
    from effnet_lab.images import open_images
    from effnet_lab.images.decode import decode
    from effnet_lab.quantize import export

    images = open_images("scenes", limit=N)
    with tempfile.TemporaryDirectory() as folder:
        files = export("micro3", folder, format="float32,int8", backend="all").files
        both = SideBySide([files[0], files[-1]])
    names = [f"scenes {i}" for i in range(N)]
    pictures = {name: partial(images.read, i) for i, name in enumerate(names)}
    return AnswerView(both, pictures, decode, window=both.window).picture, [*names[1:], names[0]]


def device():
    """The board, which changes what the numbers are held against."""
    from effnet_lab import board, studies
    from effnet_lab.quantize import export

    with tempfile.TemporaryDirectory() as folder:
        (file,) = export("micro3", folder, format="int8", backend="ai_edge_quantizer").files
        deploy = studies.Deployments({"int8": file})
        widget = DeployView(deploy, ["int8"], board.boards(), ["ethos-u55-128"])
    names = [*board.BOARDS]
    return widget.board, [names[(i + 1) % len(names)] for i in range(N)]


@pytest.mark.parametrize("start", [scaling, layer, budget, picture, device], ids=lambda start: start.__name__)
def test_a_control_redraws_at_once(start):
    control, values = start()
    times_ms = []
    for value in values:
        before = time.process_time()
        control.value = value
        times_ms.append(1000 * (time.process_time() - before))
    median = sorted(times_ms)[N // 2]
    print(f"\n{start.__name__}: median {median:.0f} ms of CPU, largest {max(times_ms):.0f}")
    assert median < LIMIT_MS
