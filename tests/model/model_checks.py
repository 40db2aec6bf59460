"""What must hold after every step, of the registry and of what stands beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

from model_ledger import Thing, concerned, removal_age, speaking
from model_world import Estate
from sqlalchemy import text

from janitor.model import Mode, State
from janitor.policy.rules import Policy
from janitor.registry import Entry, Registry


def rows(registry: Registry, query: str) -> list[dict[str, object]]:
    """Ask the registry's database itself."""
    with registry.store.reading() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def broken(estate: Estate) -> Iterator[str]:
    """Everything that must always hold and does not."""
    yield from estate.judge.wrong
    yield from _counts(estate)
    for entry in estate.judge.registry.threads.select():
        thing = estate.judge.things[entry.thread.key.id]
        yield from (f"{thing.key.id}: {said}" for said in _of_row(estate, entry, thing))
    twice = [one for one, number in estate.server.deletes.items() if number > 1]
    yield from (f"{one} deleted twice" for one in twice)
    if (run := estate.judge.registry.runs.first_broken()) is not None:
        yield f"the chain is broken at run {run}"


def _of_row(estate: Estate, entry: Entry, thing: Thing) -> Iterator[str]:
    thread, state = entry.thread, entry.thread.state
    exists, removed = estate.server.exists(thing.key.id), estate.server.deletes[thing.key.id]
    if state is State.DELETED and (exists or not (removed or thing.is_deleted_by_app)):
        yield "called deleted, and nobody deleted it"
    if state is State.DELETED and (thread.reported or thread.upstream or entry.review_at):
        yield "a tombstone that says more than that it is one"
    if state is State.MISSING and exists:
        yield "called missing, and it is there"
    if not exists and not (removed or thing.is_deleted_by_app):
        yield "gone, and nobody deleted it"
    if (state is State.DELETING) != (entry.intent is not None):
        yield "deleting without an intent, or the other way round"
    if state is State.SOFT_DELETED and thread.soft_deleted_at is None:
        yield "soft-deleted at no time"
    if state is State.ARCHIVED and not (thread.copy is not None and thread.copy_is_current):
        yield "archived without a current copy"
    if thread.copy is not None:
        asyncio.run(estate.judge.archive.prove(thread.copy))


COUNTED = """
    SELECT project, kind, state, policy, n FROM count WHERE n <> 0
"""
FOUND = """
    SELECT project, kind, state, coalesce(policy, '') AS policy, count(*) AS n FROM thread
    GROUP BY project, kind, state, coalesce(policy, '')
"""
OPEN = {
    "claims": "SELECT * FROM thread WHERE claim_owner IS NOT NULL",
    "runs": "SELECT * FROM run WHERE closed_at IS NULL",
}


def _counts(estate: Estate) -> Iterator[str]:
    counted, found = rows(estate.judge.registry, COUNTED), rows(estate.judge.registry, FOUND)
    if Counter(map(str, counted)) != Counter(map(str, found)):
        yield f"counted {counted}, found {found}"


def left_open(estate: Estate) -> Iterator[str]:
    """What a sweep that came to its end must not leave behind."""
    for what, query in OPEN.items():
        if found := rows(estate.judge.registry, query):
            yield f"open {what}: {found}"


SETTLED = frozenset({State.DELETED, State.DELETING})
"""Gone, as is checked after every step, or torn: a person must look."""


def undone(estate: Estate) -> Iterator[str]:
    """What should be gone after a long calm, and is there, or should be copied and is not."""
    said = estate.judge.promises.current
    for thing in estate.registered:
        entry = estate.judge.registry.threads.get(thing.key)
        if entry is None or entry.thread.state in SETTLED:
            continue
        views = thing.sides()[0]
        around, rules = concerned(said, thing.key, views), speaking(said, thing.key, views)
        if any(one.mode is Mode.AUDIT for one in rules) or not _is_known(entry, views[2]):
            continue  # what no policy spoke of is not asked about again, whatever was edited
        keeps = any(is_keeping(one) for one in around)
        exists = estate.server.exists(thing.key.id)
        deleted = any(removal_age(one) for one in rules) and not keeps
        if exists and deleted:
            yield f"{thing.key.id} is still there: {entry}"
        archives = [one for one in rules if one.archive is not None and one.archive.after]
        if exists and archives and not entry.thread.copy_is_current:
            yield f"{thing.key.id} has no copy: {entry}"
        if deleted and not exists and entry.thread.state not in (State.DELETED, State.MISSING):
            yield f"{thing.key.id} is gone, and the registry does not know: {entry}"


def _is_known(entry: Entry, upstream: Mapping[str, str]) -> bool:
    """Whether the registry knows what the server's metadata says by now."""
    known = (entry.thread.upstream or {}).items()
    return {k: v for k, v in known if not k.startswith("janitor_")} == dict(upstream)


def is_keeping(rule: Policy) -> bool:
    """Whether a policy keeps some of what it matches, or all of it, whatever its age."""
    never = rule.delete is not None and rule.delete.after is None
    return rule.keep_forever or rule.keep_last is not None or never
