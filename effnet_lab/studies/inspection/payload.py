"""What the front end draws: the numbers of one or more files, computed elsewhere, as a tree that JSON can hold.

Everything here is plain: text, numbers, lists. `studies.inspection` fills it; the front end draws it and computes nothing.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

MOST_FILES = 4  # side by side
MAP_STEPS = 255  # codes of an error map


class Metric(TypedDict):
    """A number per layer that the strip can be coloured by."""

    id: str  # column of the LAYER_ERROR frame
    title: str
    unit: str
    better: str  # "higher" or "lower"
    low: float  # ends of the colour scale and of the curve
    high: float


class CodeEnds(TypedDict):
    """Where the codes of a layer end, in real values."""

    low: float
    high: float
    scale: float


class Histogram(TypedDict):
    """Counts of the layer's values in bins of equal width from low to high."""

    low: float
    high: float
    float: list[int]
    quantized: list[int]


class ChannelWeights(TypedDict, total=False):
    """Of the same channels, where the layer has a kernel."""

    weight_scale: list[float]
    weight_error: list[float]  # SQNR, dB


class Channels(ChannelWeights):
    """The worst channels, worst first; `n` counts all."""

    n: int
    index: list[int]
    low: list[float]
    high: list[float]
    error: list[float]  # SQNR, dB
    dead: list[bool]


class ErrorMap(TypedDict):
    """Mean absolute error over the channels at each position, as bytes of `MAP_STEPS` for the peak, in base64."""

    width: int
    height: int
    peak: float
    data: str


class Steps(TypedDict):
    """The integer arithmetic of one value: quantity, value, how."""

    at: str
    rows: list[list[str]]


class ShownLayer(TypedDict):
    """One layer of one file."""

    name: str
    op: str
    node: int  # its place among the ops of the file
    block: str  # "" outside the blocks
    madds: int
    parents: list[str]  # layers whose output it reads
    verdict: str
    sentence: str
    remedy: str
    notes: str
    values: dict[str, float]  # by id of the metric; NaN: not measured
    facts: list[tuple[str, str]]
    range: CodeEnds | None
    histogram: Histogram | None
    channels: Channels | None
    maps: list[ErrorMap | None]  # by picture
    steps: NotRequired[Steps]


class Picture(TypedDict):
    """One of the images that were shown to both networks."""

    name: str
    thumb: str  # data: address
    changed: bool  # whether the first class differs
    sqnr_db: float  # of the output
    float_top: list[tuple[str, float]]
    quantized_top: list[tuple[str, float]]


class File(TypedDict):
    """One quantized file beside its float network."""

    label: str
    graph: str  # name of its graph
    summary: str
    layers: list[ShownLayer]
    pictures: list[Picture]  # those whose answer changes first; empty for networks that take no pictures


class Payload(TypedDict):
    """All that the front end is given."""

    metrics: list[Metric]
    files: list[File]
    open: NotRequired[str]  # layer to open first
    state: NotRequired[dict[str, Any]]  # where a live inspector stood when it was saved
    answers: NotRequired[dict[str, Any]]  # and what it had been told


METRICS: tuple[Metric, ...] = (
    {"id": "sqnr_accumulated_db", "title": "accumulated SQNR", "unit": "dB", "better": "higher", "low": 0.0, "high": 50.0},
    {"id": "sqnr_local_db", "title": "local SQNR", "unit": "dB", "better": "higher", "low": 0.0, "high": 50.0},
    {"id": "sqnr_effect_db", "title": "effect on the logits", "unit": "dB", "better": "higher", "low": 10.0, "high": 70.0},
    {"id": "weight_sqnr_db", "title": "SQNR of the weights", "unit": "dB", "better": "higher", "low": 10.0, "high": 60.0},
    {"id": "cosine", "title": "cosine similarity", "unit": "", "better": "higher", "low": 0.9, "high": 1.0},
    {"id": "saturation_share", "title": "values beyond the codes", "unit": "", "better": "lower", "low": 0.0, "high": 0.05},
)  # fmt: skip
