"""What width, depth, resolution and all three buy: networks trained alike, at equal MAdds."""

from __future__ import annotations

from effnet_lab.studies.scaling_study.answers import COSTS, coefficients, gains, summary, which_direction, which_triple
from effnet_lab.studies.scaling_study.point import StudyRecipe
from effnet_lab.studies.scaling_study.study import ScalingStudy, networks_of, read_study, scaling_study

__all__ = [
    "COSTS", "ScalingStudy", "StudyRecipe", "coefficients", "gains", "networks_of", "read_study", "scaling_study",
    "summary", "which_direction", "which_triple",
]  # fmt: skip
