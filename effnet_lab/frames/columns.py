"""Every column of every table, declared once: name, kind, title, unit, which way is better, whether it has an interval."""

from __future__ import annotations

from typing import Any

from effnet_lab.frames.kinds import Column


def _text(name: str, title: str = "") -> Column:
    return Column(name, "text", title or name.replace("_", " "))


def _count(name: str, title: str = "", unit: str = "", **more: Any) -> Column:
    return Column(name, "count", title or name.removeprefix("n_").replace("_", " "), unit, **more)


def _cost(name: str, title: str, unit: str = "") -> Column:
    """A count of which less is better, from hundreds to millions."""
    return _count(name, title, unit, better="low", log=True, ticks="~s")


def _bytes(name: str, title: str) -> Column:
    return _cost(name, title, "bytes")


def _fraction(name: str, title: str, better: str = "high", **more: Any) -> Column:
    return Column(name, "fraction", title, better=better, ticks="~%", **more)


def _number(name: str, title: str, unit: str = "", **more: Any) -> Column:
    return Column(name, "number", title, unit, **more)


def _decibel(name: str, title: str) -> Column:
    return _number(name, title, "dB", better="high")


def _latency(name: str, title: str) -> Column:
    return _number(name, title, "ms, this host", better="low", interval=True, log=True, ticks="~g")


