"""Everything wrong with a document at once: each part by itself, then all together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import combinations, islice, pairwise
from typing import Any, cast

from cronsim import CronSim
from pydantic import TypeAdapter, ValidationError

from janitor.config.fields import ONE_KEEPER, SecretForm, format_duration, is_loopback, web_address
from janitor.config.forms import (
    PER,
    USER,
    ArchiveStoreForm,
    DeleteForm,
    FileForm,
    LifetimeForm,
    MatchForm,
    PolicyForm,
    ProjectForm,
    RegistryForm,
    ScheduleForm,
    SelectorForm,
    ServiceForm,
    SourceForm,
    TestForm,
)
from janitor.config.problems import Problem, meant, nearest_word, shape_problems, unknown_key
from janitor.config.unbuilt import unbuilt_paths, without
from janitor.config.yaml_source import DocumentPath
from janitor.policy.matching import RESERVED
from janitor.times import EPOCH

TOKENS_PER_NAME = 2
TIMES_COMPARED = 100


def schedule_problems(schedule: ScheduleForm) -> Iterator[Problem]:
    """What is wrong with the schedule."""
    if (schedule.cron is None) is (schedule.every is None):
        yield Problem(("schedule",), "write exactly one of cron and every")
        return
    if schedule.every is not None and "timezone" in schedule.model_fields_set:
        message = "`timezone` belongs to `cron`; remove it"
        yield Problem(("schedule", "timezone"), message, at_key=True)
    shortest = schedule.every or _shortest_gap(schedule.cron or "")
    if schedule.jitter is not None and schedule.jitter >= shortest:
        most = format_duration(shortest)
        message = f"`jitter` must be shorter than the time between two sweeps, {most}"
        yield Problem(("schedule", "jitter"), message)


def _shortest_gap(cron: str) -> timedelta:
    times = islice(CronSim(cron, EPOCH), TIMES_COMPARED)
    return min(late - early for early, late in pairwise(times))


def service_problems(service: ServiceForm) -> Iterator[Problem]:
    """What is wrong with the address to listen on and the tokens."""
    host = service.listen.rpartition(":")[0].strip("[]")
    if not is_loopback(host) and not service.tokens:
        message = "an open listener needs `tokens`: add them, or listen on 127.0.0.1"
        yield Problem(("service", "listen"), message)
    for name, given in service.tokens.items():
        tokens = given if isinstance(given, list) else [given]
        if not 0 < len(tokens) <= TOKENS_PER_NAME:
            yield Problem(("service", "tokens", name), "write one token, or two for a rotation")
        for token in tokens:
            if not token.has_one_keeper:
                yield Problem(("service", "tokens", name), ONE_KEEPER)


@dataclass(frozen=True, slots=True)
class DraftConfig:
    """The parts of a document that have a valid shape; the others are left out.

    `damaged` holds policies without their invalid keys. `project_names` holds every project in
    the document, whatever its shape.
    """

    sections: dict[str, Any] = field(default_factory=dict)
    policies: dict[int, PolicyForm] = field(default_factory=dict)
    damaged: dict[int, PolicyForm] = field(default_factory=dict)
    project_names: frozenset[str] = frozenset()

    def form(self) -> FileForm:
        """The whole document, if nothing in it is wrong: its parts are not validated again."""
        return FileForm.model_construct(**self.sections, policies=[*self.policies.values()])


def draft(document: object) -> tuple[DraftConfig, list[Problem]]:
    """The valid parts of a document, and what is wrong with the shape of the others."""
    if not isinstance(document, dict):
        return DraftConfig(), [
            Problem((), "the file must be a mapping that starts with version: 1")
        ]
    early = frozenset(unbuilt_paths(document))
    problems = [_not_built(path) for path in sorted(early, key=str)]
    sound = cast("dict[str, Any]", without(document, early))
    found = DraftConfig(project_names=_names(sound.get("projects")))
    unknown = [key for key in sound if key not in _PARTS]
    problems += [unknown_key((key,), FileForm.model_fields) for key in unknown]
    misspelt = {nearest_word(key, FileForm.model_fields) for key in unknown}
    for name in _PARTS:
        if name in sound or name not in misspelt:
            problems += _part(name, sound, found)
    return found, problems


def _not_built(path: DocumentPath) -> Problem:
    return Problem(
        path, f"`{path[-1]}` is documented but not implemented yet; remove it", at_key=True
    )


def _names(projects: object) -> frozenset[str]:
    return frozenset(map(str, projects)) if isinstance(projects, dict) else frozenset()


def _part(name: str, document: Mapping[str, Any], found: DraftConfig) -> Iterator[Problem]:
    info = FileForm.model_fields[name]
    if name not in document:
        if info.is_required():
            yield Problem((name,), f"missing `{name}`")
        else:
            found.sections[name] = info.default
    elif name == "policies" and isinstance(document[name], list):
        for index, item in enumerate(document[name]):
            yield from _policy(index, item, found)
    else:
        try:
            found.sections[name] = _PARTS[name].validate_python(document[name])
        except ValidationError as error:
            yield from shape_problems(error, _schema(), (name,))


def _policy(index: int, item: object, found: DraftConfig) -> Iterator[Problem]:
    try:
        found.policies[index] = PolicyForm.model_validate(item)
    except ValidationError as error:
        yield from shape_problems(error, _schema(), ("policies", index))
        wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
        _rest(index, item, wrong, found)


def _rest(index: int, item: object, wrong: Collection[object], found: DraftConfig) -> None:
    if isinstance(item, dict) and "name" in item and "name" not in wrong:
        rest = {k: value for k, value in item.items() if isinstance(k, str) and k not in wrong}
        found.damaged[index] = PolicyForm.model_validate(rest)


@cache
def _schema() -> dict[str, Any]:
    # Only problems are explained with it, and it takes longer than reading a file without any.
    return FileForm.model_json_schema()


_PARTS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(info.rebuild_annotation()) for name, info in FileForm.model_fields.items()
}


def registry_problems(draft: DraftConfig) -> Iterator[Problem]:
    """What is wrong with `registry`, and with policies that match by what it does not store."""
    registry: RegistryForm | None = draft.sections.get("registry")
    if registry is None:
        return
    yield from _hash(registry)
    for index, policy in {**draft.policies, **draft.damaged}.items():
        yield from _stored_policy(registry, policy, ("policies", index))


def _hash(registry: RegistryForm) -> Iterator[Problem]:
    for index, key in enumerate(registry.hash):
        if not _keeps(registry, key):
            message = f"`{key}` is not in `keys`, so there is nothing to hash: add it there, "
            yield Problem(("registry", "hash", index), message + "or remove it here")
    if registry.hash and registry.hash_key is None:
        message = (
            "without a key, hashed values can be guessed: add hash_key: {env: NAME} or {file: PATH}"
        )
        yield Problem(("registry", "hash"), message, at_key=True)
    if registry.hash_key is not None and not registry.hash:
        message = "`hash_key` does nothing without `hash`; remove it"
        yield Problem(("registry", "hash_key"), message, at_key=True)


def _keeps(registry: RegistryForm, key: str) -> bool:
    return registry.keys == "all" or key in registry.keys or key.startswith(RESERVED)


def _stored_policy(
    registry: RegistryForm, policy: PolicyForm, at: DocumentPath
) -> Iterator[Problem]:
    for path, selector in _selectors(policy):
        yield from _stored_selector(registry, selector, (*at, *path))
    per = policy.keep_last and policy.keep_last.per
    if per and not _keeps(registry, per.removeprefix(PER)):
        yield Problem((*at, "keep_last", "per"), _not_stored(per.removeprefix(PER)))


def _stored_selector(
    registry: RegistryForm, selector: SelectorForm, at: DocumentPath
) -> Iterator[Problem]:
    for key, test in selector.tests.items():
        path = (*at, *_place_of(selector, key))
        if not _keeps(registry, key):
            yield Problem(path, _not_stored(key), at_key=True)
        elif key in registry.hash and isinstance(test, TestForm) and test.glob is not None:
            message = (
                f"`{key}` is hashed (`registry.hash`), and a pattern cannot match a hash: write "
                "exact values"
            )
            yield Problem(path, message)


def _place_of(selector: SelectorForm, key: str) -> DocumentPath:
    """Where a selector asks for a metadata key."""
    return (USER,) if key == USER and selector.user is not None else ("metadata", key)


def _not_stored(key: str) -> str:
    return f"`{key}` is not stored (`registry.keys`), so this would match nothing: add it there"


def problems_together(draft: DraftConfig) -> Iterator[Problem]:
    """What is wrong between the valid parts of a document."""
    for name, project in draft.sections.get("projects", {}).items():
        yield from _project(project, ("projects", name))
    lifetime: LifetimeForm | None = draft.sections.get("lifetime")
    if lifetime is not None:
        yield from _lifetime(lifetime)
    schedule: ScheduleForm | None = draft.sections.get("schedule")
    if schedule is not None:
        yield from schedule_problems(schedule)
    service: ServiceForm | None = draft.sections.get("service")
    if service is not None:
        yield from service_problems(service)
    for name, source in draft.sections.get("sources", {}).items():
        yield from _source(source, draft.project_names, ("sources", name))
    yield from registry_problems(draft)
    yield from _duplicate_names(draft)
    yield from _two_defaults(draft)
    for index, policy in draft.policies.items():
        yield from _completeness(policy, draft, ("policies", index))
    for index, policy in {**draft.policies, **draft.damaged}.items():
        yield from _consistency(policy, draft, ("policies", index))


def _project(project: ProjectForm, at: DocumentPath) -> Iterator[Problem]:
    if isinstance(project.api_key, SecretForm) and not project.api_key.has_one_keeper:
        yield Problem((*at, "api_key"), ONE_KEEPER)
    if project.base_url is not None and project.azure is not None:
        yield Problem((*at, "azure"), "`azure` takes the place of `base_url`; remove one of them")
    if project.base_url is not None:
        yield from _http(project, project.base_url, (*at, "base_url"))
    if project.azure is not None:
        yield from _http(project, project.azure.endpoint, (*at, "azure", "endpoint"))


def _source(source: SourceForm, projects: frozenset[str], at: DocumentPath) -> Iterator[Problem]:
    if source.project is not None and source.project not in projects:
        message = (
            f"the project `{source.project}` does not exist; {meant(source.project, projects)}"
        )
        yield Problem((*at, "project"), message)
    if source.project is None and len(projects) > 1 and "main" not in projects:
        message = (
            f"several projects are configured: add `project:`, one of {', '.join(sorted(projects))}"
        )
        yield Problem(at, message)


def _http(project: ProjectForm, address: str, at: DocumentPath) -> Iterator[Problem]:
    parts = web_address(address)
    if parts.scheme == "http" and not project.allow_http and not is_loopback(parts.hostname or ""):
        yield Problem(
            at, "http would send the key unencrypted: write https, or add allow_http: true"
        )


def _lifetime(lifetime: LifetimeForm) -> Iterator[Problem]:
    if lifetime.min is not None and lifetime.max is not None and lifetime.min >= lifetime.max:
        yield Problem(("lifetime", "min"), "`min` must be shorter than `max`")


def _duplicate_names(draft: DraftConfig) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, policy in sorted({**draft.policies, **draft.damaged}.items()):
        if policy.name in first:
            where = f"policies[{first[policy.name]}]"
            message = f"{where} has the same name; choose another"
            yield Problem(("policies", index, "name"), message)
        first.setdefault(policy.name, index)


def _two_defaults(draft: DraftConfig) -> Iterator[Problem]:
    defaults = [(index, policy) for index, policy in draft.policies.items() if policy.default]
    for (_, one), (index, other) in combinations(defaults, 2):
        if _overlap(one.match or MatchForm(), other.match or MatchForm()):
            message = f"`{one.name}` is also a default for this kind; keep one of the two"
            yield Problem(("policies", index, "default"), message)


def _overlap(one: SelectorForm, other: SelectorForm) -> bool:
    kinds = one.kind is None or other.kind is None or set(one.kind) & set(other.kind)
    projects = one.project is None or other.project is None or set(one.project) & set(other.project)
    return bool(kinds) and bool(projects)


def _completeness(policy: PolicyForm, draft: DraftConfig, at: DocumentPath) -> Iterator[Problem]:
    acts = (policy.archive, policy.soft_delete, policy.delete, policy.trim)
    if not any((*acts, policy.keep, policy.keep_last)):
        message = "a policy needs a stage (archive, soft_delete, delete), `keep` or `keep_last`"
        yield Problem(at, message)
    if policy.default and policy.beside_default:
        message = "a default cannot be beside a default; remove `beside_default`"
        yield Problem((*at, "beside_default"), message, at_key=True)
    yield from _match(policy, at)
    yield from _archive(policy, draft, (*at, "archive"))


def _consistency(policy: PolicyForm, draft: DraftConfig, at: DocumentPath) -> Iterator[Problem]:
    for path, selector in _selectors(policy):
        yield from _selector(selector, draft, (*at, *path))
    for path in sorted({*_absences(policy)}, key=str):
        message = "`exists: false` alone would match every thread without the key: add a "
        yield Problem((*at, *path), message + "positive condition")
    yield from _order(policy, at)
    yield from _ceiling(policy, draft.sections.get("lifetime"), at)


def _match(policy: PolicyForm, at: DocumentPath) -> Iterator[Problem]:
    every = "would match every thread"
    if policy.default and policy.match is not None:
        for key in ("metadata", "user", "any"):
            if getattr(policy.match, key) not in (None, {}):
                message = f"a default matches by kind and project only; remove `{key}`"
                yield Problem((*at, "match", key), message, at_key=True)
    elif not policy.default and (policy.match is None or _is_empty(policy.match)):
        message = f"an empty or missing `match` {every}: write `default: true`, "
        yield Problem((*at, "match"), message + "or say which threads to match")
    for path, selector in _selectors(policy):
        if path[-1] == "except" and _is_empty(selector):
            message = "an empty `except` would exclude every thread; remove it"
            yield Problem((*at, *path), message)
        elif path != ("match",) and _is_empty(selector):
            yield Problem((*at, *path), f"an empty selector {every}; remove it")


def _is_empty(selector: SelectorForm) -> bool:
    nothing = selector.kind is None and selector.project is None and not selector.tests
    return nothing and not (isinstance(selector, MatchForm) and selector.any)


Placed = tuple[DocumentPath, SelectorForm]


def _ways(policy: PolicyForm) -> Iterator[tuple[Placed, ...]]:
    """Each way for a thread to meet `match` or `except`: selectors that must all hold."""
    for name, form in (("match", policy.match), ("except", policy.except_)):
        match form:
            case None:
                pass
            case list():
                yield from ((((name, i), one),) for i, one in enumerate(form))
            case MatchForm(any=None):
                yield (((name,), form),)
            case MatchForm():
                parts = enumerate(form.any or ())
                yield from ((((name,), form), ((name, "any", i), one)) for i, one in parts)


def _selectors(policy: PolicyForm) -> Iterator[Placed]:
    """Every selector of a policy once, with its path."""
    yield from {path: (path, form) for way in _ways(policy) for path, form in way}.values()


def _selector(selector: SelectorForm, draft: DraftConfig, at: DocumentPath) -> Iterator[Problem]:
    for index, name in enumerate(selector.project or ()):
        if name not in draft.project_names:
            message = f"the project `{name}` does not exist; {meant(name, draft.project_names)}"
            yield Problem((*at, "project", index), message)
    if selector.user is not None and USER in selector.metadata:
        message = f"`user` is the same as `metadata.{USER}`; remove one of them"
        yield Problem((*at, USER), message, at_key=True)
    for key, test in selector.tests.items():
        if isinstance(test, TestForm) and (test.exists is None) == (test.glob is None):
            path = (*at, *_place_of(selector, key))
            yield Problem(path, "write exactly one of exists and glob")


def _absences(policy: PolicyForm) -> Iterator[DocumentPath]:
    """For each way to match that asks only for the absence of keys, the path of the first one."""
    for way in _ways(policy):
        tests = [
            ((*path, *_place_of(one, key)), test)
            for path, one in way
            for key, test in one.tests.items()
        ]
        absent = [path for path, test in tests if _is_absence(test)]
        is_limited = any(one.kind is not None or one.project is not None for _, one in way)
        if absent and len(absent) == len(tests) and not is_limited:
            yield absent[0]


def _is_absence(test: object) -> bool:
    return isinstance(test, TestForm) and test.exists is False


def _archive(policy: PolicyForm, draft: DraftConfig, at: DocumentPath) -> Iterator[Problem]:
    if policy.archive is None:
        return
    if policy.archive.after is None and policy.archive.items is None:
        yield Problem(at, "missing `after` or `items`: when to make the copy")
    store: ArchiveStoreForm | None = draft.sections.get("archive")
    if policy.archive.keep_for is None and store is not None and store.keep_for is None:
        message = (
            "missing `keep_for`: how long to keep the copy after the deletion (90d, forever). "
        )
        yield Problem(at, message + "Set it here, or once under `archive:`")


def _ages(policy: PolicyForm) -> list[tuple[str, timedelta]]:
    delete = policy.delete if isinstance(policy.delete, DeleteForm) else None
    stages = (("archive", policy.archive), ("soft_delete", policy.soft_delete), ("delete", delete))
    return [(name, stage.after) for name, stage in stages if stage and stage.after]


def _order(policy: PolicyForm, at: DocumentPath) -> Iterator[Problem]:
    for (before, early), (name, late) in pairwise(_ages(policy)):
        if late < early:
            message = f"`{name}` cannot be earlier than `{before}`: write "
            yield Problem((*at, name, "after"), f"{message}{format_duration(early)} or later")


def _ceiling(
    policy: PolicyForm, lifetime: LifetimeForm | None, at: DocumentPath
) -> Iterator[Problem]:
    if lifetime is None or lifetime.max is None:
        return
    trim = [("trim", policy.trim.after)] if policy.trim and policy.trim.after else []
    for name, after in (*_ages(policy), *trim):
        if after > lifetime.max:
            message = f"`{name}` is later than lifetime.max: write "
            most = format_duration(lifetime.max)
            yield Problem((*at, name, "after"), f"{message}{most} or earlier")
