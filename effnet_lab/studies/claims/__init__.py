"""The claims ledger: every published number, recounted where this machine can."""

from effnet_lab.studies.claims.ledger import claims_ledger
from effnet_lab.studies.claims.measured import measure_claims

__all__ = ["claims_ledger", "measure_claims"]
