"""What a configuration means, in sentences with the sums done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from janitor.config.durations import format_duration
from janitor.config.rates import format_rate
from janitor.config.settings import Config, Project, RegistrySettings, Source
from janitor.errors import Place, shown_address
from janitor.model import NotFound
from janitor.policy.expiry import VANISHED
from janitor.policy.limits import allowed_share
from janitor.policy.rules import AgeFrom, Archive, Lifetime, Policies, Policy, Selector, Test

DAILY = timedelta(days=1)
BASE = {AgeFrom.LAST_ACTIVITY: "the last activity", AgeFrom.CREATED: "creation"}
RESERVED = "janitor_"
NOWHERE: Mapping[tuple[str, str], Place] = {}
ABOVE_CEILING = (
    "holds, `keep: forever`, `delete: never` and the grace after them; unknown metadata, a date in "
    "the future, and use at that moment"
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a file means: a sentence or more for each policy, and what looks like a mistake."""

    summary: tuple[str, ...]
    policies: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]


def explain(config: Config, overlaps: Mapping[tuple[str, str], int] | None = None) -> Explanation:
    """Explain a configuration from the file alone, or with the `overlaps` of a registry."""
    policies = config.policies
    told = {rule.name: tuple(_policy(rule, policies)) for rule in policies.rules}
    return Explanation(
        tuple(_summary(config)), told, tuple(warnings(policies, overlaps, config.places))
    )


def warnings(
    policies: Policies,
    overlaps: Mapping[tuple[str, str], int] | None = None,
    places: Mapping[tuple[str, str], Place] = NOWHERE,
) -> Iterator[str]:
    """What looks like a mistake.

    `overlaps` counts, for (a policy that does not delete, one that does), the threads that both
    match and the second would delete; without it overlapping selectors are told apart by what
    they say. `places` says where a policy's keys stand in the file.
    """
    if not policies.rules:
        yield "there are no policies: every thread is left untouched"
    for rule in policies.rules:
        yield from _own_warnings(rule, policies)
        yield from _above_ceiling(rule, policies.lifetime, places)
    for one in policies.rules:
        for other in policies.rules:
            if one is not other and _seems_to_protect(one, other):
                yield from _overlap(one, other, overlaps)


def _summary(config: Config) -> Iterator[str]:
    mode = config.policies.mode.value
    doing = "a sweep only says what it would do" if mode == "audit" else "a sweep acts"
    yield f"mode {mode}: {doing}"
    registry = config.registry.path or shown_address(config.registry.url)
    yield f"registry {registry}{_kept(config.registry)}"
    yield f"archive {config.archive.path}"
    for project in config.projects.values():
        yield _pace(project)
        yield from _not_found(project)
    yield from _lifetime(config.policies.lifetime)
    yield from (_vanishing(source) for source in config.sources.values())
    if config.policies.expire:
        share = float(100 * allowed_share(config.policies, VANISHED, DAILY))
        yield f"a daily sweep may remove {share:.3g} % of what has vanished and waits for its time"
    remembered = format_duration(config.tombstones_keep_for)
    yield (
        f"what was deleted is remembered, without its text, for {remembered}, and longer while the "
        "archive holds a copy of it"
    )
    yield _service(config)


def _kept(registry: RegistrySettings) -> str:
    kept, hidden = registry.keys, ", ".join(sorted(registry.hash))
    keys = "" if kept is None else f"; of metadata it keeps {', '.join(sorted(kept)) or 'nothing'}"
    return keys + (f"; a keyed hash stands for the values of {hidden}" if hidden else "")


def _service(config: Config) -> str:
    said, names = config.schedule, sorted({token.name for token in config.service.tokens})
    when = f"at {said.cron} {said.timezone}"
    if said.every:
        when = f"every {format_duration(said.every)}"
    later = f", up to {format_duration(said.jitter)} later" if said.jitter else ""
    tokens = f"; tokens for {', '.join(names)}" if names else ""
    return f"`janitor serve` sweeps {when}{later} and listens on {config.service.listen}{tokens}"


def _pace(project: Project) -> str:
    rate = project.rate
    verbs = (("deletes", rate.delete), ("reads", rate.read), ("writes", rate.write))
    told = ", ".join(f"{verb} {format_rate(one)}" for verb, one in verbs)
    return f"project {project.name}: {told}"


