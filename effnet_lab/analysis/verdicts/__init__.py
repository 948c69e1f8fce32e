"""What is wrong with each layer, in words."""

from effnet_lab.analysis.verdicts.assign import verdicts
from effnet_lab.analysis.verdicts.evidence import Evidence, evidence_table, gather_evidence

__all__ = ["Evidence", "evidence_table", "gather_evidence", "verdicts"]
