"""What is wrong with each layer, in words."""

from effnet_lab.analysis.verdicts.evidence import Evidence, evidence_table, gather_evidence
from effnet_lab.analysis.verdicts.judge import verdicts

__all__ = ["Evidence", "evidence_table", "gather_evidence", "verdicts"]
