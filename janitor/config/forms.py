"""The shape of the configuration file outside of policies."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from janitor.config.durations import parse_duration
from janitor.config.fields import (
    Address,
    Duration,
    DurationOrForever,
    Form,
    MetadataKey,
    Name,
    PublicPairs,
    RateField,
    SecretField,
    SecretForm,
    branch,
    holds_secret,
    without_nul,
)
from janitor.config.policy_forms import KindField, ModeField, Percent, PolicyForm, Positive
from janitor.config.service_forms import ScheduleForm, ServiceForm
from janitor.config.source_forms import SourceForm
from janitor.config.unbuilt import unbuilt_scheme
from janitor.model import Mode, NotFound
from janitor.policy.matching import RESERVED

POSTGRESQL = "postgresql+psycopg"


def _registry_url(value: str) -> str:
    if value.startswith(f"{POSTGRESQL}://"):
        return _database_url(value)
    if value.startswith("postgresql"):
        raise ValueError(f"write {POSTGRESQL}://user@host/database")
    if not value.startswith("sqlite:///"):
        raise ValueError(
            "write sqlite:///janitor.db (beside this file), sqlite:////absolute or "
            f"{POSTGRESQL}://user@host/database"
        )
    name = value.removeprefix("sqlite:///")
    if not name or name.startswith(":memory:") or "?" in name:
        raise ValueError("the registry is a file that stays: write sqlite:///janitor.db")
    return value


def _database_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        password, _ = parts.password, parts.port
    except ValueError:
        raise ValueError(
            f"this is no address: write {POSTGRESQL}://user@host:5432/database"
        ) from None
    if password or holds_secret(parts.query):  # an empty one is none
        raise ValueError("a secret must not stand in an address: use `password`")
    if not parts.path.strip("/"):
        raise ValueError(f"names no database: write {POSTGRESQL}://user@host/database")
    return value


def _archive_url(value: str) -> str:
    _refuse_unbuilt("archive.url", value, instead="file://archive")
    if not value.startswith("file://") or not value.removeprefix("file://"):
        raise ValueError("write file://archive (beside this file) or file:///absolute/path")
    return value


def _refuse_unbuilt(path: str, value: str, *, instead: str) -> None:
    if scheme := unbuilt_scheme(path, value):
        raise ValueError(f"`{scheme}://` is documented but not built yet; write {instead}")


def _one_keeper(secret: SecretForm) -> SecretForm:
    if sum(where is not None for where in (secret.env, secret.file, secret.credential)) != 1:
        raise ValueError("write exactly one of env, file and credential")
    return secret


def _own_key(key: str) -> str:
    if key.startswith(RESERVED):
        raise ValueError(f"keys that begin with `{RESERVED}` are always stored as they are: remove")
    return key


def _all(value: object) -> object:
    if value != "all":
        raise ValueError("write all, or a list of metadata keys: [plan, user_id]")
    return value


StoredKey = Annotated[MetadataKey, AfterValidator(_own_key)]
KeysField = Annotated[
    Annotated[list[StoredKey], Tag("<list>")]
    | Annotated[Literal["all"], BeforeValidator(_all), Tag("<value>")],
    Discriminator(lambda value: "<list>" if branch(value) == "<list>" else "<value>"),
]


class RegistryForm(Form):
    """Where the registry is, and what it keeps of metadata."""

    url: Annotated[str, AfterValidator(without_nul), AfterValidator(_registry_url)] = (
        "sqlite:///janitor.db"
    )
    password: Annotated[SecretForm, AfterValidator(_one_keeper)] | None = None
    keys: KeysField = "all"
    hash: list[StoredKey] = Field(default=[])
    hash_key: Annotated[SecretForm, AfterValidator(_one_keeper)] | None = None

    @model_validator(mode="after")
    def _has_use_for_password(self) -> RegistryForm:
        if self.password is not None and self.url.startswith("sqlite:"):
            raise ValueError("a file takes no `password`; remove it")
        return self


class AzureForm(Form):
    """An Azure OpenAI resource."""

    endpoint: Address
    api_version: Annotated[str, Field(min_length=1)]


class RateForm(Form):
    """How fast each verb may be called."""

    delete: RateField = "auto"
    read: RateField = "auto"
    write: RateField = "auto"


class ProjectForm(Form):
    """One credential at one endpoint."""

    api_key: SecretField
    base_url: Address | None = None
    azure: AzureForm | None = None
    organization: str | None = None
    project: str | None = None
    query: PublicPairs = Field(default={})
    headers: PublicPairs = Field(default={})
    kinds: Annotated[list[KindField], Field(min_length=1)] | None = None
    trust_reported: bool = True
    not_found: Annotated[NotFound, Field(strict=False)] = NotFound.OPENAI
    discover: bool = False
    timeout: Duration = parse_duration("20s")
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 32
    rate: RateForm = RateForm()
    allow_http: bool = False


class ArchiveStoreForm(Form):
    """Where the archive is, and how long it keeps what no policy says otherwise of."""

    url: Annotated[str, AfterValidator(without_nul), AfterValidator(_archive_url)] = (
        "file://archive"
    )
    keep_for: DurationOrForever | None = None


class TombstonesForm(Form):
    """How long the registry remembers that something was deleted."""

    keep_for: Duration = parse_duration("400d")


class LifetimeForm(Form):
    """A floor and a ceiling of a thread's age since its creation.

    Above the ceiling stand holds, `keep: forever` and `delete: never`.
    """

    min: Duration | None = None
    max: Duration | None = None


class HoldsForm(Form):
    """What happens when a hold is released."""

    release_grace: Duration = parse_duration("7d")


class LimitsForm(Form):
    """When a sweep stops and a person must look."""

    max_percent: Percent = 10.0
    max_threads: Positive | None = None
    max_missing_percent: Percent = 20.0
    max_errors: Positive = 10
    clock_step: Duration = parse_duration("6h")
    max_duration: Duration = parse_duration("6h")


Version = Annotated[Literal[1], WithJsonSchema({"const": 1})]


class FileForm(Form):
    """The whole file."""

    version: Version
    registry: RegistryForm
    projects: Annotated[dict[Name, ProjectForm], Field(min_length=1)]
    policies: list[PolicyForm]
    mode: ModeField = Mode.AUDIT
    archive: ArchiveStoreForm = ArchiveStoreForm()
    tombstones: TombstonesForm = TombstonesForm()
    lifetime: LifetimeForm = LifetimeForm()
    holds: HoldsForm = HoldsForm()
    limits: LimitsForm = LimitsForm()
    schedule: ScheduleForm | None = None
    service: ServiceForm = ServiceForm()
    sources: dict[Name, SourceForm] = Field(default={})