def _not_found(project: Project) -> Iterator[str]:
    if project.not_found is NotFound.ANY_JSON:
        yield (
            f"project {project.name}: a 404 in any JSON counts as not found while another thread "
            "of the same kind answers; a gateway's page never does"
        )


def _lifetime(lifetime: Lifetime) -> Iterator[str]:
    if lifetime.min:
        yield f"no stage before {format_duration(lifetime.min)} after creation"
    if lifetime.max:
        ceiling = format_duration(lifetime.max)
        yield (
            f"every thread is due for deletion {ceiling} after creation, also where no policy "
            f"deletes it; what stands above that: {ABOVE_CEILING}"
        )


def _vanishing(source: Source) -> str:
    if source.expire_after is None:
        return f"source {source.name}: what vanishes from it is kept as ever"
    after = format_duration(source.expire_after)
    return (
        f"source {source.name}: what vanishes from it is due for deletion {after} later, or "
        f"{after} after its last activity where that is later still, though policies delete it "
        f"later or not at all; whatever keeps it keeps it still. It counts as `{VANISHED}`"
    )


def _policy(rule: Policy, policies: Policies) -> Iterator[str]:
    yield f"concerns {_whom(rule)}"
    if rule.keep_forever:
        yield "keeps all of them forever; nothing is removed"
    if rule.keep_last:
        per = f" for each {rule.keep_last.per}" if rule.keep_last.per else ""
        yield f"keeps the {rule.keep_last.count} most recently active{per}, however old"
    yield from _stages(rule)
    yield from _lives(rule, policies.lifetime)
    yield from _share(rule, policies)


def _stages(rule: Policy) -> Iterator[str]:
    since = BASE[rule.age_from]
    if rule.archive:
        yield f"copies {_archive_when(rule.archive, since)}"
    if rule.soft_delete:
        where = rule.soft_delete.mark.value
        yield f"marks in the {where} {format_duration(rule.soft_delete.after)} after {since}"
    if rule.trim:
        when = f" {format_duration(rule.trim.after)} after {since}" if rule.trim.after else ""
        yield f"keeps the newest {rule.trim.keep_items} items{when}"
    if rule.delete and rule.delete.after:
        undo = "" if rule.archive or rule.soft_delete else ", without undo"
        yield f"deletes {format_duration(rule.delete.after)} after {since}{undo}"
    elif rule.delete:
        yield "never deletes, and forbids other policies to delete"


def _archive_when(archive: Archive, since: str) -> str:
    after = f"{format_duration(archive.after)} after {since}" if archive.after else ""
    items = f"at {archive.items} items" if archive.items else ""
    both = " or ".join(part for part in (items, after) if part)
    return f"{both}, whichever comes first" if items and after else both


def _lives(rule: Policy, lifetime: Lifetime) -> Iterator[str]:
    after = rule.delete.after if rule.delete else None
    since = BASE[rule.age_from]
    if after is None:
        yield "text stays upstream: this policy does not delete"
    else:
        yield f"text lives upstream until {format_duration(after)} after {since}"
    if rule.archive:
        yield f"text lives in the archive until {_archived_until(rule.archive, after, since)}"
        if lifetime.max and rule.archive.keep_for and not (rule.keep_forever or _is_never(rule)):
            total = format_duration(lifetime.max + rule.archive.keep_for)
            sums = f"{format_duration(lifetime.max)} + {format_duration(rule.archive.keep_for)}"
            yield f"at the latest that is {sums} = {total} after creation, by lifetime.max"


def _archived_until(archive: Archive, after: timedelta | None, since: str) -> str:
    if archive.keep_for is None:
        return "somebody removes it (keep_for: forever)"
    if after is None:
        until = f"{format_duration(archive.keep_for)} after its deletion upstream"
    else:
        total = format_duration(after + archive.keep_for)
        sums = f"{format_duration(after)} + {format_duration(archive.keep_for)}"
        until = f"{sums} = {total} after {since}"
    return f"{until}; the next sweep removes it then, unless a hold stands against that"


def _share(rule: Policy, policies: Policies) -> Iterator[str]:
    if (shortest := shortest_removal(rule)) is None:
        return
    percent = policies.limits.max_percent if rule.max_percent is None else rule.max_percent
    share = float(100 * allowed_share(policies, rule.name, DAILY))
    daily = 200 * (DAILY / shortest)
    yield (
        f"a daily sweep may remove {share:.3g} % of its threads: the larger of {percent:.3g} % "
        f"and 2 * 1d / {format_duration(shortest)} = {daily:.3g} %"
    )


