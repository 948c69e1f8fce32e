"""The columns of every table that crosses a border: between rooms, into a CSV, into a baseline.

Units stand in the names (``_ms _bytes _db _px``), fractions lie in [0, 1], counts are raw integers, and what was not
measured is NaN (JSON ``null``), never 0. A *row* is one observation; `keys` are the columns that tell rows apart. A column
is declared once, in `columns`: what reads a file, draws an axis or prints a table follows from that.
"""

from effnet_lab.frames import answers, costs, errors, networks
from effnet_lab.frames.answers import (
    ACCURACY,
    AUDIT,
    CHANGED,
    CLASSIFICATION,
    COMPARISON,
    CONFUSION,
    OUTPUT_ERROR,
    PER_CLASS,
    RELIABILITY,
)
from effnet_lab.frames.columns import COLUMNS, DECLARED, PROVENANCE, column
from effnet_lab.frames.costs import (
    ARENA,
    BOARDS,
    DELEGATION,
    ETHOSU,
    ETHOSU_LAYERS,
    FOOTPRINT,
    HIGH_WATER,
    LATENCY,
    MEMORY,
    PROFILE,
    RIVALS,
    TRADEOFFS,
)
from effnet_lab.frames.errors import (
    ACTIVATION_STYLE,
    CALIBRATION_ACCURACY,
    CALIBRATION_RANGES,
    CHANNEL_ERROR,
    CHANNEL_RANGES,
    EVIDENCE,
    FINDINGS,
    HISTOGRAM,
    INTEGER,
    INTEGER_STEPS,
    LAYER_EFFECT,
    LAYER_ERROR,
    MOVED_CODES,
    PRECISIONS,
    RANGES,
    REPAIR,
    ROUNDING,
    SENSITIVITY,
    VERDICT_NAMES,
    VERDICTS,
)
from effnet_lab.frames.kinds import Column
from effnet_lab.frames.networks import (
    CANDIDATES,
    CLAIMS,
    COEFFICIENTS,
    COUNTS,
    EXPECTED_CANDIDATES,
    HISTORY,
    LEFT_OUT,
    MEASURED,
    PUBLISHED,
    SCALING,
    SCALING_GAIN,
    SCALING_STUDY,
    SLOPES,
    VARIANTS,
)
from effnet_lab.frames.tables import MODEL_FILE, Frame, build, require

FRAMES = {
    frame.name: frame
    for group in (networks, errors, answers, costs)
    for frame in vars(group).values()
    if isinstance(frame, Frame)
}

__all__ = [
    "ACCURACY",
    "ACTIVATION_STYLE",
    "ARENA",
    "AUDIT",
    "BOARDS",
    "CALIBRATION_ACCURACY",
    "CALIBRATION_RANGES",
    "CANDIDATES",
    "CHANGED",
    "CHANNEL_ERROR",
    "CHANNEL_RANGES",
    "CLAIMS",
    "CLASSIFICATION",
    "COEFFICIENTS",
    "COLUMNS",
    "COMPARISON",
    "CONFUSION",
    "COUNTS",
    "DECLARED",
    "DELEGATION",
    "ETHOSU",
    "ETHOSU_LAYERS",
    "EVIDENCE",
    "EXPECTED_CANDIDATES",
    "FINDINGS",
    "FOOTPRINT",
    "FRAMES",
    "HIGH_WATER",
    "HISTOGRAM",
    "HISTORY",
    "INTEGER",
    "INTEGER_STEPS",
    "LATENCY",
    "LAYER_EFFECT",
    "LAYER_ERROR",
    "LEFT_OUT",
    "MEASURED",
    "MEMORY",
    "MODEL_FILE",
    "MOVED_CODES",
    "OUTPUT_ERROR",
    "PER_CLASS",
    "PRECISIONS",
    "PROFILE",
    "PROVENANCE",
    "PUBLISHED",
    "RANGES",
    "RELIABILITY",
    "REPAIR",
    "RIVALS",
    "ROUNDING",
    "SCALING",
    "SCALING_GAIN",
    "SCALING_STUDY",
    "SENSITIVITY",
    "SLOPES",
    "TRADEOFFS",
    "VARIANTS",
    "VERDICTS",
    "VERDICT_NAMES",
    "Column",
    "Frame",
    "build",
    "column",
    "require",
]
