"""The shape of policies, as a file writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from janitor.catalogue import METADATA_KEY_LENGTH
from janitor.config.fields import (
    Duration,
    DurationOrForever,
    Form,
    MetadataKey,
    MetadataText,
    branch,
)
from janitor.model import Kind, Mode
from janitor.policy.expiry import VANISHED
from janitor.policy.rules import AgeFrom, Items, Mark
from janitor.policy.weighing import CEILING

PER = "metadata."

Positive = Annotated[int, Field(ge=1)]
Percent = Annotated[float, Field(gt=0, le=100)]
KindField = Annotated[Kind, Field(strict=False)]
ModeField = Annotated[Mode, Field(strict=False)]
AgeFromField = Annotated[AgeFrom, Field(strict=False)]
MarkField = Annotated[Mark, Field(strict=False)]
ItemsField = Annotated[Items, Field(strict=False)]


class TestForm(Form):
    """What one metadata key must be, beyond a value or a list of values."""

    exists: bool | None = None
    glob: Annotated[MetadataText, Field(min_length=1)] | None = None


TestField = Annotated[
    Annotated[TestForm, Tag("<mapping>")]
    | Annotated[list[MetadataText], Field(min_length=1), Tag("<list>")]
    | Annotated[MetadataText, Tag("<value>")],
    Discriminator(branch),
]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


KindsField = Annotated[
    Annotated[list[KindField], Field(min_length=1)],
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [kind.value for kind in Kind]},
                {"type": "array", "items": {"enum": [kind.value for kind in Kind]}, "minItems": 1},
            ]
        }
    ),
]
ProjectsField = Annotated[
    Annotated[list[str], Field(min_length=1)],
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]


class SelectorForm(Form):
    """Which threads are meant; every clause must hold."""

    kind: KindsField | None = None
    project: ProjectsField | None = None
    metadata: dict[MetadataKey, TestField] = Field(default={})


class ArchiveForm(Form):
    """When to copy, and how long to keep the copy."""

    after: Duration | None = None
    items: Positive | None = None
    keep_for: DurationOrForever | None = None


class SoftDeleteForm(Form):
    """When to mark."""

    after: Duration
    mark: MarkField = Mark.REGISTRY


class DeleteForm(Form):
    """When to remove."""

    after: Duration
    items: ItemsField = Items.FIRST


def _never(value: object) -> object:
    if value != "never":
        raise ValueError("write for example {after: 30d}, or never")
    return value


DeleteField = Annotated[
    Annotated[DeleteForm, Tag("<mapping>")]
    | Annotated[Literal["never"], BeforeValidator(_never), Tag("<value>")],
    Discriminator(lambda value: "<mapping>" if branch(value) == "<mapping>" else "<value>"),
]


class TrimForm(Form):
    """A rolling window of items."""

    keep_items: Positive
    after: Duration | None = None


def _per(value: str) -> str:
    if not value.startswith(PER) or not 0 < len(value.removeprefix(PER)) <= METADATA_KEY_LENGTH:
        raise ValueError("`per` names a metadata key: write for example metadata.user_id")
    return value


class KeepLastForm(Form):
    """How many of each group stay."""

    count: Positive
    per: Annotated[str, AfterValidator(_per)] | None = None


class PolicyLimitsForm(Form):
    """A policy's own limits."""

    max_percent: Percent | None = None
    max_threads: Positive | None = None


def _policy_name(value: str) -> str:
    if value == CEILING:
        raise ValueError(f"`{CEILING}` is what deletions by the ceiling are called; write another")
    if value == VANISHED:
        what = "deletions of what vanished from a source"
        raise ValueError(f"`{VANISHED}` is what {what} are called; write another")
    return value


PolicyName = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_policy_name),
]


class PolicyForm(Form):
    """One policy."""

    name: PolicyName
    match: SelectorForm | None = None
    except_: Annotated[SelectorForm | None, Field(alias="except")] = None
    default: bool = False
    keep: Literal["forever"] | None = None
    age_from: AgeFromField = AgeFrom.LAST_ACTIVITY
    archive: ArchiveForm | None = None
    soft_delete: SoftDeleteForm | None = None
    delete: DeleteField | None = None
    trim: TrimForm | None = None
    keep_last: KeepLastForm | None = None
    limits: PolicyLimitsForm | None = None
    mode: ModeField | None = None
