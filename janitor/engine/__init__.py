"""From what is due to what was done: plan, sweep, apply, one path for all three.

Terms in docs/glossary.md: candidate, look, missing, outcome, plan, review, settlement, sweep.
"""

from janitor.engine.accept_missing import Acceptance, accept_missing
from janitor.engine.apply import PlanSite, apply, check, compact, load, refuse
from janitor.engine.context import ConnectedProject, RunContext, RunNotice
from janitor.engine.decisions import Decisions, Planned
from janitor.engine.plan import Plan, PlanScope, plan
from janitor.engine.prune import prune_archive
from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep

__all__ = [
    "Acceptance",
    "ConnectedProject",
    "Decisions",
    "Orders",
    "Plan",
    "PlanScope",
    "PlanSite",
    "Planned",
    "Report",
    "RunContext",
    "RunNotice",
    "accept_missing",
    "apply",
    "check",
    "compact",
    "load",
    "plan",
    "prune_archive",
    "refuse",
    "sweep",
]