_FILE = (
    _text("model"), _text("scheme"), _text("backend", "back end"), _text("layer"), _text("op"), _text("kernels"),
    _text("data"), _text("file"), _text("method"), _text("type", "number type"), _text("granularity"), _text("steps"),
    _count("layer_index", "layer number"), _count("run_index", "position in the run"), _count("tensor_index", "tensor"),
    _count("channel"), _count("n_images", "images"), _count("n_channels", "channels"),
)  # fmt: skip
_NETWORK = (  # from the specification
    _number("width", "width multiplier (lite0 = 1)", digits=".3g"),
    _number("depth", "depth multiplier (lite0 = 1)", digits=".3g"),
    _number("phi", "compound coefficient phi", digits=".2f"),
    _count("resolution_px", "input side", "px"), _count("size_px", "input side", "px"),
    _count("out_side_px", "output side", "px"), _count("out_channels", "output channels"),
    _count("classes"), _cost("params", "parameters"), _cost("madds", "MAdds per image"),
    _cost("published_params", "parameters, published"), _cost("published_madds", "MAdds, published"),
    _bytes("activation_bytes", "output in int8"), _bytes("peak_activation_bytes", "peak activations in int8"),
    _bytes("weight_bytes", "int8 weights"), _bytes("flash_bytes", "flash"), _bytes("size_bytes", "file size"),
)  # fmt: skip
_LAYER_ERROR = (
    _decibel("sqnr_accumulated_db", "accumulated SQNR"), _decibel("sqnr_local_db", "local SQNR"),
    _decibel("sqnr_effect_db", "SQNR of the logits, this op alone in integers"),
    _decibel("sqnr_effect_weights_db", "SQNR of the logits, its weights alone"),
    _decibel("sqnr_effect_activations_db", "SQNR of the logits, its activations alone"),
    _fraction("effect_changed_top1", "first class changed by this op alone", "low"),
    _decibel("sqnr_outputs_db", "SQNR of the outputs"), _count("output_index", "output number"),
    _decibel("weight_sqnr_db", "SQNR of the weights"),
    _decibel("weight_worst_channel_sqnr_db", "SQNR of the worst weight channel"),
    _number("mse", "mean squared error", "activation²", better="low", log=True, ticks="~e", digits=".3g"),
    _number("local_mse", "local mean squared error", "activation²", better="low", log=True, ticks="~e", digits=".3g"),
    _number("cosine", "cosine similarity", better="high", digits=".6f"),
    _number("max_error", "largest error", "activation", better="low", log=True, digits=".3g"),
    _number("bias", "mean error", "activation", digits=".3g"),
    _number("local_bias", "local mean error", "activation", digits=".3g"),
    _number("rmse_over_scale", "RMS error / step", "rounding alone: 0.29", better="low", log=True, digits=".3g"),
    _number("local_rmse_over_scale", "local RMS error / step", "rounding: 0.29", better="low", log=True, digits=".3g"),
    _number("effective_bits", "effective bits", better="high", digits=".2f"),
    _number("scale", "quantization step (scale)"), _count("zero_point"),
    _number("float_min", "smallest float value", "activation"), _number("float_max", "largest float value", "activation"),
    _fraction("saturation_share", "values beyond the codes", "low"),
    _count("n_dead_channels", "channels with one code throughout", better="low"),
    _number("weight_correlation", "correlation of the weights", better="high", digits=".4f"),
    _text("pairing", "float network"), _text("local_inputs", "inputs of the local error"),
    _text("computed_in"), _number("bin_left", "left edge"), _number("bin_right", "right edge"), _count("count", "values"),
)  # fmt: skip
_VERDICTS = (
    _text("verdict"), _text("sentence"), _text("remedy"), _text("notes"), _text("culprit"), _text("evidence"),
    _text("evidence_unit", "unit of the evidence"), _number("evidence_value", "evidence"),
    _number("bits_lost", "bits lost", better="low", digits=".2f"),
    _text("part"), _count("position"), _number("low", "low end"), _number("high", "high end"),
    _text("id", "rule"), _text("severity"),
)  # fmt: skip
_INTEGER = (
    _count("n_values", "values"), _count("n_different", "values that differ", better="low"),
    _count("accumulator_min", "smallest accumulator"), _count("accumulator_max", "largest accumulator"),
    _number("multiplier_max", "largest multiplier"), _text("rounding"),
    _text("refused", "why not recomputed"),
    _text("at", "position"), _count("step"), _text("how"),
)  # fmt: skip
_ACCURACY = (
    _fraction("top1", "top-1 accuracy", interval=True), _fraction("top5", "top-5 accuracy"),
    _fraction("train_top1", "top-1 accuracy, training"), _fraction("validation_top1", "top-1 accuracy, validation"),
    _fraction("published_top1", "top-1 accuracy, published"),
    _fraction("published_int8_top1", "top-1 accuracy of int8, published"),
    _fraction("float_top1", "top-1 accuracy, float", interval=True),
    _fraction("int8_top1", "top-1 accuracy, int8", interval=True),
    _fraction("against_top1", "top-1 accuracy of the other"), _fraction("agreement", "same first class"),
    _fraction("difference", "difference of top-1", interval=True), _fraction("precision", "precision"),
    _fraction("calibration_error", "calibration error", "low"), _fraction("score", "probability"),
    _fraction("confidence", "probability of the first class", "", digits=".1%"),
    _fraction("confidence_left", "probability from", "", digits=".1%"),
    _fraction("confidence_right", "probability to", "", digits=".1%"),
    _number("p_value", "p (McNemar)", digits=".2g"), Column("tied", "flag", "not told apart"),
    _text("against"), _count("n_only_this", "only this is right"), _count("n_only_other", "only the other is right"),
    _count("n_images_needed", "images needed"),
    _text("against_predicted", "the other's answer"), _count("image_index", "image"),
    _fraction("against_confidence", "probability of the other's answer", "", digits=".1%"),
    _text("label"), _text("predicted", "answer"), _text("taken_for"), _count("n_taken_for", "times"),
    _text("problem"), _text("split"), _text("twin", "copy of"), _text("detail"),
    _count("class_index", "class"),
    _count("rank"), _text("mark"), _text("normalisation"), _text("crop"), _text("interpolation"), _text("channels"),
    _count("label_offset"),
    _count("epoch"), _number("loss", "loss", "cross-entropy, nats", better="low", digits=".4f"),
)  # fmt: skip
_TIME = (
    _latency("p50_ms", "latency p50"), _latency("p90_ms", "latency p90"), _latency("p99_ms", "latency p99"),
    _latency("cpu_p50_ms", "CPU time p50"), _latency("cpu_p90_ms", "CPU time p90"), _latency("cpu_p99_ms", "CPU time p99"),
    _number("relative_p50", "CPU time p50 / reference's", better="low", interval=True, log=True, ticks="~g", digits=".3g"),
    _number("uninterrupted_ms", "time", "ms, this host", better="low"),
    _fraction("share", "share", "", digits=".1%"),
    _text("host"), _text("reference"), _text("delegate"), _text("guard"), _text("operator"),
    _count("threads"), _count("batch"), _count("n_warmup", "warm-up runs"), _count("n_runs", "runs"),
    _number("published_ms", "latency, published", "ms", better="low", log=True),
    _text("published_source"), _text("published_conditions"), _text("published_ms_source"), _text("published_ms_conditions"),
)  # fmt: skip
_BOARD = (
    _text("board"), _text("processor"), _count("board_flash_bytes", "flash of the board", "bytes"),
    _count("board_ram_bytes", "RAM of the board", "bytes"),
    _bytes("arena_bytes", "arena of a microcontroller"), _bytes("arena_head_bytes", "arena, activations"),
    _bytes("arena_tail_bytes", "arena, the interpreter's own"), _bytes("graph_bytes", "graph without weights"),
    _bytes("planned_bytes", "arena, planned"), _bytes("planned_head_bytes", "arena, activations, planned"),
    _count("offset_bytes", "offset", "bytes"), _bytes("alive_bytes", "alive"), _bytes("high_water_bytes", "high water"),
    _count("n_alive", "tensors alive"), _count("first_op"), _count("last_op"),
    _text("arena_source", "arena from"), _text("accelerator"), _text("system_config", "system"), _text("memory_mode"),
    _text("npu_op", "operator of the NPU"),
    _text("runs_on"), _text("reason"), _count("npu_ops", "ops on the NPU"), _count("cpu_ops", "ops on the CPU", better="low"),
    _cost("cycles", "cycles"), _cost("npu_cycles", "cycles of the NPU"), _cost("sram_cycles", "cycles of the SRAM"),
    _cost("dram_cycles", "cycles of the DRAM"), _number("inference_ms", "time, estimated", "ms", better="low"),
    _number("estimated_ms", "time, estimated", "ms", better="low", log=True, ticks="~g"),
    _fraction("utilisation", "MACs used of the NPU's"),
    _bytes("sram_used_bytes", "SRAM used"), _bytes("dram_used_bytes", "DRAM used"), _bytes("flash_used_bytes", "flash used"),
    _bytes("sram_traffic_bytes", "SRAM moved"), _bytes("dram_traffic_bytes", "DRAM moved"),
    _bytes("flash_traffic_bytes", "flash moved"),
)  # fmt: skip
_CLAIMS = (
    _text("quantity"), _text("source"), _text("unit"), _text("conditions"), _text("rule"), _text("because"),
    _text("explanation"), _number("value", "value"), _number("ours", "ours"), _number("rounded_to", "rounded to"),
    _number("tolerance", "tolerance"),
)  # fmt: skip
_RANGES = (
    _number("range", "largest weight"), _number("bits_left", "bits left", better="high", digits=".2f"),
    _number("widening", "factor on the ranges", digits=".3g"), _text("activation"),
    Column("squeeze_excite", "flag", "squeeze and excitation"), _text("widest_layer"),
    _number("range_min", "smallest activation"), _number("range_max", "largest activation"),
    _count("against_n_images", "images of the other"), _number("against_low", "low end of the other"),
    _number("against_high", "high end of the other"), _number("width_ratio", "width / the other's", digits=".3g"),
    _count("n_calibration", "calibration images"), _count("draw"), _text("drawn"),
    _number("relative_width", "width / that of all images", digits=".3g"),
)  # fmt: skip
_SCALING = (  # studies of what scaling buys
    _text("base"), _text("direction"), _text("cost"), Column("inside", "flag", "inside what was measured"),
    _number("level", "MAdds / the base's, asked for", digits=".3g"),
    _number("madds_ratio", "MAdds / the base's", digits=".3f"),
    _number("alpha", "alpha (depth)", digits=".3g"), _number("beta", "beta (width)", digits=".3g"),
    _number("gamma", "gamma (resolution)", digits=".3g"), _count("seed"), _count("n_seeds", "seeds"),
    _count("n_train", "training images"), _count("epochs"), _number("learning_rate", "learning rate", digits=".3g"),
    _fraction("expected_top1", "top-1 accuracy, expected", interval=True),
    _fraction("error", "measured less expected", "", interval=False),
    _fraction("gain", "top-1 per doubling of the cost", interval=True),
    _number("p_adjusted", "p, adjusted for the number of tests", digits=".2g"),
    _text("float_hits", "images recognised, float"), _text("int8_hits", "images recognised, int8"),
)  # fmt: skip
_REPAIR = (  # loss: Kullback-Leibler divergence where a softmax ends the network, else a share of the output's mean square
    _text("tried", "step"), _text("decision"), _count("n_held_out", "held-out images"),
    _number("held_out_loss", "loss on the held-out images", better="low", digits=".3g"),
    _number("held_out_gain", "loss less by", better="high", interval=True, digits=".3g"),
    _count("bits", "bits of a weight"), _count("n_weights", "weights"), _count("n_moved", "weights on another code"),
    _fraction("moved_share", "share on another code", "", digits=".1%"), _count("most_moved", "furthest move", "codes"),
    _decibel("sqnr_nearest_db", "SQNR of the output, rounded to nearest"),
    _decibel("sqnr_rounded_db", "SQNR of the output, as rounded"),
    _number("code_level", "nearest code / largest code", digits=".2f"),
)  # fmt: skip
_CHOICE = (  # of precisions, and how sure a calibration is
    _count("n_draws", "calibrations drawn"), _decibel("sqnr_low_db", "SQNR of the logits, low end"),
    _decibel("sqnr_high_db", "SQNR of the logits, high end"), _fraction("agreement_low", "same first class, low end"),
    _fraction("agreement_high", "same first class, high end"),
    _number("gain_db", "SQNR gained over half as many images", "dB"), _count("n_advised", "images advised"),
    _text("choice"), _text("precision_name", "precision"), _text("recipe"), _text("guarantee", "what was shown"),
    _number("noise_share", "noise at the logits / signal", better="low", log=True, digits=".3g", ticks="~e"),
    _number("predicted_noise", "noise at the logits / signal, predicted", better="low", log=True, digits=".3g", ticks="~e"),
    _bytes("predicted_bytes", "file size, predicted"), _bytes("predicted_arena_bytes", "activations, predicted"),
    _number("predicted_ms", "time, predicted", "ms, this host", better="low", digits=".3g"),
    _number("measured_ms", "CPU time p50", "ms, this host", better="low", digits=".3g"),
    _number("cpu_s", "CPU time of all rows", "s", digits=".3g"),
)  # fmt: skip
_SWEEP = (
    _text("point"), _text("worst_layer", "worst layer"), _decibel("worst_sqnr_db", "SQNR of the worst layer"),
    _text("parameter"), _text("with_parameter", "together with"), _fraction("variance_share", "share of the variance", ""),
    _text("lowest_at", "lowest at"), _number("lowest_mean", "lowest mean"), _text("highest_at", "highest at"),
    _number("highest_mean", "highest mean"), _count("n_files", "files"),
)  # fmt: skip
_PROVENANCE = (
    _text("notebook"), _text("profile"), _text("effnet_lab", "effnet-lab"), _text("tensorflow", "TensorFlow"),
    _text("litert", "LiteRT"), _text("quantizer", "AI Edge Quantizer"),
)  # fmt: skip

DECLARED = (
    *_FILE, *_NETWORK, *_LAYER_ERROR, *_VERDICTS, *_INTEGER, *_ACCURACY, *_TIME, *_BOARD, *_CLAIMS, *_RANGES, *_SCALING,
    *_REPAIR, *_CHOICE, *_SWEEP, *_PROVENANCE,
)  # fmt: skip
COLUMNS = {part.name: part for column in DECLARED for part in column.parts()}
PROVENANCE = tuple(column.name for column in _PROVENANCE)  # what `record` adds to every row: where it came from


def column(name: str) -> Column:
    """The column of that name; one that is not declared is a number that bears its name as title.

    What stands in no frame, such as the columns of a summary, is written by the type of its values.
    """
    return COLUMNS.get(name) or Column(name, "number", name)
