"""What the policy language means: pure decisions over frozen facts.

Terms in docs/glossary.md: decision, match, policy, selector, stage, tightening.
"""

from janitor.policy.codec import policies_digest
from janitor.policy.edit_grace import as_before, with_edit_grace
from janitor.policy.evaluate import (
    CEILING,
    PSEUDO_POLICIES,
    VANISHED,
    Evaluation,
    Ranks,
    counts_items,
    decide,
    weigh,
)
from janitor.policy.keep_last import ranks_of
from janitor.policy.limits import Tripped, allowed_share, tripped
from janitor.policy.matching import RuleCoverage
from janitor.policy.rules import Policies, Policy
from janitor.policy.schedule import revived
from janitor.policy.tightening import decide_unapproved, first_to_remove, tightened

__all__ = [
    "CEILING",
    "PSEUDO_POLICIES",
    "VANISHED",
    "Evaluation",
    "Policies",
    "Policy",
    "Ranks",
    "RuleCoverage",
    "Tripped",
    "allowed_share",
    "as_before",
    "counts_items",
    "decide",
    "decide_unapproved",
    "first_to_remove",
    "policies_digest",
    "ranks_of",
    "revived",
    "tightened",
    "tripped",
    "weigh",
    "with_edit_grace",
]
