"""The shape of the configuration file, as pydantic models."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from janitor.addresses import LAST_PORT, SQLITE, is_host
from janitor.config.fields import (
    ONE_KEEPER,
    Address,
    Duration,
    DurationOrForever,
    Form,
    MetadataKey,
    MetadataText,
    Name,
    PublicPairs,
    RateField,
    SecretField,
    SecretForm,
    branch,
    database_address,
    holds_secret,
    parse_duration,
    refuse_wrong_parameters,
    without_nul,
)
from janitor.config.source_query import backend_of, only_read, require_all_rows, uses_watermark
from janitor.config.unbuilt import unbuilt_scheme
from janitor.kinds import METADATA_KEY_LENGTH
from janitor.model import Kind, Mode, NotFound
from janitor.policy.evaluate import CEILING, VANISHED
from janitor.policy.matching import RESERVED
from janitor.policy.rules import AgeFrom, ArchiveAt, DeletionMark, Items
from janitor.times import EPOCH

_SCHEME = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://", re.IGNORECASE)


def _plain_url(value: str) -> str:
    if not _SCHEME.match(value):
        raise ValueError(
            "not a database address: write {env: NAME}, or for example sqlite:///app.db (beside "
            "this file), postgresql+psycopg://user@host/database"
        )
    try:
        parts = urlsplit(value)
        password, _ = parts.password, parts.port
    except ValueError:
        raise ValueError("not an address: write {env: NAME} or SCHEME://USER@HOST/DB") from None
    if password or holds_secret(parts.query):
        raise ValueError("secrets do not belong in an address: write {env: NAME}")
    if value.startswith("sqlite") and (":memory:" in value or not parts.path.strip("/")):
        raise ValueError("the application's database cannot be in memory: write sqlite:///app.db")
    if value.lower().startswith("postgres"):
        refuse_wrong_parameters(parts.query)
    if value.lower().startswith("sqlite"):
        refuse_wrong_parameters(parts.query, SQLITE)
    return value


def _one_keeper(secret: SecretForm) -> SecretForm:
    if not secret.has_one_keeper:
        raise ValueError(ONE_KEEPER)
    return secret


DatabaseField = Annotated[
    Annotated[SecretForm, AfterValidator(_one_keeper), Tag("<mapping>")]
    | Annotated[str, AfterValidator(database_address), AfterValidator(_plain_url), Tag("<value>")],
    Discriminator(lambda value: "<mapping>" if branch(value) == "<mapping>" else "<value>"),
]


class SqlForm(Form):
    """Which database, which rows, and where the next reading goes on."""

    url: DatabaseField
    query: str
    watermark: Annotated[str, Field(min_length=1)] | None
    overlap: Duration = parse_duration("10m")
    timeout: Duration = parse_duration("60s")

    @property
    def backend(self) -> str | None:
        """The engine; `None` if the address is a secret."""
        return backend_of(self.url) if isinstance(self.url, str) else None

    @field_validator("query", mode="after")
    @classmethod
    def _only_reads(cls, query: str, info: ValidationInfo) -> str:
        url = info.data.get("url")  # absent if it was refused itself
        return only_read(query, backend_of(url) if isinstance(url, str) else None)

    @model_validator(mode="after")
    def _watermark_is_used(self) -> SqlForm:
        uses = uses_watermark(self.query, self.backend)
        if self.watermark is not None and not uses:
            raise ValueError(
                f"the query must select only newer rows: add WHERE {self.watermark} > :watermark, "
                "or write `watermark: null` to read everything each time"
            )
        if self.watermark is None and uses:
            raise ValueError(
                "the query uses :watermark: name its column in `watermark`, or remove it "
                "from the query"
            )
        return self


class ExpireForm(Form):
    """Expires threads whose row is gone, this long after the loss was noticed."""

    expire_after: Duration


def _keep_or_expire(value: object) -> object:
    if value != "keep" and branch(value) != "<mapping>" and not isinstance(value, ExpireForm):
        raise ValueError("write keep, or {expire_after: 30d}")
    return value


VanishField = Annotated[
    Annotated[ExpireForm, Tag("<mapping>")] | Annotated[Literal["keep"], Tag("<value>")],
    Discriminator(lambda value: "<mapping>" if branch(value) == "<mapping>" else "<value>"),
    BeforeValidator(_keep_or_expire),
]


class SourceForm(Form):
    """One table of the application's own, and the project that its rows are of."""

    sql: SqlForm
    project: Name | None = None
    on_vanish: VanishField = "keep"

    @model_validator(mode="after")
    def _all_rows_are_read(self) -> SourceForm:
        if self.on_vanish != "keep":
            require_all_rows(self.sql.query, self.sql.backend)
        return self


ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
CRON_FIELDS = 5


