"""The requests and responses of the HTTP API as pydantic models, which its OpenAPI document uses.

Whether an id, a kind, a time or metadata is valid is checked in `sources.registration`, for files
and HTTP alike; the inbox checks again. Here such values are only typed and described.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    RootModel,
    Tag,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from janitor.config.fields import Duration
from janitor.kinds import ID
from janitor.model import NOTICE_VERSION, Kind, NoticeEvent
from janitor.texts import KEY_LENGTH, PAIRS, VALUE_LENGTH, TwiceError, once

LONGEST_TEXT = 500
MOST_THREADS = 1000
SHOWN = 200
"""At most this many characters of a refused id are sent back."""


class AskedWrongError(Exception):
    """A request that cannot be done; the message says what to send instead, and quotes no value."""

    def __init__(self, message: str, status: int = 422, taken: TakenAnswer | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.taken = taken

    @property
    def answer(self) -> ErrorAnswer:
        """The body of the response."""
        if self.taken is None:
            return ErrorAnswer(error=str(self))
        return RefusedAnswer(error=str(self), **dict(self.taken))


def _must_be(what: str, described: object) -> WrapValidator:
    """Refuses a value in these words; the OpenAPI document shows the type `described`."""

    def check(value: object, judge: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
        try:
            return judge(value)
        except ValueError:
            name = str(info.field_name).rstrip("_")
            raise ValueError(f"{name} must be {what}") from None

    return WrapValidator(check, json_schema_input_type=described)


_Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")]
_Id = Annotated[str, Field(pattern=f"^{ID.pattern}$")]
_Pairs = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=KEY_LENGTH)],
        Annotated[str, Field(max_length=VALUE_LENGTH)],
    ],
    Field(max_length=PAIRS),
]
_Event = Annotated[NoticeEvent, Field(strict=False)]

TextField = Annotated[_Text, _must_be(f"a text of 1 to {LONGEST_TEXT} characters", _Text)]
SpanField = Annotated[Duration, _must_be("a duration, for example 12h or 30m", Duration)]
IdField = Annotated[str, _must_be("a text", _Id)]
KindField = Annotated[str, _must_be("a text", Kind)]
EventField = Annotated[_Event, _must_be(f"one of {', '.join(NoticeEvent)}", NoticeEvent)]
TimeField = Annotated[str | int | float, _must_be("a time: ISO 8601 or epoch seconds", str | float)]
PairsField = Annotated[dict[str, Any], _must_be("an object of texts", _Pairs)]
VersionField = Annotated[Literal[1], _must_be(str(NOTICE_VERSION), Literal[1])]


class Body(BaseModel):
    """An object that a client sends: unknown fields and values of another type are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, regex_engine="python-re")

    @model_validator(mode="before")
    @classmethod
    def _has_known_fields(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError("must be an object")  # noqa: TRY004 - pydantic passes it on
        known = [field.alias or name for name, field in cls.model_fields.items()]
        if unknown := sorted(value.keys() - known):
            shown = ascii(unknown[0])[:80]
            raise ValueError(f"unknown {shown}; known: {', '.join(known)}")
        return value


B = TypeVar("B", bound=BaseModel)


def parsed(model: type[B], body: bytes) -> B:
    """Parse a body.

    Raises:
        AskedWrongError: It is not a JSON object, or does not fit the model.
    """
    try:
        return model.model_validate(_object(body))
    except ValidationError as error:
        raise AskedWrongError(_message(error)) from error


def _object(body: bytes) -> object:
    try:
        document = orjson.loads(body or b"{}")
        json.loads(body or b"{}", object_pairs_hook=once)
    except TwiceError as error:
        raise AskedWrongError(str(error), 400) from error
    except (ValueError, RecursionError) as error:
        raise AskedWrongError("the body is not JSON", 400) from error
    if not isinstance(document, dict):
        raise AskedWrongError("the body must be one JSON object", 400)
    return document


def _message(error: ValidationError) -> str:
    """The first thing that is wrong, in our own words, because pydantic's show the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "missing":
        return f"{first['loc'][-1]} is missing"
    return str(first["ctx"]["error"])


class ResumeBody(Body):
    """Which pause to end: that of a project, of a policy, or of everything."""

    project: TextField | None = None
    policy: TextField | None = None

    @model_validator(mode="after")
    def _names_one_at_most(self) -> ResumeBody:
        if self.project and self.policy:
            raise ValueError("name a project or a policy, not both")
        return self

    @property
    def scope(self) -> str:
        """The pause's name in the registry."""
        if self.project is not None:
            return f"project:{self.project}"
        return "all" if self.policy is None else f"policy:{self.policy}"


class PauseBody(ResumeBody):
    """What to leave alone, for how long (until it is resumed, if nothing is said) and why."""

    for_: SpanField | None = Field(default=None, alias="for")
    reason: TextField


class FactsBody(Body):
    """Facts reported about a thread."""

    event: EventField | None = None
    at: TimeField | None = Field(default=None, description="Its last activity; else, now.")
    last_active_at: TimeField | None = Field(default=None, description="Another name for `at`.")
    created_at: TimeField | None = Field(default=None, description="When it was made.")
    keep_until: TimeField | None = Field(
        default=None, description="Keep it until then, or `forever`; never shortened."
    )
    metadata: PairsField | None = None
    v: VersionField | None = None

    @model_validator(mode="after")
    def _dates_its_activity_once(self) -> FactsBody:
        if self.at is not None and self.last_active_at is not None:
            raise ValueError("at and last_active_at mean the same: give only one")
        return self


class ThreadPath(Body):
    """How a path names a thread."""

    project: IdField
    kind: KindField
    id: IdField


class ThreadBody(FactsBody):
    """A reported thread; `kind` and `project` may be left out if they are clear."""

    id: IdField
    kind: KindField | None = None
    project: IdField | None = None


class MalformedThreadError(ValueError):
    """An entry of a list that is not a thread; the others are still taken."""

    def __init__(self, message: str, id: str | None) -> None:
        super().__init__(message)
        self.id = id


F = TypeVar("F", bound=FactsBody)


def _told(model: type[F]) -> PlainValidator:
    def judge(value: object) -> F | MalformedThreadError:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            named = value.get("id") if isinstance(value, dict) else None
            return MalformedThreadError(_message(error), named if isinstance(named, str) else None)

    return PlainValidator(judge, json_schema_input_type=model)


ToldThread = Annotated[ThreadBody | MalformedThreadError, _told(ThreadBody)]
_Batch = Annotated[list[ToldThread], Field(max_length=MOST_THREADS)]


class BatchBody(Body):
    """Many threads at once."""

    threads: Annotated[_Batch, _must_be(f"a list of at most {MOST_THREADS}", _Batch)]


class ToldBody(
    RootModel[
        Annotated[
            Annotated[ToldThread, Tag("thread")] | Annotated[BatchBody, Tag("batch")],
            Discriminator(lambda value: "batch" if "threads" in value else "thread"),
        ]
    ]
):
    """One reported thread, or a batch."""

    @property
    def threads(self) -> list[ToldThread]:
        """The reported threads."""
        return self.root.threads if isinstance(self.root, BatchBody) else [self.root]


class ChangeBody(RootModel[Annotated[FactsBody | MalformedThreadError, _told(FactsBody)]]):
    """Facts reported about the thread that the path names."""

    def thread(self, path: Mapping[str, str]) -> ToldThread:
        """The report, completed with what the path names."""
        if isinstance(self.root, MalformedThreadError):
            return MalformedThreadError(str(self.root), path["id"])
        return ThreadBody(**{**dict(self.root), **path})


class Answer(BaseModel):
    """An object that a client is sent."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    version: Literal[1] = Field(default=1, serialization_alias="schema")


class PauseAnswer(Answer):
    """The pause that holds now; `until` is null where it holds until it is resumed."""

    scope: str
    reason: str
    actor: str
    until: str | None


class ResumeAnswer(Answer):
    """The pause that has ended."""

    scope: str
    actor: str


class ThreadRemark(BaseModel):
    """Why a thread, or a time of it, is not taken; `index` is its place among those sent."""

    index: int = Field(ge=0)
    id: str | None = Field(max_length=SHOWN)
    reason: str


class TakenAnswer(Answer):
    """How many threads are safe on disk, and which are not taken."""

    accepted: int = Field(ge=0)
    refused: list[ThreadRemark]
    remarks: list[ThreadRemark] = Field(
        default=[],
        description="Times that are taken as never set: before 1973, or after the year 9999.",
        exclude_if=lambda remarks: not remarks,
    )


class ErrorAnswer(Answer):
    """What is wrong, in a sentence."""

    error: str


class RefusedAnswer(TakenAnswer, ErrorAnswer):
    """No thread is taken; `error` is what is wrong with the first."""
