"""Repair before precision: what can be done for a quantized network without giving any layer more bits."""

from effnet_lab.analysis.repair.bias import correct_biases, mean_shifts
from effnet_lab.analysis.repair.clip import best_threshold, clip_outliers
from effnet_lab.analysis.repair.equalize import equalize
from effnet_lab.analysis.repair.moments import Moments, mean_window, measure_moments
from effnet_lab.analysis.repair.pipeline import STEPS, RepairStage, repair_stages, write_stages
from effnet_lab.analysis.repair.ranges import channel_ranges
from effnet_lab.analysis.repair.round_walk import Precision, round_kernels

__all__ = [
    "STEPS", "Moments", "Precision", "RepairStage", "best_threshold", "channel_ranges", "clip_outliers", "correct_biases",
    "equalize", "mean_shifts", "mean_window", "measure_moments", "repair_stages", "round_kernels", "write_stages",
]  # fmt: skip
