"""Reads back a reviewed plan, refuses it if it does not apply here and now, and carries it out.

Only threads that are still exactly as the plan saw them are acted on.
"""

from __future__ import annotations

import hmac
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from janitor.drivers.call_counts import Calls
from janitor.engine.breaker import Stop
from janitor.engine.clock import look_at_clock
from janitor.engine.context import RunContext
from janitor.engine.cost import Cost, Estimate, by_verb
from janitor.engine.decisions import Decisions, Planned, planned
from janitor.engine.limits import Backlog
from janitor.engine.pauses import PAUSED
from janitor.engine.plan import Plan
from janitor.engine.recovery import recover
from janitor.engine.redecide import approve, approve_first, under_approval
from janitor.engine.report import APPLY, Report, close, open_run
from janitor.engine.review import Review
from janitor.engine.worker import Worker
from janitor.errors import ConfigError
from janitor.model import Key, Mode, Stage, State
from janitor.policy import Policies, policies_digest
from janitor.rate_limit import Verb
from janitor.registry import Entry, Registry, RunRecord, RunResult

PAGE = 500
SHOWN = 12
MAKE_ANEW = "make a new one: janitor plan -o plan.json"


@dataclass(frozen=True, slots=True)
class PlanSite:
    """Where and when a plan is to be carried out."""

    registry: Registry
    policies: Policies
    now: datetime


def load(text: bytes, name: str) -> Plan:
    """Read a plan's document back.

    Raises:
        ConfigError: It is not a plan, it is not signed, or its digest does not match its content.
    """
    try:
        document = orjson.loads(text)
        made, digest = _read(document), document.get("digest")
        is_intact = made.digest == digest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name}: not a plan, or only part of one; {MAKE_ANEW}") from error
    if not made.signature:
        raise ConfigError(f"{name}: not signed: an older janitor made it; {MAKE_ANEW}")
    if not is_intact:
        raise ConfigError(f"{name}: changed since it was made: its digest differs; {MAKE_ANEW}")
    return made


def check(here: PlanSite, made: Plan, name: str, max_age: timedelta) -> None:
    """Refuse a plan that is from another registry, for other policies, or too old.

    The age matters only when the plan is begun for the first time.

    Raises:
        ConfigError: The registry, signature, mode or policies are not those of the plan, it was
            made with `--at`, it is too old, or the mode is audit.
    """
    if here.policies.mode is Mode.AUDIT:
        raise ConfigError("mode is audit: nothing is applied; set `mode: enforce` to act")
    if made.registry != here.registry.id:
        raise ConfigError(f"{name}: made for another registry ({made.registry}); {MAKE_ANEW}")
    signature = here.registry.plans.signature(made.digest, made.now)
    if not hmac.compare_digest(signature.encode(), made.signature.encode()):
        raise ConfigError(f"{name}: edited: this registry's signature does not match; {MAKE_ANEW}")
    if made.mode != here.policies.mode:
        raise ConfigError(f"{name}: made in {made.mode} mode, which keeps everything; {MAKE_ANEW}")
    if made.policies_digest != policies_digest(here.policies):
        raise ConfigError(f"{name}: made under other policies; {MAKE_ANEW}")
    if made.hypothetical:
        raise ConfigError(f"{name}: made with --at, so it cannot be applied; {MAKE_ANEW}")
    if here.now - made.now > max_age and not here.registry.runs.has(command_of(made.digest)):
        raise ConfigError(f"{name}: made at {made.now:%Y-%m-%d %H:%M} UTC, too old; {MAKE_ANEW}")


def refuse(here: PlanSite, digest: str, message: str) -> RunRecord:
    """Record that a plan which was handed over is no longer valid; it stops waiting."""
    registry, now = here.registry, here.now
    # Under another command: a plan that was refused was never begun.
    command, policies = f"{command_of(digest)} refused", policies_digest(here.policies)
    run = registry.runs.start(command, here.policies.mode, policies, now)
    registry.runs.note_stop(run.id, Stop("", "refused", message, ConfigError.exit_code).note())
    closed = registry.runs.close(run.id, RunResult.FAILED, now)
    registry.plans.end(digest, run.id, now)
    return closed


def command_of(digest: str) -> str:
    """The command recorded for runs of a plan with that digest."""
    return f"{APPLY} {digest[:SHOWN]}"


def compact(made: Plan) -> str:
    """The plan as a document with only what `apply` needs; `load` reads it back."""
    document = made.document(iter)
    names = (
        "digest",
        "signature",
        "now",
        "hypothetical",
        "mode",
        "registry",
        "policies_digest",
        "approval",
    )
    head = orjson.dumps({name: document[name] for name in names})
    rows = b",".join(row for row in made.decisions.encoded() if orjson.loads(row)["stages"])
    return b"".join((head.removesuffix(b"}"), b',"decisions":[', rows, b"]}")).decode()


