"""Removes archive copies past their date in a run of their own: a person asks for it."""

from __future__ import annotations

import threading

from janitor.errors import ConfigError
from janitor.model import Mode
from janitor.policy import policies_digest
from janitor.sweep.approval import under_approval
from janitor.sweep.asking import look_at_clock
from janitor.sweep.backlog import Backlog
from janitor.sweep.parts import Parts
from janitor.sweep.prune import prune
from janitor.sweep.report import Report, close, close_dead
from janitor.sweep.work import Worker

COMMAND = "archive prune"


async def prune_archive(parts: Parts, stop: threading.Event, *, yes: int | None = None) -> Report:
    """Remove what is past its date in a run of its own; the caller holds the run's lock alone.

    `yes` is the number of copies that a person lets go though it is over the limit.

    Raises:
        ConfigError: The mode is audit.
        LimitError: The policies approved last cannot be read.
        StoreError: The registry failed; the run stays open and the next one closes it.
    """
    if parts.policies.mode is Mode.AUDIT:
        raise ConfigError(
            "mode is audit: nothing is removed from the archive. Look with `janitor archive prune "
            "--dry-run`; to remove, set `mode: enforce`"
        )
    registry, parts = parts.registry, under_approval(parts)
    registry.release_claims()
    close_dead(registry, parts.clock())
    await look_at_clock(parts)
    digest = policies_digest(parts.policies)
    run = registry.open_run(COMMAND, parts.policies.mode, digest, parts.clock())
    worker = Worker(parts, run, stop)
    async with worker.lease.kept():
        complete = await prune(worker, is_asked_for=True, yes=yes)
        worker.lease.check()
        return await close(worker, run, Backlog(), complete=complete)
