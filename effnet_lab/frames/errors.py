"""Tables about what quantization does to each layer, why, and what mends it."""

from __future__ import annotations

from effnet_lab.frames.tables import MODEL_FILE, Frame

LAYER_ERROR = Frame(  # one row per op output of the quantized graph, in forward order; what was not asked for is NaN
    name="layer_error",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    first=("layer", "op", "sqnr_accumulated_db", "sqnr_local_db", "sqnr_effect_db", "weight_sqnr_db", "scheme"),
    values=(
        "op", "data", "n_images", "kernels", "scale", "zero_point",
        # accumulated: this activation in the whole quantized graph against the float graph
        "sqnr_accumulated_db", "mse", "cosine", "max_error", "bias", "rmse_over_scale", "effective_bits",
        # local: the op alone in integers, fed with the float graph's inputs
        "sqnr_local_db", "local_mse", "local_bias", "local_rmse_over_scale",
        # effect: the logits when this op alone is quantized
        "sqnr_effect_db", "effect_changed_top1", "sqnr_effect_weights_db", "sqnr_effect_activations_db",
        "weight_sqnr_db", "weight_worst_channel_sqnr_db", "granularity",
        "float_min", "float_max", "saturation_share", "n_channels", "n_dead_channels",
        # pairing: "float file", "own weights", or why the two files are not a pair; local_inputs: "float" or "quantized"
        "weight_correlation", "pairing", "local_inputs",
    ),
)  # fmt: skip
LAYER_EFFECT = Frame(  # one row per op of the opened file: the logits when this op alone is quantized, and which part of it
    name="layer_effect",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    first=("layer", "op", "sqnr_effect_db", "effect_changed_top1"),
    values=(
        "op", "data", "n_images", "sqnr_effect_db", "effect_changed_top1", "sqnr_effect_weights_db",
        "sqnr_effect_activations_db",
    ),
)  # fmt: skip
HISTOGRAM = Frame(  # one row per bin of one layer's output; computed_in is "float" or "quantized"
    name="histogram",
    keys=(*MODEL_FILE, "layer_index", "layer", "computed_in", "bin_left"),
    values=("bin_right", "count"),
)
CHANNEL_ERROR = (
    Frame(  # one row per channel of one layer's output; the SQNR is the accumulated one, of this channel alone
        name="channel_error",
        keys=(*MODEL_FILE, "layer_index", "layer", "channel"),
        values=("float_min", "float_max", "sqnr_accumulated_db"),
    )
)
# What `analysis.verdicts` says of a layer; the order is that of tables and legends.
VERDICT_NAMES = (
    "healthy", "defective", "clipped", "wasted range", "outlier channel", "dead", "bimodal", "unlike residual", "coarse",
    "upstream",
)  # fmt: skip
VERDICTS = Frame(  # one row per layer of the quantized graph; evidence_value is a number, evidence_unit says of what
    name="verdicts",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    first=("layer", "verdict", "sqnr_accumulated_db", "sqnr_local_db", "sentence", "remedy"),
    values=(
        "op", "verdict", "bits_lost", "evidence_value", "evidence_unit", "culprit", "sentence", "remedy", "notes",
        "sqnr_accumulated_db", "sqnr_local_db", "pairing",
    ),
)  # fmt: skip
EVIDENCE = Frame(  # behind a verdict; part: "grid", "values" (counted on it), range of a "channel", "kernel", "input"
    name="evidence",
    keys=(*MODEL_FILE, "layer_index", "layer", "part", "position"),
    values=("low", "high", "count"),
)
INTEGER = Frame(  # one row per op; n_different counts unequal output codes; refused: why it was not recomputed, or empty
    name="integer",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    first=("layer", "op", "n_values", "n_different"),
    values=(
        "op", "kernels", "n_values", "n_different", "accumulator_min", "accumulator_max", "multiplier_max", "rounding",
        "refused",
    ),
)  # fmt: skip
INTEGER_STEPS = Frame(  # one row per step from the codes to one output value; `at` is its position, "y,x,channel"
    name="integer_steps",
    keys=(*MODEL_FILE, "layer", "at", "kernels", "step"),
    values=("op", "quantity", "value", "how"),
)
FINDINGS = Frame(  # one row per finding of the lint, gravest first; layer is empty where the whole file is meant
    name="findings",
    keys=(*MODEL_FILE, "id", "layer_index", "layer"),
    first=("severity", "id", "layer", "evidence", "remedy"),
    values=("severity", "op", "evidence", "remedy"),
)
REPAIR = Frame(  # one row per quantized file; steps are its repairs, difference is its top-1 less the unrepaired file's
    name="repair",
    keys=(*MODEL_FILE, "steps", "data"),
    first=("steps", "decision", "top1", "difference", "difference_lo", "difference_hi", "p_value", "scheme"),
    values=(
        "n_images", "top1", "top1_lo", "top1_hi", "difference", "difference_lo", "difference_hi", "p_value",
        # on calibration images that fixed nothing: the last step is "taken" where its gain is more than its noise, or "left"
        "tried", "decision", "n_held_out", "held_out_loss", "held_out_gain", "held_out_gain_lo", "held_out_gain_hi", "reason",
    ),
)  # fmt: skip
ROUNDING = Frame(  # one row per rounded layer; both SQNR of its output are with the inputs that the rounded layers before give
    name="rounding",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    first=("layer", "op", "bits", "sqnr_nearest_db", "sqnr_rounded_db", "moved_share"),
    values=(
        "op", "bits", "granularity", "sqnr_nearest_db", "sqnr_rounded_db", "n_weights", "n_moved", "moved_share",
        "most_moved",
    ),
)  # fmt: skip
MOVED_CODES = Frame(  # one row per layer and level of the nearest code: how many of its weights got another code
    name="moved_codes",
    keys=(*MODEL_FILE, "layer_index", "layer", "code_level"),
    values=("n_weights", "n_moved", "moved_share"),
)
CERTIFICATE = Frame(  # one row per file: between which ends it would lie with other calibration images of the same kind
    name="certificate",
    keys=("data", "n_calibration"),
    first=("n_calibration", "sqnr_outputs_db", "sqnr_low_db", "sqnr_high_db", "agreement", "n_advised"),
    values=(
        "n_draws", "n_images", "sqnr_outputs_db", "sqnr_low_db", "sqnr_high_db", "agreement", "agreement_low",
        "agreement_high", "gain_db", "n_advised",
    ),
)  # fmt: skip
SENSITIVITY = Frame(  # one row per layer and precision: the noise at the logits when this op alone is not float
    name="sensitivity",
    keys=("model", "layer_index", "layer", "precision_name"),
    first=("layer", "op", "precision_name", "noise_share"),
    values=("op", "n_images", "noise_share", "cpu_s"),
)
PRECISIONS = Frame(  # one row per network that was considered, by its choice; what was not measured is NaN
    name="precisions",
    keys=("model", "choice"),
    first=("choice", "size_bytes", "top1", "difference", "difference_lo", "guarantee"),
    values=(
        "recipe", "predicted_noise", "predicted_bytes", "size_bytes", "predicted_arena_bytes", "arena_bytes", "predicted_ms",
        "measured_ms", "guard", "data", "n_images", "top1", "difference", "difference_lo", "difference_hi", "guarantee",
    ),
)  # fmt: skip
CHANNEL_RANGES = Frame(  # one row per output channel of a float kernel; share is its largest weight over the tensor's
    name="channel_ranges",
    keys=("model", "steps", "layer_index", "layer", "channel"),
    values=("op", "range", "share", "bits_left"),
)
ACTIVATION_STYLE = Frame(  # one row per network, granularity of the weights and factor on its calibrated ranges
    name="activation_style",
    keys=("model", "granularity", "widening"),
    values=(
        "activation", "squeeze_excite", "n_images", "float_top1", "float_top1_lo", "float_top1_hi",
        "int8_top1", "int8_top1_lo", "int8_top1_hi", "difference", "difference_lo", "difference_hi", "p_value",
        "widest_layer", "range_min", "range_max",  # of the activations, real units, after widening
    ),
)  # fmt: skip
RANGES = Frame(  # one row per layer: its range by two calibrations; width_ratio is this one's width over the other's
    name="ranges",
    keys=("data", "against", "method", "layer_index", "layer"),
    values=("n_images", "against_n_images", "low", "high", "against_low", "against_high", "width_ratio"),
)
CALIBRATION_RANGES = Frame(  # one row per draw of images and layer; width over that of min-max with all images
    name="calibration_ranges",
    keys=("model", "method", "n_calibration", "draw", "layer_index", "layer"),
    values=("drawn", "low", "high", "relative_width"),
)
CALIBRATION_ACCURACY = Frame(  # one row per file: method and draw; difference and p_value against min-max with all images
    name="calibration_accuracy",
    keys=(*MODEL_FILE, "data", "method", "n_calibration", "draw"),
    values=("drawn", "n_images", "top1", "top1_lo", "top1_hi", "difference", "difference_lo", "difference_hi", "p_value"),
)  # fmt: skip
