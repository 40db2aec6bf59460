"""From what is due to what was done: plan, sweep, apply, one path for all three."""

from janitor.sweep.accept import Acceptance, accept_missing
from janitor.sweep.apply import apply
from janitor.sweep.parts import Notice, Parts, Project
from janitor.sweep.plan import Plan, Planned, Scope, plan
from janitor.sweep.prune_run import prune_archive
from janitor.sweep.report import Report
from janitor.sweep.reviewed import Here, check, compact, load, refuse
from janitor.sweep.sweep import Orders, sweep

__all__ = [
    "Acceptance",
    "Here",
    "Notice",
    "Orders",
    "Parts",
    "Plan",
    "Planned",
    "Project",
    "Report",
    "Scope",
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
