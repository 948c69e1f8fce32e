"""Everything that the inspector shows of one or more quantized files, computed once and handed on as plain data."""

from effnet_lab.studies.inspection.inspect import inspection
from effnet_lab.studies.inspection.payload import METRICS, MOST_FILES, Payload

__all__ = ["METRICS", "MOST_FILES", "Payload", "inspection"]
