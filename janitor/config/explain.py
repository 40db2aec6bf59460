"""Explains what a configuration means, in sentences with the durations added up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice, product

from janitor.config.fields import format_duration, format_rate
from janitor.config.settings import Config, Project, RegistrySettings, Source
from janitor.config.source_query import is_newer_alone
from janitor.config.surprises import NOWHERE, Places, place_of, surprises
from janitor.errors import shown_address
from janitor.model import NotFound
from janitor.policy.conflicts import MOST_TOLD, ComparisonBudget, shared_threads
from janitor.policy.evaluate import VANISHED
from janitor.policy.limits import allowed_share, shortest_removal
from janitor.policy.matching import RESERVED, protects, rulebook
from janitor.policy.overlap import apart, clash
from janitor.policy.rules import AgeFrom, ArchiveRule, Lifetime, Policies, Policy, Selector, Test
from janitor.texts import percent

DAILY = timedelta(days=1)
ALL = 100
BASE = {AgeFrom.LAST_ACTIVITY: "the last activity", AgeFrom.CREATED: "creation"}
ABOVE_CEILING = (
    "holds, `keep: forever`, `delete: never` and the grace period after them, unknown metadata, a "
    "date in the future, and a thread in use at that moment"
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
    places: Places = NOWHERE,
) -> Iterator[str]:
    """What looks like a mistake.

    `overlaps` counts, for (a policy that does not delete, one that does), the threads that both
    match and the second would delete; without it the policies alone decide. `places` says where a
    policy's keys are in the file.
    """
    if not policies.rules:
        yield "there are no policies: no thread is touched"
    for rule in policies.rules:
        yield from _own_warnings(rule, policies, places)
        yield from _above_ceiling(rule, policies.lifetime, places)
    yield from _unprotected(policies, overlaps, places)
    yield from surprises(policies, places)


def _summary(config: Config) -> Iterator[str]:
    mode = config.policies.mode.value
    doing = "a sweep only reports what it would do" if mode == "audit" else "a sweep acts"
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
        some = _portion(share)
        yield f"a daily sweep may remove {some} of the vanished threads that are waiting"
    remembered = format_duration(config.tombstones_keep_for)
    yield (
        f"a record of each deletion, without text, is kept for {remembered}, and longer while the "
        "archive has a copy"
    )
    yield _service(config)


def _kept(registry: RegistrySettings) -> str:
    kept, hidden = registry.keys, ", ".join(sorted(registry.hash))
    keys = "" if kept is None else f"; it stores metadata: {', '.join(sorted(kept)) or 'none'}"
    return keys + (f"; the values of {hidden} are stored as keyed hashes" if hidden else "")


def _service(config: Config) -> str:
    schedule, names = config.schedule, sorted({token.name for token in config.service.tokens})
    when = f"by the cron schedule {schedule.cron} ({schedule.timezone})"
    if schedule.every:
        when = f"every {format_duration(schedule.every)}"
    later = f", up to {format_duration(schedule.jitter)} later," if schedule.jitter else ""
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
            f"project {project.name}: a 404 whose body is a JSON object counts as not found "
            "while another thread of the same kind answers; a gateway's page never does"
        )


def _lifetime(lifetime: Lifetime) -> Iterator[str]:
    if lifetime.min:
        yield f"no stage earlier than {format_duration(lifetime.min)} after creation"
    if lifetime.max:
        ceiling = format_duration(lifetime.max)
        yield (
            f"every thread is due for deletion {ceiling} after creation, even if no policy "
            f"deletes it; exceptions: {ABOVE_CEILING}"
        )


def _vanishing(source: Source) -> str:
    if source.expire_after is None:
        return f"source {source.name}: threads that vanish from it are kept"
    column = source.sql.watermark
    if column is not None and not is_newer_alone(source.sql.query, source.sql.backend):
        return (
            f"source {source.name}: no thread counts as vanished, because its query hides rows "
            f"without a time; write the condition as `{column} > :watermark`, or write "
            "`watermark: null` and a query without the condition"
        )
    after = format_duration(source.expire_after)
    return (
        f"source {source.name}: a thread that vanishes from it is due for deletion {after} later, "
        f"or {after} after its last activity if that is later, even if policies delete it later or "
        f"never; whatever keeps a thread still keeps it. It counts as `{VANISHED}`"
    )


def _policy(rule: Policy, policies: Policies) -> Iterator[str]:
    yield f"applies to {_whom(rule, policies)}"
    if rule.beside_default:
        yield "leaves the default in force: `default: true` policies apply to them as well"
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
        where = {"registry": "in the registry", "upstream": "upstream"}[rule.soft_delete.mark]
        yield f"soft-deletes {where} {format_duration(rule.soft_delete.after)} after {since}"
    if rule.trim:
        when = f" {format_duration(rule.trim.after)} after {since}" if rule.trim.after else ""
        yield f"keeps the newest {rule.trim.keep_items} items{when}"
    if rule.delete and rule.delete.after:
        undo = "" if rule.archive or rule.soft_delete else ", without undo"
        yield f"deletes {format_duration(rule.delete.after)} after {since}{undo}"
    elif rule.delete:
        yield "never deletes, and stops other policies from deleting"


def _archive_when(archive: ArchiveRule, since: str) -> str:
    after = f"{format_duration(archive.after)} after {since}" if archive.after else ""
    items = f"at {archive.items} items" if archive.items else ""
    both = " or ".join(part for part in (items, after) if part)
    when = f"{both}, whichever comes first" if items and after else both
    return f"{when}, even if other policies copy later" if archive.is_early else when


def _lives(rule: Policy, lifetime: Lifetime) -> Iterator[str]:
    after = rule.delete.after if rule.delete else None
    since = BASE[rule.age_from]
    if after is None:
        yield "text stays upstream: this policy does not delete"
    else:
        yield f"text stays upstream until {format_duration(after)} after {since}{_but(rule)}"
    if rule.archive:
        until = _archived_until(rule.archive, after, f"{since}{_but(rule)}")
        yield f"text stays in the archive until {until}"
        if (
            lifetime.max
            and rule.archive.keep_for
            and not (rule.keep_forever or rule.forbids_deletion)
        ):
            total = format_duration(lifetime.max + rule.archive.keep_for)
            sums = f"{format_duration(lifetime.max)} + {format_duration(rule.archive.keep_for)}"
            yield f"that is at most {sums} = {total} after creation, by lifetime.max"


def _but(rule: Policy) -> str:
    return ", except for those kept" if rule.keep_last else ""


def _archived_until(archive: ArchiveRule, after: timedelta | None, since: str) -> str:
    if archive.keep_for is None:
        return "somebody removes it (keep_for: forever)"
    if after is None:
        until = f"{format_duration(archive.keep_for)} after its deletion upstream"
    else:
        total = format_duration(after + archive.keep_for)
        sums = f"{format_duration(after)} + {format_duration(archive.keep_for)}"
        until = f"{sums} = {total} after {since}"
    return f"{until}; the next sweep then removes it, unless a hold keeps it"


def _share(rule: Policy, policies: Policies) -> Iterator[str]:
    if (shortest := shortest_removal(rule)) is None:
        return
    most = policies.limits.max_percent if rule.max_percent is None else rule.max_percent
    share = float(100 * allowed_share(policies, rule.name, DAILY))
    turnover = 100 * (DAILY / shortest)
    some = f"a daily sweep may remove {_portion(share)} of its threads"
    if 2 * turnover >= ALL:
        usual = f"they are normally removed after {format_duration(shortest)}"
        yield f"{some} (max_percent does not apply: {usual})"
    elif 2 * turnover > most:
        yield f"{some} (twice its normal turnover of about {percent(turnover)} a day)"
    else:
        yield f"{some} (its normal turnover is about {percent(turnover)} a day)"


def _portion(share: float) -> str:
    return "all" if share >= ALL else percent(share)


def _whom(rule: Policy, policies: Policies) -> str:
    who = _threads(rule.match)
    if rule.default:
        who += " that no other policy matches"
        beside = sorted(one.name for one in policies.rules if one.beside_default)
        who += f" (apart from {', '.join(beside)})" if beside else ""
    if rule.excepts:
        who += f", except {_threads(rule.excepts)}"
    return who


def _threads(selector: Selector) -> str:
    if not selector.any_of:
        return _those(selector)
    others = "; ".join(_those(one) for one in selector.any_of)
    is_plain = replace(selector, any_of=()) == Selector()
    return f"{'' if is_plain else f'{_those(selector)} that are '}any of ({others})"


def _those(selector: Selector) -> str:
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


def _own_warnings(rule: Policy, policies: Policies, places: Places) -> Iterator[str]:
    if rule.keep_forever and rule.removes:
        at = place_of(places, rule, "keep")
        yield f"{at}{rule.name} keeps forever and also removes: keep wins, the rest does nothing"
    if rule.deletes and not (rule.archive or rule.soft_delete):
        at = place_of(places, rule, "delete")
        yield f"{at}{rule.name} deletes without undo: it neither archives nor soft-deletes first"
    if rule.archive and rule.archive.keep_for is None and policies.lifetime.max:
        yield (
            f"{place_of(places, rule, 'archive')}{rule.name} keeps its copies forever: "
            "lifetime.max deletes threads at the server, but not their copies in the archive"
        )
    if rule.beside_default and not any(one.default for one in policies.rules):
        at = place_of(places, rule, "beside_default")
        yield f"{at}{rule.name}: `beside_default` does nothing, because no policy is a default"
    for name, selector in (("match", rule.match), ("except", rule.excepts)):
        for key in (key for part in selector.parts for key in part.metadata) if selector else ():
            if key.startswith(RESERVED):
                at = place_of(places, rule, name)
                yield f"{at}{rule.name} asks for {key}, but janitor_ keys never match"
        if selector is not None:
            yield from _impossible(rule, name, selector, places)


def _impossible(rule: Policy, name: str, selector: Selector, places: Places) -> Iterator[str]:
    """The alternatives of a selector that no thread can match."""
    vain = ", so it protects nothing" if name == "match" and protects(rule) else ""
    for index, way in enumerate(selector.alternatives):
        if clause := clash(way):
            part = f"{name}[{index}]" if len(selector.alternatives) > 1 else name
            yield (
                f"{place_of(places, rule, name)}{rule.name}: `{part}` matches no thread{vain}: it "
                f"asks for {clause} twice, and no value meets both; correct or remove one of them"
            )


def _above_ceiling(rule: Policy, lifetime: Lifetime, places: Places) -> Iterator[str]:
    """What a policy says that overrides the ceiling."""
    endless = {"keep": rule.keep_forever, "delete": rule.forbids_deletion}
    for key in (key for key, is_endless in endless.items() if is_endless and lifetime.max):
        word = "`keep: forever`" if key == "keep" else "`delete: never`"
        yield (
            f"{place_of(places, rule, key)}{rule.name}: {word} overrides lifetime.max: its "
            f"threads are not deleted at {format_duration(lifetime.max or DAILY)}, or ever"
        )


def _unprotected(
    policies: Policies, overlaps: Mapping[tuple[str, str], int] | None, places: Places
) -> Iterator[str]:
    """The policies that do not delete, each with another that deletes their threads."""
    budget = ComparisonBudget(policies)
    found = _deleted_by_others(policies, overlaps, budget)
    for one, other, what in islice(found, MOST_TOLD):
        yield (
            f"{place_of(places, one, 'name')}{one.name} never deletes, but does not "
            f"protect: {what} deleted by {other.name}; write `delete: never` to protect"
        )
    if next(found, None) is not None or budget.is_spent:
        yield (
            "there may be more policies that never delete, but do not protect: correct what is "
            "told, then validate again"
        )


def _deleted_by_others(
    policies: Policies, overlaps: Mapping[tuple[str, str], int] | None, budget: ComparisonBudget
) -> Iterator[tuple[Policy, Policy, str]]:
    """Pairs of a policy that does not delete and one that deletes its threads, and which ones."""
    silent = [one for one in policies.rules if _seems_to_protect(one)]
    deleting = [one for one in policies.rules if one.deletes and not one.default]
    for one, other in product(silent, deleting):
        if overlaps is not None:
            if count := overlaps.get((one.name, other.name), 0):
                yield one, other, f"{count} of its threads are"
            continue
        if not budget.pays() or not (apart(one.match, other.match) or budget.allows(one, other)):
            return
        if next(shared_threads(one, other, rulebook(policies)), None) is not None:
            yield one, other, "a thread that both match is"


def _seems_to_protect(rule: Policy) -> bool:
    silent = rule.delete is None and not rule.keep_forever and rule.keep_last is None
    copies = rule.archive is not None and rule.archive.is_early
    return silent and not copies and not rule.default
