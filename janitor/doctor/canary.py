"""A conversation of the janitor's own, made and deleted to see what becomes of its item."""

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
class Aviary:
    """What a canary is tried with: the driver, and the registry that knows of it all the while."""

    project: str
    driver: Planting
    registry: Registry
    policies: Policies
    clock: Callable[[], datetime]


async def try_canary(aviary: Aviary) -> list[Finding]:
    """Make a conversation with one item, delete it without its item, and ask for the item.

    It is registered before anything may go wrong with it, so that it is never orphaned. The caller
    holds the run's lock.
    """
    check, now = f"canary {aviary.project}", aviary.clock()
    try:
        made = await aviary.driver.plant(MARK)
    except (AccessError, DriverError) as error:
        return [told(check, error)]
    key = Key(aviary.project, aviary.driver.kind, made)
    aviary.registry.register([Registration(key, now, now, metadata=MARK)], now)
    try:
        item = await aviary.driver.add_item(made, TEXT)
        response = await aviary.driver.delete(made, items_first=False)
    except (AccessError, DriverError) as error:
        return [told(check, error), *await _clean_up(aviary, key, check)]
    _bury(aviary, key, response)
    try:
        outlives = await aviary.driver.has_item(made, item)
    except (AccessError, DriverError) as error:
        return [told(check, error)]
    if outlives:
        with suppress(AccessError, DriverError):
            await aviary.driver.delete_item(made, item)
    return _judged(check, aviary, outlives=outlives)


async def _clean_up(aviary: Aviary, key: Key, check: str) -> list[Finding]:
    """Try once more to delete what was made; say what it is called where that fails, too."""
    try:
        _bury(aviary, key, await aviary.driver.delete(key.id))
    except GoneError:
        _bury(aviary, key, None)
    except (AccessError, DriverError):
        says = f"{key.kind} {key.id} was made and could not be deleted; it is registered"
        return [wrong(check, says, "delete it at the server, or let a policy remove it")]
    return []


def _bury(aviary: Aviary, key: Key, response: str | None) -> None:
    """Leave a tombstone, by a run of its own, like any other deletion."""
    registry, now = aviary.registry, aviary.clock()
    digest = policies_digest(aviary.policies)
    run = registry.open_run(COMMAND, aviary.policies.mode, digest, now)
    line = Event(run.id, now, key, "deleted", Stage.DELETE, Outcome.DONE, response_id=response)
    registry.settle([Settlement(key, None, tombstone=True, events=(line,))])
    registry.close_run(run.id, RunResult.DONE, aviary.clock())


def _judged(check: str, aviary: Aviary, *, outlives: bool) -> list[Finding]:
    kind = aviary.driver.kind
    if not outlives:
        says = f"{kind}: the item went with it, as far as this server tells"
        return [fine(check, f"{says}; `delete: {{items: keep}}` would save calls")]
    keeping = [
        rule.name
        for rule in aviary.policies.rules
        if rule.delete is not None and rule.delete.after and rule.delete.items is Items.KEEP
    ]
    says = f"{kind}: an item outlives it at this server"
    if keeping:
        todo = f"write `delete: {{items: first}}` in {', '.join(keeping)}"
        return [doubtful(check, f"{says}, and is left behind by policies that keep items", todo)]
    return [fine(check, f"{says}; `delete: {{items: first}}`, the default, is needed")]
