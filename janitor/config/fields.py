"""The values that a configuration's fields take, and how each is refused."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)

from janitor.catalogue import METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH
from janitor.config import rates
from janitor.config.durations import PATTERN, parse_duration

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET_PARAMETER = re.compile(r"passw|pwd|secret|token", re.IGNORECASE)
CREDENTIAL_NAME = re.compile(r"(?i)(?:^|[-_])(?:authorization|key|token|secret|password|cookie)$")


class Form(BaseModel):
    """A mapping of the file: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


BRANCHES = frozenset({"<mapping>", "<list>", "<value>"})


class NotTextError(ValueError):
    """A value that would be right, were it in quotes."""


def branch(value: object) -> str:
    """Which shape of a union a value has, so that its refusals speak of that shape alone."""
    match value:
        case dict() | BaseModel():
            return "<mapping>"
        case list() | tuple():
            return "<list>"
        case _:
            return "<value>"


def _duration(value: object) -> timedelta:
    return value if isinstance(value, timedelta) else parse_duration(value)


def _duration_or_forever(value: object) -> object:
    return value if value == "forever" else _duration(value)


_DURATION_SCHEMA = {"type": "string", "pattern": PATTERN}

Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]

DurationOrForever = Annotated[
    timedelta | Literal["forever"],
    BeforeValidator(_duration_or_forever),
    WithJsonSchema({"anyOf": [{"const": "forever"}, _DURATION_SCHEMA]}),
]


RateField = Annotated[
    rates.Rate,
    BeforeValidator(rates.parse_rate),
    WithJsonSchema(
        {"anyOf": [{"enum": ["auto", "unlimited"]}, {"type": "string", "pattern": rates.PATTERN}]}
    ),
]


def _metadata_text(value: object) -> object:
    if not isinstance(value, str):
        raise NotTextError("a metadata value is text: put it in quotes")
    if len(value) > METADATA_VALUE_LENGTH:
        raise ValueError(
            f"a metadata value has at most {METADATA_VALUE_LENGTH} characters, this one "
            f"{len(value)}: it would match nothing"
        )
    return value


def _metadata_key(value: str) -> str:
    if not 0 < len(value) <= METADATA_KEY_LENGTH:
        raise ValueError(
            f"a metadata key has 1 to {METADATA_KEY_LENGTH} characters, this one {len(value)}: "
            "it would match nothing"
        )
    return value


MetadataText = Annotated[
    str,
    BeforeValidator(_metadata_text),
    WithJsonSchema({"type": "string", "maxLength": METADATA_VALUE_LENGTH}),
]
MetadataKey = Annotated[str, AfterValidator(_metadata_key)]


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            "a name has 1 to 64 letters, digits, `.`, `_` or `-`, and begins and ends with a "
            "letter or digit"
        )
    return value


Name = Annotated[str, AfterValidator(_name)]


def _variable(value: str) -> str:
    if not VARIABLE.fullmatch(value):
        raise ValueError("`env` names an environment variable: letters, digits and `_`")
    return value


def without_nul(value: str) -> str:
    """The text, which may name a file; else ValueError."""
    if "\0" in value:
        raise ValueError("a NUL character cannot stand here; remove it")
    return value


class SecretForm(Form):
    """Where a secret is kept: exactly one of the three."""

    env: Annotated[str, AfterValidator(_variable)] | None = None
    file: Annotated[str, Field(min_length=1), AfterValidator(without_nul)] | None = None
    credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")] | None = None


def _no_inline_secret(value: object) -> object:
    if value != "":
        raise ValueError(
            "a secret must not stand in the file: write {env: NAME}, {file: PATH} or "
            '{credential: NAME} ("" for a server without keys)'
        )
    return value


SecretField = Annotated[
    Annotated[SecretForm, Tag("<mapping>")]
    | Annotated[
        str,
        BeforeValidator(_no_inline_secret),
        WithJsonSchema({"const": ""}),
        Tag("<value>"),
    ],
    Discriminator(lambda value: "<mapping>" if branch(value) == "<mapping>" else "<value>"),
]


def web_address(value: str) -> SplitResult:
    """The parts of an https or http address with a host and no credential; else ValueError."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this is no web address: write https://HOST/PATH") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("this is no web address: write https://HOST/PATH")
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.username is not None or any(CREDENTIAL_NAME.search(name) for name in names):
        raise ValueError("a secret must not stand in an address: use `api_key`")
    return parts


def holds_secret(query: str) -> bool:
    """Whether a parameter of a database's address holds a secret; a `passfile` only names one."""
    names = (name for name, value in parse_qsl(query) if value)  # an empty one is none
    return any(SECRET_PARAMETER.search(name) for name in names)


def is_loopback(host: str) -> bool:
    """Whether a host's name is this machine's own, without asking any resolver."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _address(value: str) -> str:
    web_address(value)
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


def _public_pairs(pairs: dict[str, Any]) -> dict[str, Any]:
    if any(CREDENTIAL_NAME.search(name) for name in pairs):
        raise ValueError("a secret must not stand in the file: the credential goes to `api_key`")
    return pairs


PublicPairs = Annotated[dict[str, str], AfterValidator(_public_pairs)]
