"""What one field alone cannot tell: how the parts of a file stand to each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, pairwise

from janitor.config.document import DocumentPath
from janitor.config.durations import format_duration
from janitor.config.examine import Draft
from janitor.config.fields import SecretForm, is_loopback, web_address
from janitor.config.forms import ArchiveStoreForm, LifetimeForm, ProjectForm
from janitor.config.policy_forms import DeleteForm, PolicyForm, SelectorForm, TestForm
from janitor.config.problems import Problem, meant
from janitor.config.registry_checks import registry_problems
from janitor.config.service_checks import schedule_problems, service_problems
from janitor.config.service_forms import ScheduleForm, ServiceForm
from janitor.config.source_forms import SourceForm


def problems_together(draft: Draft) -> Iterator[Problem]:
    """What is wrong between the sound parts of a document."""
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
    if isinstance(project.api_key, SecretForm):
        given = project.api_key.model_fields_set
        if len(given) != 1 or getattr(project.api_key, next(iter(given))) is None:
            yield Problem((*at, "api_key"), "write exactly one of env, file and credential")
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
            at, "http would send the key unencrypted: write https, or allow_http: true beside it"
        )


def _lifetime(lifetime: LifetimeForm) -> Iterator[Problem]:
    if lifetime.min is not None and lifetime.max is not None and lifetime.min >= lifetime.max:
        yield Problem(("lifetime", "min"), "`min` must be shorter than `max`")


def _duplicate_names(draft: Draft) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, policy in sorted({**draft.policies, **draft.damaged}.items()):
        if policy.name in first:
            where = f"policies[{first[policy.name]}]"
            message = f"{where} has the same name; a name stands for one policy: write another"
            yield Problem(("policies", index, "name"), message)
        first.setdefault(policy.name, index)


def _two_defaults(draft: Draft) -> Iterator[Problem]:
    defaults = [(index, policy) for index, policy in draft.policies.items() if policy.default]
    for (_, one), (index, other) in combinations(defaults, 2):
        if _overlap(one.match or SelectorForm(), other.match or SelectorForm()):
            message = f"`{one.name}` is a default for the same kind; keep one of the two"
            yield Problem(("policies", index, "default"), message)


def _overlap(one: SelectorForm, other: SelectorForm) -> bool:
    kinds = one.kind is None or other.kind is None or set(one.kind) & set(other.kind)
    projects = one.project is None or other.project is None or set(one.project) & set(other.project)
    return bool(kinds) and bool(projects)


def _completeness(policy: PolicyForm, draft: Draft, at: DocumentPath) -> Iterator[Problem]:
    acts = (policy.archive, policy.soft_delete, policy.delete, policy.trim)
    if not any((*acts, policy.keep, policy.keep_last)):
        message = "a policy names a stage (archive, soft_delete, delete), `keep` or `keep_last`"
        yield Problem(at, message)
    yield from _match(policy, at)
    yield from _archive(policy, draft, (*at, "archive"))


def _consistency(policy: PolicyForm, draft: Draft, at: DocumentPath) -> Iterator[Problem]:
    for name, selector in (("match", policy.match), ("except", policy.except_)):
        if selector is not None:
            yield from _selector(selector, draft, (*at, name))
    yield from _order(policy, at)
    yield from _ceiling(policy, draft.sections.get("lifetime"), at)


def _match(policy: PolicyForm, at: DocumentPath) -> Iterator[Problem]:
    if policy.default:
        if policy.match is not None and policy.match.metadata:
            message = "a default matches by kind and project alone; remove `metadata`"
            yield Problem((*at, "match", "metadata"), message, at_key=True)
    elif policy.match is None or _is_empty(policy.match):
        message = "an empty or missing `match` would match every thread: write `default: true`, "
        yield Problem((*at, "match"), message + "or say which threads are meant")
    if policy.except_ is not None and _is_empty(policy.except_):
        message = "an empty `except` would take every thread out; remove it"
        yield Problem((*at, "except"), message)


def _is_empty(selector: SelectorForm) -> bool:
    return selector.kind is None and selector.project is None and not selector.metadata


def _selector(selector: SelectorForm, draft: Draft, at: DocumentPath) -> Iterator[Problem]:
    for index, name in enumerate(selector.project or ()):
        if name not in draft.project_names:
            message = f"the project `{name}` does not exist; {meant(name, draft.project_names)}"
            yield Problem((*at, "project", index), message)
    for key, test in selector.metadata.items():
        if isinstance(test, TestForm) and (test.exists is None) == (test.glob is None):
            yield Problem((*at, "metadata", key), "write exactly one of exists and glob")
    absent = [key for key, test in selector.metadata.items() if _is_absence(test)]
    clauses = [selector.kind, selector.project, len(selector.metadata) > len(absent) or None]
    if absent and all(clause is None for clause in clauses):
        message = "`exists: false` alone would match all that never had the key: write a "
        yield Problem((*at, "metadata", absent[0]), message + "positive clause beside it")


def _is_absence(test: object) -> bool:
    return isinstance(test, TestForm) and test.exists is False


def _archive(policy: PolicyForm, draft: Draft, at: DocumentPath) -> Iterator[Problem]:
    if policy.archive is None:
        return
    if policy.archive.after is None and policy.archive.items is None:
        yield Problem(at, "write `after` or `items`: when is the copy due?")
    store: ArchiveStoreForm | None = draft.sections.get("archive")
    if policy.archive.keep_for is None and store is not None and store.keep_for is None:
        message = "`keep_for` is said nowhere: write here, or once under `archive:`, how long the "
        yield Problem(at, message + "copy is kept after the deletion (90d, forever)")


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
