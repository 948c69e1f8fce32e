"""Tables about networks as they are specified, trained and published."""

from __future__ import annotations

from effnet_lab.frames.tables import Frame

VARIANTS = Frame(  # one row per named specification
    name="variants",
    keys=("model",),
    first=("model", "params", "madds", "peak_activation_bytes", "flash_bytes", "published_top1"),
    values=(
        "width", "depth", "resolution_px", "classes", "params", "madds", "peak_activation_bytes", "flash_bytes",
        "published_params", "published_madds", "published_top1", "published_int8_top1",
    ),
)  # fmt: skip
COUNTS = Frame(  # one row per layer, from the specification alone
    name="counts",
    keys=("model", "layer_index", "layer"),
    values=("op", "out_side_px", "out_channels", "params", "madds", "activation_bytes", "weight_bytes"),
)
CANDIDATES = Frame(  # one row per specification that meets the budgets, best first
    name="candidates",
    keys=("width", "depth", "resolution_px"),
    values=("phi", "params", "madds", "peak_activation_bytes", "flash_bytes"),
)
# One row per epoch of training.
HISTORY = Frame(name="history", keys=("model", "epoch"), values=("loss", "train_top1", "validation_top1"))
PUBLISHED = Frame(  # somebody else's numbers; every row names its source
    name="published",
    keys=("model", "quantity", "source"),
    values=("value", "unit", "rounded_to", "conditions"),
)
# A number of ours against a published one; tolerance is relative; because: what it is instead.
MEASURED = Frame(name="measured", keys=("model", "quantity", "rule"), values=("value", "tolerance", "because"))
CLAIMS = Frame(  # one row per published number; ours is by the rule, the explanation says what the verdict rests on
    name="claims",
    keys=("model", "quantity", "source"),
    first=("model", "quantity", "value", "ours", "verdict", "explanation"),
    values=("value", "unit", "conditions", "rule", "ours", "verdict", "explanation"),
)
