"""Repair before precision: what can be done for a quantized network without giving any layer more bits."""

from effnet_lab.analysis.repair.bias import correct_biases, mean_shifts
from effnet_lab.analysis.repair.clip import best_threshold, clip_outliers
from effnet_lab.analysis.repair.equalize import equalize
from effnet_lab.analysis.repair.held_out import Gain, HeldOut, split_held_out
from effnet_lab.analysis.repair.moments import Moments, mean_window, measure_moments
from effnet_lab.analysis.repair.pipeline import STEPS, RepairStage, repair_stages, write_stages
from effnet_lab.analysis.repair.ranges import channel_ranges
from effnet_lab.analysis.repair.round_walk import Precision, RoundedLayer, RoundWalk
from effnet_lab.analysis.repair.rounded_file import narrow_depthwise, with_rounded_kernels, write_rounded
from effnet_lab.analysis.repair.rounding_table import moved_codes, rounding_table

__all__ = [
    "STEPS", "Gain", "HeldOut", "Moments", "Precision", "RepairStage", "RoundWalk", "RoundedLayer", "best_threshold",
    "channel_ranges", "clip_outliers", "correct_biases", "equalize", "mean_shifts", "mean_window", "measure_moments",
    "moved_codes", "narrow_depthwise", "repair_stages", "rounding_table", "split_held_out", "with_rounded_kernels",
    "write_rounded", "write_stages",
]  # fmt: skip
