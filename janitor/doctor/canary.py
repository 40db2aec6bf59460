"""Creates and deletes a conversation of janitor's own, to see what happens to its item."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from janitor.doctor.findings import Finding, doubtful, fine, told, wrong
from janitor.drivers import Planting
from janitor.errors import AccessError, DriverError, GoneError
from janitor.model import Key, Outcome, Stage
from janitor.policy import Policies, policies_digest
from janitor.policy.rules import Items
from janitor.registry import Event, Registration, Registry, RunResult, Settlement

MARK = {"janitor_canary": "true"}
TEXT = "A canary of janitor's own: it is deleted again at once."
COMMAND = "doctor --canary"


@dataclass(frozen=True, slots=True)
class CanaryRun:
    """What a canary needs: the driver, and the registry that tracks it all the while."""

    project: str
    driver: Planting
    registry: Registry
    policies: Policies
    clock: Callable[[], datetime]


async def try_canary(canary_run: CanaryRun) -> list[Finding]:
    """Creates a conversation with one item, deletes it without its item, and asks for the item.

    It is registered as soon as it exists, so that it is not orphaned if a later step fails. The
    caller holds the run's lock.
    """
    check, now = f"canary {canary_run.project}", canary_run.clock()
    try:
        made = await canary_run.driver.plant(MARK)
    except (AccessError, DriverError) as error:
        return [told(check, error)]
    key = Key(canary_run.project, canary_run.driver.kind, made)
    canary_run.registry.registrations.add([Registration(key, now, now, metadata=MARK)], now)
    try:
        item = await canary_run.driver.add_item(made, TEXT)
        response = await canary_run.driver.delete(made, items_first=False)
    except (AccessError, DriverError) as error:
        return [told(check, error), *await _clean_up(canary_run, key, check)]
    _bury(canary_run, key, response)
    try:
        outlives = await canary_run.driver.has_item(made, item)
    except (AccessError, DriverError) as error:
        return [told(check, error)]
    if outlives:
        with suppress(AccessError, DriverError):
            await canary_run.driver.delete_item(made, item)
    return _judged(check, canary_run, outlives=outlives)


async def _clean_up(canary_run: CanaryRun, key: Key, check: str) -> list[Finding]:
    """Tries once more to delete the conversation; reports its id if that fails, too."""
    try:
        _bury(canary_run, key, await canary_run.driver.delete(key.id))
    except GoneError:
        _bury(canary_run, key, None)
    except (AccessError, DriverError):
        says = f"{key.kind} {key.id} was created and could not be deleted; it is registered"
        return [wrong(check, says, "delete it at the server, or let a policy remove it")]
    return []


def _bury(canary_run: CanaryRun, key: Key, response: str | None) -> None:
    """Leaves a tombstone, in a run of its own, like any other deletion."""
    registry, now = canary_run.registry, canary_run.clock()
    digest = policies_digest(canary_run.policies)
    run = registry.runs.start(COMMAND, canary_run.policies.mode, digest, now)
    line = Event(run.id, now, key, "deleted", Stage.DELETE, Outcome.DONE, response_id=response)
    registry.settlements.settle([Settlement(key, None, tombstone=True, events=(line,))])
    registry.runs.close(run.id, RunResult.DONE, canary_run.clock())


def _judged(check: str, canary_run: CanaryRun, *, outlives: bool) -> list[Finding]:
    kind = canary_run.driver.kind
    if not outlives:
        says = f"{kind}: its item is gone too, as far as this server shows"
        return [fine(check, f"{says}; `delete: {{items: keep}}` would save calls")]
    keeping = [
        rule.name
        for rule in canary_run.policies.rules
        if rule.delete is not None and rule.delete.after and rule.delete.items is Items.KEEP
    ]
    says = f"{kind}: an item outlives it at this server"
    if keeping:
        todo = f"write `delete: {{items: first}}` in {', '.join(keeping)}"
        return [doubtful(check, f"{says}, and is left behind by policies that keep items", todo)]
    return [fine(check, f"{says}; `delete: {{items: first}}`, the default, is needed")]
