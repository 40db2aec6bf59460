"""Policy fixtures: threads described in a file, what is expected of them, and the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from janitor.config.fields import Form, MetadataKey, MetadataText
from janitor.config.forms import USER, KindField
from janitor.config.problems import Problem, refusals_of, refused, shape_problems
from janitor.config.yaml_source import Document, DocumentPath, read_document
from janitor.errors import Place
from janitor.model import Copy, Decision, Hold, Key, Metadata, Reason, State, Thread
from janitor.policy import Policies, decide
from janitor.policy.keep_last import ranks_of
from janitor.times import FOREVER, known, parse, until

COPIED = frozenset({State.ARCHIVED, State.SOFT_DELETED})


def _time(value: object) -> datetime:
    try:
        if isinstance(value, str | date):
            return parse(value)
    except ValueError:
        pass
    raise ValueError("write a time, for example 2026-01-31T00:00:00Z")


def _reported(value: object) -> datetime | None:
    """A time as a registration reads it: one that was never set is unknown."""
    return None if value is None else known(_time(value))


def _end(value: object) -> datetime | None:
    if value is None or value == "forever":
        return None if value is None else FOREVER
    return until(_time(value))


_TIME_SCHEMA = WithJsonSchema({"type": "string"})
Time = Annotated[datetime, BeforeValidator(_time), _TIME_SCHEMA]
ReportedTime = Annotated[datetime | None, BeforeValidator(_reported), _TIME_SCHEMA]
EndTime = Annotated[datetime | None, BeforeValidator(_end), _TIME_SCHEMA]
MetadataForm = dict[MetadataKey, MetadataText]


class ThreadForm(Form):
    """A thread; a missing value means unknown."""

    id: Annotated[str, Field(min_length=1)] = "t"
    kind: KindField
    project: str = "main"
    created_at: ReportedTime = None
    last_active_at: ReportedTime = None
    items: Annotated[int, Field(ge=0)] | None = None
    user: MetadataText | None = None
    metadata: MetadataForm | None = None
    state: Annotated[State, Field(strict=False)] = State.ACTIVE
    soft_deleted_at: Time | None = None
    keep_until: EndTime = None
    source: str | None = None
    vanished_at: Time | None = None

    @property
    def stored(self) -> Metadata | None:
        """Its metadata with `user`, as an import stores them; `None` where neither is given."""
        return self.metadata if self.user is None else {**(self.metadata or {}), USER: self.user}


class HoldForm(Form):
    """A hold on all threads that have all of this metadata."""

    metadata: Annotated[MetadataForm, Field(min_length=1)]


class ExpectForm(Form):
    """What a decision must be; fields that are not given are not checked."""

    stage: Literal["archive", "soft_delete", "trim", "delete", "none"] = "none"
    policy: str | None = None
    due_at: Time | None = None
    reason: Annotated[Reason, Field(strict=False)] | None = None


class _CaseForm(Form):
    name: Annotated[str, Field(min_length=1)]
    now: Time
    holds: list[HoldForm] = Field(default=[])


class OneForm(_CaseForm):
    """A fixture of one thread."""

    thread: ThreadForm
    expect: ExpectForm


class ManyForm(_CaseForm):
    """A fixture of a whole group; `expect` names some of its ids."""

    threads: Annotated[list[ThreadForm], Field(min_length=1)]
    expect: Annotated[dict[str, ExpectForm], Field(min_length=1)]


def _shape(value: object) -> str:
    is_many = "threads" in value if isinstance(value, dict) else isinstance(value, ManyForm)
    return "<list>" if is_many else "<mapping>"


_FILE = TypeAdapter(
    list[
        Annotated[
            Annotated[OneForm, Tag("<mapping>")] | Annotated[ManyForm, Tag("<list>")],
            Discriminator(_shape),
        ]
    ]
)


@dataclass(frozen=True, slots=True)
class Fixture:
    """Threads at a moment, and what is expected of them by id; `None` expects null."""

    name: str
    now: datetime
    threads: tuple[Thread, ...]
    holds: tuple[Hold, ...]
    expected: Mapping[str, Mapping[str, str | datetime | None]]
    place: Place | None = None


def load_fixtures(path: Path) -> tuple[Fixture, ...]:
    """Read a file of policy fixtures.

    Raises ConfigError with every refusal, each with line, column and path.
    """
    document = read_document(path)
    forms, problems = _forms(document.value)
    if refusals := refusals_of(document, problems):
        raise refused(str(path), refusals)
    return tuple(_fixture(form, document, index) for index, form in enumerate(forms))


def _forms(value: object) -> tuple[list[OneForm | ManyForm], list[Problem]]:
    try:
        forms = _FILE.validate_python(value)
    except ValidationError as error:
        return [], list(shape_problems(error, _FILE.json_schema()))
    problems = [problem for i, form in enumerate(forms) for problem in _problems(form, (i,))]
    return forms, problems


def _problems(form: OneForm | ManyForm, at: DocumentPath) -> Iterator[Problem]:
    threads, expected = _parts(form)
    ids = [thread.id for thread in threads]
    for index, one in enumerate(ids):
        if one in ids[:index]:
            yield Problem((*at, "threads", index), f"two threads have the id {one}")
    for index, thread in enumerate(threads):
        if thread.vanished_at is not None and thread.source is None:
            place = ("thread",) if isinstance(form, OneForm) else ("threads", index)
            message = "name the `source` from which it vanished"
            yield Problem((*at, *place, "vanished_at"), message, at_key=True)
    for name, expect in expected.items():
        path = (*at, "expect") if isinstance(form, OneForm) else (*at, "expect", name)
        if name not in ids:
            yield Problem(path, f"this fixture has no thread {name}", at_key=True)
        if not expect.model_fields_set:
            yield Problem(path, "an empty expectation always passes: name a stage or reason")


def _parts(form: OneForm | ManyForm) -> tuple[list[ThreadForm], Mapping[str, ExpectForm]]:
    if isinstance(form, OneForm):
        return [form.thread], {form.thread.id: form.expect}
    return form.threads, form.expect


def _fixture(form: OneForm | ManyForm, document: Document, index: int) -> Fixture:
    threads, expected = _parts(form)
    return Fixture(
        name=form.name,
        now=form.now,
        threads=tuple(_thread(one, form.now) for one in threads),
        holds=tuple(Hold(f"hold {i}", metadata=h.metadata) for i, h in enumerate(form.holds)),
        expected={
            name: {field: getattr(one, field) for field in sorted(one.model_fields_set)}
            for name, one in expected.items()
        },
        place=document.place((index,)),
    )


def _thread(form: ThreadForm, now: datetime) -> Thread:
    copied = form.state in COPIED
    return Thread(
        key=Key(form.project, form.kind, form.id),
        state=form.state,
        created_at=form.created_at,
        last_active_at=form.last_active_at,
        items=form.items,
        reported=form.stored,
        upstream=form.stored,
        keep_until=form.keep_until,
        soft_deleted_at=form.soft_deleted_at,
        copy=_copy(form, now) if copied else None,
        copy_is_current=copied,
        source=form.source,
        vanished_at=form.vanished_at,
    )


def _copy(form: ThreadForm, now: datetime) -> Copy:
    at = form.last_active_at or form.created_at or now
    return Copy("fixture", "", "", form.items or 0, None, 0, at)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a decision is not what was expected; times are in ISO 8601, `null` means none."""

    id: str
    field: str
    expected: str
    actual: str


def try_out(fixture: Fixture, policies: Policies) -> tuple[Difference, ...]:
    """Every difference between what a fixture expects and what the policies decide."""
    ranks = ranks_of(fixture.threads, policies, fixture.now, fixture.holds)
    found: list[Difference] = []
    for thread in fixture.threads:
        if expected := fixture.expected.get(thread.key.id):
            decision = decide(
                thread, policies, fixture.holds, ranks.get(thread.key, {}), fixture.now
            )
            found += _differences(thread.key.id, expected, _said(decision))
    return tuple(found)


def _said(decision: Decision) -> Mapping[str, str | datetime | None]:
    return {
        "stage": decision.stage or "none",
        "policy": decision.policy,
        "due_at": decision.due_at,
        "reason": decision.reason,
    }


def _differences(
    id: str,
    expected: Mapping[str, str | datetime | None],
    values: Mapping[str, str | datetime | None],
) -> Iterator[Difference]:
    for field, value in expected.items():
        if value != values[field]:
            yield Difference(id, field, _shown(value), _shown(values[field]))


def _shown(value: str | datetime | None) -> str:
    match value:
        case None:
            return "null"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return str(value)
