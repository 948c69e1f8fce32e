"""Everything that the inspector shows of one or more quantized files, computed once and handed on as plain data."""

from effnet_lab.studies.inspection.inspect import inspection
from effnet_lab.studies.inspection.live import Live, live_inspection
from effnet_lab.studies.inspection.payload import METRICS, MOST_FILES, Payload
from effnet_lab.studies.inspection.what_if import RecipeOutcome, WhatIf

__all__ = ["METRICS", "MOST_FILES", "Live", "Payload", "RecipeOutcome", "WhatIf", "inspection", "live_inspection"]