def _read(document: Mapping[str, Any]) -> Plan:
    """The plan in a document, unchecked; ValueError, KeyError or TypeError if it is not a plan."""
    return Plan(
        document["registry"],
        document["policies_digest"],
        document["mode"],
        datetime.fromisoformat(document["now"]),
        document["hypothetical"],
        Decisions(planned(row) for row in document["decisions"]),
        pending=document["approval"]["pending"],
        signature=str(document.get("signature") or ""),
        cost=_cost(document.get("cost")),
    )


def _cost(said: object) -> Cost:
    """The calls that a document expects, used only for forecasts; none if they cannot be read."""
    found = [said.get(name) for name in Calls._fields] if isinstance(said, dict) else []
    numbers = [number for number in found if isinstance(number, int) and number >= 0]
    return Cost(Estimate(Calls(*numbers))) if len(numbers) == len(found) else Cost()


async def apply(
    context: RunContext, made: Plan, stop: threading.Event, actor: str = "apply"
) -> Report:
    """Carry out the plan for each thread that is unchanged and still due.

    Called again, it continues where it stopped. Once it is finished, the plan no longer waits for a
    service either. Limits do not apply, since a person has looked. Policies that waited for
    approval when the plan was made are approved with it, by `actor`.

    Raises:
        StoreError: The registry failed.
        LimitError: The policies approved last cannot be read.
    """
    context = _approved(context, made, actor)
    await look_at_clock(context.watch, context.registry, context.drivers)
    run = open_run(context, command_of(made.digest))
    rows = {row.key: row for row in made.decisions if row.stages}
    worker = Worker(context, run, stop, drifted=_Drift(rows))
    async with worker.lease.kept():
        await recover(worker, tried=False)
        others = worker.kept[PAUSED]
        calls = _expected_calls(made.cost, rows)
        context.progress.begin("applying", len(rows), calls=calls)
        complete = await worker.work_all(_entries(worker, made))
        complete = complete and worker.kept[PAUSED] == others  # to be continued after the pause
        if complete:
            await recover(worker)
        worker.lease.check()
        report = await close(worker, run, Backlog(), complete=complete)
    if report.run.result is not RunResult.PARTIAL:
        context.registry.plans.end(made.digest, run.id, context.clock())
    return report


def _expected_calls(cost: Cost, keys: Collection[Key]) -> dict[tuple[str, Verb], float]:
    """A plan's expected calls by project and verb, divided by each project's number of threads."""
    shares = Counter(key.project for key in keys)
    return {
        (project, verb): number * threads / len(keys)
        for project, threads in shares.items()
        for verb, number in by_verb(cost.likely.calls).items()
        if number
    }


def _approved(context: RunContext, made: Plan, actor: str) -> RunContext:
    """The run context under the policies in force once this plan is applied.

    Approves them if they waited for approval when the plan was made.
    """
    approve_first(context, context.clock())
    context = under_approval(context)
    if context.approved is None or not made.pending:
        return context
    approve(
        context.registry, context.policies, actor, f"apply of plan {made.digest}", context.clock()
    )
    return replace(context, approved=None)


@dataclass(frozen=True, slots=True)
class _Drift:
    """Returns why a thread is no longer as the plan describes it, or `None`."""

    planned: Mapping[Key, Planned]

    def __call__(self, review: Review) -> str | None:
        row = self.planned[review.thread.key]
        same = row.last_active_at == review.thread.last_active_at or not row.probed
        if row.newest_item is not None:
            same = same and row.newest_item == review.thread.newest_item
        left = tuple(stage for stage in row.stages if stage in review.decision.stages)
        return None if same and left and left == review.decision.stages else "drift"


def _entries(worker: Worker, made: Plan) -> Iterator[Entry]:
    """Yield the plan's threads that are not done yet, claimed for this run page by page."""
    registry = worker.context.registry
    rows = (row for row in made.decisions if row.stages)
    while page := {row.key: row for row in islice(rows, PAGE)}:
        ours = {
            entry.thread.key: entry for entry in registry.claims.take_keys(worker.claimant, page)
        }
        for key, row in page.items():
            entry = ours.get(key) or registry.threads.get(key)
            if entry is not None and _is_done(entry, row):
                continue
            if key in ours:
                yield _as_looked_at(ours[key], row, made.now)
            else:
                worker.drift(key, row.stages[0], row.policy)


def _as_looked_at(entry: Entry, row: Planned, at: datetime) -> Entry:
    """The entry with the plan's own look as its first one: any difference from it is activity.

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
