"""Carries out exactly a reviewed plan: what is still as it was, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

import orjson

from janitor.errors import ConfigError
from janitor.model import Key, Kind, Mode, Stage, State
from janitor.policy import policies_digest
from janitor.registry import Entry
from janitor.sweep.approval import approve, approve_first, under_approval
from janitor.sweep.asking import look_at_clock
from janitor.sweep.backlog import Backlog
from janitor.sweep.parts import Parts
from janitor.sweep.plan import Plan, Planned
from janitor.sweep.recover import recover
from janitor.sweep.report import Report, close, close_dead
from janitor.sweep.review import Review
from janitor.sweep.work import Worker

ALL_RUNS = 1_000_000
PAGE = 500
MAKE_ANEW = "make a new one: janitor plan -o plan.json"


def load(text: bytes, name: str) -> Plan:
    """Read a plan's document back.

    Raises:
        ConfigError: It is no plan, or it was edited since it was made.
    """
    try:
        document = orjson.loads(text)
        made = Plan(
            document["registry"],
            document["policies_digest"],
            document["mode"],
            datetime.fromisoformat(document["now"]),
            document["hypothetical"],
            [_planned(row) for row in document["decisions"]],
            pending=document["approval"]["pending"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{name}: not a plan ({type(error).__name__}); {MAKE_ANEW}") from error
    if made.digest != document.get("digest"):
        raise ConfigError(f"{name}: changed since it was made, its digest differs; {MAKE_ANEW}")
    return made


def check(parts: Parts, made: Plan, name: str, max_age: timedelta) -> None:
    """Refuse a plan that was made for something else, or too long ago.

    Raises:
        ConfigError: Another registry, other policies, made with `--at`, too old, or audit mode.
    """
    begun = any(run.command == _command(made) for run in parts.registry.runs(limit=ALL_RUNS))
    if made.registry != parts.registry.id:
        raise ConfigError(f"{name}: made for another registry ({made.registry}); {MAKE_ANEW}")
    if made.policies_digest != policies_digest(parts.policies):
        raise ConfigError(f"{name}: made under other policies; {MAKE_ANEW}")
    if made.hypothetical:
        raise ConfigError(f"{name}: made with --at, which is only for looking; {MAKE_ANEW}")
    if parts.clock() - made.now > max_age and not begun:
        raise ConfigError(f"{name}: made at {made.now:%Y-%m-%d %H:%M} UTC, too old; {MAKE_ANEW}")
    if parts.policies.mode is Mode.AUDIT:
        raise ConfigError("mode is audit: nothing is applied; set `mode: enforce` to act")


async def apply(parts: Parts, made: Plan, stop: threading.Event, actor: str = "apply") -> Report:
    """Carry out what the plan says of each thread that is still exactly so and due.

    Begun again, it goes on where it stopped. Limits do not apply: a person has looked. Policies
    that waited for approval when the plan was made are approved with it, by `actor`.

    Raises:
        StoreError: The registry failed.
        LimitError: The policies approved last cannot be read.
    """
    parts = _approved(parts, made, actor)
    digest = policies_digest(parts.policies)
    parts.registry.release_claims()
    close_dead(parts.registry, parts.clock())
    await look_at_clock(parts)
    run = parts.registry.open_run(_command(made), parts.policies.mode, digest, parts.clock())
    planned = {row.key: row for row in made.decisions if row.stages}
    worker = Worker(parts, run, stop, drifted=_Drift(planned))
    async with worker.lease.kept():
        await recover(worker)
        complete = await worker.work_all(_entries(worker, made))
        worker.lease.check()
        return await close(worker, run, Backlog(), complete=complete)


def _approved(parts: Parts, made: Plan, actor: str) -> Parts:
    """The parts under what stands once this plan is applied; what it approves is recorded."""
    approve_first(parts, parts.clock())
    parts = under_approval(parts)
    if parts.approved is None or not made.pending:
        return parts
    approve(parts.registry, parts.policies, actor, f"apply of plan {made.digest}", parts.clock())
    return replace(parts, approved=None)


@dataclass(frozen=True, slots=True)
class _Drift:
    """Says why a thread is no longer what the plan says of it, or `None`."""

    planned: Mapping[Key, Planned]

    def __call__(self, review: Review) -> str | None:
        row = self.planned[review.thread.key]
        same = row.last_active_at == review.thread.last_active_at or not row.probed
        if row.newest_item is not None:
            same = same and row.newest_item == review.thread.newest_item
        left = tuple(stage for stage in row.stages if stage in review.decision.stages)
        return None if same and left and left == review.decision.stages else "drift"


def _entries(worker: Worker, made: Plan) -> Iterator[Entry]:
    """What the plan names and is not yet done, claimed for this run, by pages."""
    registry = worker.parts.registry
    planned = (row for row in made.decisions if row.stages)
    while page := {row.key: row for row in islice(planned, PAGE)}:
        ours = {one.thread.key: one for one in registry.claim_keys(worker.claimant, page)}
        for key, row in page.items():
            entry = ours.get(key) or registry.get(key)
            if entry is not None and _is_done(entry, row):
                continue
            if key in ours:
                yield _as_looked_at(ours[key], row, made.now)
            else:
                worker.drift(key)


def _as_looked_at(entry: Entry, row: Planned, at: datetime) -> Entry:
    """The entry with the plan's own look counted as one: what differs from it is activity.

    A dry run writes nothing, so the registry may never have seen this thread's newest item.
    """
    if not row.probed or entry.sightings.baseline_at is not None:
        return entry
    seen = replace(entry.sightings, baseline_at=at, newest_item=row.newest_item)
    return replace(entry, sightings=seen)


def _is_done(entry: Entry, row: Planned) -> bool:
    state = entry.thread.state
    if Stage.DELETE in row.stages:
        return state is State.DELETED
    if Stage.SOFT_DELETE in row.stages:
        return state is State.SOFT_DELETED
    return entry.thread.copy_is_current


def _command(made: Plan) -> str:
    return f"apply {made.digest[:12]}"


def _planned(row: Mapping[str, object]) -> Planned:
    """One decision of a plan's document, or ValueError, KeyError, TypeError."""
    return Planned(
        Key(str(row["project"]), Kind(str(row["kind"])), str(row["id"])),
        tuple(Stage(str(stage)) for stage in _list(row["stages"])),
        _text(row["policy"]),
        _time(row["due_at"]),
        _time(row["age_base"]),
        _text(row["reason"]),
        _time(row["last_active_at"]),
        _text(row["newest_item"]),
        bool(row["probed"]),
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _time(value: object) -> datetime | None:
    return None if value is None else datetime.fromisoformat(str(value))