def _cron(value: str) -> str:
    if why := _why_no_cron(value):
        raise ValueError(
            f"not a cron expression ({why}): write minute hour day month weekday, "
            'for example "17 3 * * *"'
        )
    return value


def _why_no_cron(value: str) -> str | None:
    if (fields := len(value.split())) != CRON_FIELDS:
        return f"{fields} fields"
    try:
        next(CronSim(value, EPOCH))
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "it never occurs"
    return None


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("unknown time zone; for example: UTC or Europe/Berlin") from None
    return value


class ScheduleForm(Form):
    """When the service sweeps: exactly one of `cron` and `every`."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    every: Duration | None = None
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    jitter: Duration | None = None


class TokenForm(SecretForm):
    """A bearer token and what it may do."""

    scope: Literal["register", "operate", "read"]


def _no_inline_token(value: object) -> object:
    if branch(value) != "<mapping>":
        raise ValueError(
            "tokens do not belong in this file: write {env: NAME, scope: read}, or {file: PATH, "
            "scope: ...}, or {credential: NAME, scope: ...}"
        )
    return value


Token = Annotated[TokenForm, BeforeValidator(_no_inline_token)]
Tokens = Annotated[
    Annotated[Token, Tag("<mapping>")] | Annotated[list[Token], Tag("<list>")],
    Discriminator(lambda value: "<list>" if branch(value) == "<list>" else "<mapping>"),
]


def _listen(value: str) -> str:
    found = ADDRESS.fullmatch(value)
    host = value.rpartition(":")[0].strip("[]")
    if found is None or int(found[1]) > LAST_PORT or not is_host(host):
        raise ValueError('not an address to listen on: write "127.0.0.1:9464", or "[::1]:9464"')
    return value


def _host(value: str) -> str:
    if not HOST.fullmatch(value):
        raise ValueError("not a host name: write it without scheme and port")
    return value


class ServiceForm(Form):
    """Where the service listens, and who may ask it for what."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9464"
    hosts: list[Annotated[str, AfterValidator(_host)]] = Field(default=[])
    tokens: dict[Name, Tokens] = Field(default={})
    stop_timeout: Duration = parse_duration("30s")


PER = "metadata."

MOST = 2**53 - 1  # the largest whole number that every JSON parser keeps exactly
Positive = Annotated[int, Field(ge=1, le=MOST)]
Percent = Annotated[float, Field(gt=0, le=100)]
KindField = Annotated[Kind, Field(strict=False)]
ModeField = Annotated[Mode, Field(strict=False)]
AgeFromField = Annotated[AgeFrom, Field(strict=False)]
ArchiveAtField = Annotated[ArchiveAt, Field(strict=False)]
MarkField = Annotated[DeletionMark, Field(strict=False)]
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


def _given(value: object) -> object:
    if value is None:
        raise ValueError('a user is text: write "u-17", a list, {glob: "u-*"} or {exists: true}')
    return value


USER = "user"
"""The metadata key under which an import stores its field `user`."""


class SelectorForm(Form):
    """Which threads are meant; every clause must hold. `user` is `metadata.user`."""

    kind: KindsField | None = None
    project: ProjectsField | None = None
    user: Annotated[TestField | None, BeforeValidator(_given)] = None
    metadata: dict[MetadataKey, TestField] = Field(default={})

    @property
    def tests(self) -> dict[str, TestField]:
        """The tests of metadata, by key."""
        return self.metadata if self.user is None else {USER: self.user, **self.metadata}


