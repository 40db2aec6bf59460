"""The policy language's meaning: pure decisions over frozen facts."""

from janitor.policy.audits import Coverage
from janitor.policy.decisions import counts_items, decide, next_review
from janitor.policy.digest import policies_digest
from janitor.policy.expiry import VANISHED
from janitor.policy.limits import Tripped, allowed_share, tripped
from janitor.policy.protections import Ranks
from janitor.policy.ranking import ranks_of
from janitor.policy.rules import Policies, Policy
from janitor.policy.schedule import revived
from janitor.policy.sparing import as_before, spared
from janitor.policy.tightening import decide_unapproved, first_to_remove, tightened
from janitor.policy.weighing import APART, CEILING, Case, weigh

__all__ = [
    "APART",
    "CEILING",
    "VANISHED",
    "Case",
    "Coverage",
    "Policies",
    "Policy",
    "Ranks",
    "Tripped",
    "allowed_share",
    "as_before",
    "counts_items",
    "decide",
    "decide_unapproved",
    "first_to_remove",
    "next_review",
    "policies_digest",
    "ranks_of",
    "revived",
    "spared",
    "tightened",
    "tripped",
    "weigh",
]