def shortest_removal(rule: Policy) -> timedelta | None:
    """The shortest age at which a policy removes anything, or `None` where it never does."""
    ages = (
        rule.soft_delete.after if rule.soft_delete else None,
        rule.trim.after if rule.trim else None,
        rule.delete.after if rule.delete else None,
    )
    return min((age for age in ages if age), default=None)


def _whom(rule: Policy) -> str:
    who = _threads(rule.match)
    if rule.default:
        who += " that no other policy matches"
    if rule.excepts:
        who += f", except {_threads(rule.excepts)}"
    return who


def _threads(selector: Selector) -> str:
    kinds = " or ".join(sorted(selector.kinds)) if selector.kinds else "threads"
    projects = f" of {' or '.join(sorted(selector.projects))}" if selector.projects else ""
    tests = " and ".join(_test(key, test) for key, test in selector.metadata.items())
    return f"{kinds}{projects}" + (f" with {tests}" if tests else "")


def _test(key: str, test: Test) -> str:
    if test.any_of is not None:
        return f"{key} = {' or '.join(sorted(test.any_of))}"
    if test.glob is not None:
        return f"{key} like {test.glob}"
    return f"{key}" if test.exists else f"no {key}"


def _own_warnings(rule: Policy, policies: Policies) -> Iterator[str]:
    removes = bool(rule.soft_delete or (rule.delete and rule.delete.after) or rule.trim)
    if rule.keep_forever and removes:
        yield f"{rule.name} keeps forever and also removes: keep wins, the rest does nothing"
    if rule.delete and rule.delete.after and not (rule.archive or rule.soft_delete):
        yield f"{rule.name} deletes without undo: it neither archives nor soft-deletes first"
    if rule.archive and rule.archive.keep_for is None and policies.lifetime.max:
        yield (
            f"{rule.name} keeps its copies forever: lifetime.max ends threads at the server, but "
            "not their copies in the archive"
        )
    for selector in filter(None, (rule.match, rule.excepts)):
        for key in selector.metadata:
            if key.startswith(RESERVED):
                yield f"{rule.name} names {key}, but janitor_ keys never match"


def _above_ceiling(
    rule: Policy, lifetime: Lifetime, places: Mapping[tuple[str, str], Place]
) -> Iterator[str]:
    """What a policy says that stands above the ceiling."""
    said = {"keep": rule.keep_forever, "delete": _is_never(rule)}
    for key in (key for key, is_said in said.items() if is_said and lifetime.max):
        place = places.get((rule.name, key))
        word = "`keep: forever`" if key == "keep" else "`delete: never`"
        yield (
            f"{f'{place} ' if place else ''}{rule.name}: {word} stands above lifetime.max: what it "
            f"matches is not deleted at {format_duration(lifetime.max or DAILY)}, nor ever while "
            "it says so"
        )


def _is_never(rule: Policy) -> bool:
    return rule.delete is not None and rule.delete.after is None


def _seems_to_protect(one: Policy, other: Policy) -> bool:
    deletes = other.delete is not None and other.delete.after is not None
    silent = one.delete is None and not one.keep_forever and one.keep_last is None
    return deletes and silent and not one.default and not other.default


def _overlap(
    one: Policy, other: Policy, overlaps: Mapping[tuple[str, str], int] | None
) -> Iterator[str]:
    if overlaps is None:
        if may_overlap(one.match, other.match):
            what = f"a thread that both match is deleted by {other.name}"
            yield f"{one.name} never deletes but does not protect: {what}{PROTECT}"
    elif count := overlaps.get((one.name, other.name), 0):
        what = f"{count} of its threads are deleted by {other.name}"
        yield f"{one.name} never deletes but does not protect: {what}{PROTECT}"


PROTECT = "; write `delete: never` to protect"


def may_overlap(one: Selector, other: Selector) -> bool:
    """Whether two selectors can match the same thread, as far as what they say tells."""
    shared = one.metadata.keys() & other.metadata.keys()
    return (
        _meet(one.kinds, other.kinds)
        and _meet(one.projects, other.projects)
        and all(_compatible(one.metadata[key], other.metadata[key]) for key in shared)
    )


def _meet(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or bool(one & other)


def _compatible(one: Test, other: Test) -> bool:
    if one.any_of is not None and other.any_of is not None:
        return bool(one.any_of & other.any_of)
    return (one.exists is False) == (other.exists is False)