Selectors = Annotated[list[SelectorForm], Field(min_length=1)]


class MatchForm(SelectorForm):
    """A selector of which one of several others must hold, too."""

    any: Selectors | None = None


ExceptField = Annotated[
    Annotated[MatchForm, Tag("<mapping>")] | Annotated[Selectors, Tag("<list>")],
    Discriminator(lambda value: "<list>" if branch(value) == "<list>" else "<mapping>"),
]


class ArchiveForm(Form):
    """When to copy, and how long to keep the copy."""

    after: Duration | None = None
    items: Positive | None = None
    keep_for: DurationOrForever | None = None
    at: ArchiveAtField = ArchiveAt.LATEST


class SoftDeleteForm(Form):
    """When to mark."""

    after: Duration
    mark: MarkField = DeletionMark.REGISTRY


class DeleteForm(Form):
    """When to remove."""

    after: Duration
    items: ItemsField = Items.FIRST


def _never(value: object) -> object:
    if value != "never":
        raise ValueError("write {after: 30d}, for example, or never")
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
    if value == USER:
        return f"{PER}{USER}"
    if not value.startswith(PER) or not 0 < len(value.removeprefix(PER)) <= METADATA_KEY_LENGTH:
        raise ValueError("`per` takes a metadata key, for example metadata.user_id")
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
        raise ValueError(
            f"`{CEILING}` is reserved for deletions by that limit; choose another name"
        )
    if value == VANISHED:
        what = "deletions of threads that vanished from a source"
        raise ValueError(f"`{VANISHED}` is reserved for {what}; choose another name")
    return value


PolicyName = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_policy_name),
]


class PolicyForm(Form):
    """One policy."""

    name: PolicyName
    match: MatchForm | None = None
    except_: Annotated[ExceptField | None, Field(alias="except")] = None
    default: bool = False
    beside_default: bool = False
    keep: Literal["forever"] | None = None
    age_from: AgeFromField = AgeFrom.LAST_ACTIVITY
    archive: ArchiveForm | None = None
    soft_delete: SoftDeleteForm | None = None
    delete: DeleteField | None = None
    trim: TrimForm | None = None
    keep_last: KeepLastForm | None = None
    limits: PolicyLimitsForm | None = None
    mode: ModeField | None = None


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
    if "?" in name:
        raise ValueError("a file takes no parameters; remove the ? and everything after it")
    if not name or name.startswith(":memory:"):
        raise ValueError("the registry cannot be in memory: write sqlite:///janitor.db")
    return value


def _database_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        password, _ = parts.password, parts.port
    except ValueError:
        raise ValueError(f"not an address: write {POSTGRESQL}://user@host:5432/database") from None
    if password or holds_secret(parts.query):  # an empty password is none
        raise ValueError("secrets do not belong in an address: use `password`")
    if not parts.path.strip("/"):
        raise ValueError(f"the database name is missing: write {POSTGRESQL}://user@host/database")
    refuse_wrong_parameters(parts.query)
    return value


def _archive_url(value: str) -> str:
    _refuse_unbuilt("archive.url", value, instead="file://archive")
    if not value.startswith("file://") or not value.removeprefix("file://"):
        raise ValueError("write file://archive (beside this file) or file:///absolute/path")
    return value


def _refuse_unbuilt(path: str, value: str, *, instead: str) -> None:
    if scheme := unbuilt_scheme(path, value):
        raise ValueError(f"`{scheme}://` is documented but not implemented yet; write {instead}")


def _own_key(key: str) -> str:
    if key.startswith(RESERVED):
        raise ValueError(
            f"keys that begin with `{RESERVED}` are always stored as they are: remove it"
        )
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

    url: Annotated[str, AfterValidator(database_address), AfterValidator(_registry_url)] = (
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
