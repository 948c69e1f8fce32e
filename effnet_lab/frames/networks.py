"""Tables about networks as they are specified, trained and published."""

from __future__ import annotations

from effnet_lab.frames.tables import MODEL_FILE, Frame

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
EXPECTED_CANDIDATES = Frame(  # the same with the top-1 that a law fitted to a study expects of them
    name="expected_candidates",
    keys=CANDIDATES.keys,
    first=("width", "depth", "resolution_px", "expected_top1", "expected_top1_lo", "expected_top1_hi", "inside"),
    values=(*CANDIDATES.values, "expected_top1", "expected_top1_lo", "expected_top1_hi", "inside"),
)
LEAN_CANDIDATES = Frame(  # one row per lean network within a budget of memory, most MAdds first
    name="lean_candidates",
    keys=("model",),
    first=("model", "planned_head_bytes", "flash_bytes", "madds", "params"),
    values=("resolution_px", "madds", "params", "planned_head_bytes", "flash_bytes"),
)
SCALING_STUDY = Frame(  # one row per network, role and seed; int8 relative_p50: CPU time against the base's int8 file
    name="scaling_study",
    keys=("model", "direction", "seed"),
    first=("model", "level", "seed", "madds", "float_top1", "int8_top1", "size_bytes", "arena_bytes", "relative_p50"),
    values=(
        "base", "data", "level", "alpha", "beta", "gamma", "phi", "width", "depth", "resolution_px", "params", "madds",
        "n_train", "epochs", "learning_rate", "train_top1", "size_bytes", "arena_bytes",
        "relative_p50", "relative_p50_lo", "relative_p50_hi", "guard", "n_images",
        "float_top1", "float_top1_lo", "float_top1_hi", "int8_top1", "int8_top1_lo", "int8_top1_hi",
        "float_hits", "int8_hits",
    ),
)  # fmt: skip
SCALING = Frame(  # one row per network of a study: all its seeds together; the intervals are over seeds and images
    name="scaling",
    keys=("model", "direction"),
    first=("direction", "level", "madds_ratio", "float_top1", "int8_top1", "params", "relative_p50"),
    values=(
        "level", "alpha", "beta", "gamma", "phi", "width", "depth", "resolution_px", "params", "madds", "madds_ratio",
        "size_bytes", "arena_bytes", "relative_p50", "n_seeds", "n_images",
        "float_top1", "float_top1_lo", "float_top1_hi", "int8_top1", "int8_top1_lo", "int8_top1_hi",
    ),
)  # fmt: skip
COEFFICIENTS = Frame(  # one row per triple and level; the difference of float top-1 is to the triple it is held against
    name="coefficients",
    keys=("alpha", "beta", "gamma", "level"),
    first=("alpha", "beta", "gamma", "level", "float_top1", "difference", "p_adjusted"),
    values=(
        "model", "madds_ratio", "n_seeds", "n_images", "float_top1", "float_top1_lo", "float_top1_hi",
        "difference", "difference_lo", "difference_hi", "p_adjusted",
    ),
)  # fmt: skip
SCALING_GAIN = Frame(  # int8 top-1 per doubling of a cost, of a direction or a triple at one level
    name="scaling_gain",
    keys=("cost", "model", "direction"),
    first=("cost", "direction", "alpha", "beta", "gamma", "level", "gain"),
    values=("level", "alpha", "beta", "gamma", "gain", "gain_lo", "gain_hi", "n_seeds"),
)
SLOPES = Frame(  # where a law rises at one network: top-1 per doubling of the MAdds along each dimension
    name="slopes",
    keys=("direction",),
    values=("gain", "gain_lo", "gain_hi"),
)
LEFT_OUT = Frame(  # a law's error on networks that it was not fitted to
    name="left_out",
    keys=("rule", "model", "direction"),
    values=("float_top1", "expected_top1", "expected_top1_lo", "expected_top1_hi", "error", "inside"),
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
GRID_EFFECTS = Frame(  # one row per parameter of a grid, and per pair of them: how much of a number's variance it makes
    name="grid_effects",
    keys=("quantity", "parameter", "with_parameter"),
    values=("variance_share", "lowest_at", "lowest_mean", "highest_at", "highest_mean", "n_files"),
)
SWEEP_FILES = Frame(  # one row per file of every point of a sweep, beside the parameters of the point
    name="sweep_files",
    keys=("point", *MODEL_FILE),
    values=(
        "data", "n_images", "top1", "top1_lo", "top1_hi", "params", "madds", "size_bytes", "peak_activation_bytes",
        "threads", "p50_ms", "p50_lo_ms", "p50_hi_ms", "relative_p50", "worst_layer", "worst_sqnr_db",
    ),
)  # fmt: skip
