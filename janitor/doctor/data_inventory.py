"""What janitor keeps, where, for how long and how much: in sentences, without stored values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from janitor.config import Config
from janitor.config.fields import format_duration
from janitor.model import State
from janitor.policy.matching import RESERVED
from janitor.policy.stored_metadata import MetadataFilter
from janitor.registry import Registry


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of thing that is kept: where, what, how long, and how many, if that is known."""

    where: str
    what: str
    how_long: str
    numbers: Mapping[str, int] = field(default_factory=dict)


def what_is_kept(config: Config, registry: Registry | None) -> Iterator[Kept]:
    """Everything that janitor keeps, by the configuration and the counts in the registry."""
    config = replace(config, screen=MetadataFilter(config.registry.keys, config.registry.hash))
    yield from _registry(config, registry)
    yield from _archive(config, registry)
    yield Kept(
        "logs, metrics and events",
        "ids, times, policies and outcomes; never text, a secret or a metadata value",
        "events and runs as long as the registry; logs as long as your log collector keeps them",
    )
    yield Kept(
        "the applications' spools",
        "what they report of their threads, with the metadata as given",
        "seconds: until it is delivered to the inbox",
    )


def _registry(config: Config, registry: Registry | None) -> Iterator[Kept]:
    states = {} if registry is None else registry.threads.states()
    living = sum(n for (_, _, state), n in states.items() if state is not State.DELETED)
    dead = sum(n for (_, _, state), n in states.items() if state is State.DELETED)
    yield Kept(
        "registry",
        "the id, project, kind, times, state and number of items of every thread; no text",
        "until the thread is deleted at the server",
        {} if registry is None else {"threads": living},
    )
    yield from _metadata(config, registry)
    yield Kept(
        "registry, tombstones",
        "the id, kind, times, policies and run of each deleted thread; no metadata, but digests "
        "of the names of keys that only the application set; it stays while the archive has a "
        "copy",
        format_duration(config.tombstones_keep_for),
        {} if registry is None else {"threads": dead},
    )
    yield _inbox(config, registry)
    yield Kept(
        "registry, holds",
        "their names, reasons and criteria; metadata in them is stored like any other",
        "forever, as the record of what was held",
        {} if registry is None else {"holds": len(registry.holds.records())},
    )


def _metadata(config: Config, registry: Registry | None) -> Iterator[Kept]:
    counted = {} if registry is None else registry.threads.values_of_keys()
    for key in sorted({*counted, *(config.screen.keys or ()), *config.screen.hashed}):
        numbers = {"threads": counted[key][0], "values": counted[key][1]} if key in counted else {}
        how_long = "until the thread is deleted at the server"
        yield Kept(f"registry, metadata {key}", _form(config.screen, key), how_long, numbers)
    if config.screen.keys is None:
        what = "any other key that an application or the server reports"
    else:
        what = f"no other key except janitor's own ({RESERVED}*)"
    yield Kept("registry, other metadata", what, "until the thread is deleted at the server")


def _form(screen: MetadataFilter, key: str) -> str:
    if not screen.keeps(key):
        return "no longer stored, from the next write on"
    return "a keyed hash (HMAC-SHA-256) of each value" if screen.is_hashed(key) else "in the clear"


def _inbox(config: Config, registry: Registry | None) -> Kept:
    drained = "with its metadata" if config.screen.is_open else "without its metadata once drained"
    return Kept(
        "registry, inbox",
        f"what applications reported, {drained}; as they wrote it until the next drain",
        "30d after it was drained",
        {} if registry is None else {"waiting": registry.inbox.undrained()},
    )


def _archive(config: Config, registry: Registry | None) -> Iterator[Kept]:
    numbers = {} if registry is None else {"copies": registry.copies.count()}
    archiving = [rule for rule in config.policies.rules if rule.archive is not None]
    for rule in archiving:
        keep_for = rule.archive.keep_for if rule.archive else None
        yield Kept(
            f"archive, by policy {rule.name}",
            "containers and all their items as the API sent them, metadata and text included; "
            "after that the next sweep removes them, unless a hold keeps them",
            "forever" if keep_for is None else f"{format_duration(keep_for)} after the deletion",
        )
    if archiving or numbers.get("copies"):
        where = f"archive {config.archive.path}"
        yield Kept(
            where,
            "copies in all, including those made for holds",
            "as each policy says; forever where none asked for the copy",
            numbers,
        )
