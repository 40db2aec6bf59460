"""The values that fields accept (durations, rates, addresses, secrets), and how each is refused.

A number without a unit is refused, and so is a month (28 to 31 days, and `M` could mean minutes):
what is deleted because of a misread unit cannot be restored. In a rate, 300 a second and 300 an
hour are far apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from itertools import pairwise
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

from janitor.addresses import LIBPQ, NUL, Parameter, holds_nul, is_host, wrong_parameter
from janitor.kinds import METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH

DURATION_EXAMPLES = (
    "use a number and a unit, such as 90s, 30m, 24h, 30d, 2w, 1y, 3d12h, P30D or PT1H"
)

UNITS = {
    "y": timedelta(days=365),
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}

MOST_DIGITS = 12
LONGEST = timedelta(days=365 * 1000)

DURATION_PATTERN = r"^([0-9]+[ywdhms])+$|^P([0-9]+[YWD])*(T([0-9]+[HMS])+)?$"

_PART = re.compile(r"([0-9]+)([a-z])")
_PLAIN = re.compile(r"(?:[0-9]+[ywdhms])+")
_ISO = re.compile(r"P((?:[0-9]+[YWD])*)((?:T(?:[0-9]+[HMS])+)?)")
_MONTHS = re.compile(r"[0-9]+(?:M|mo|mon|months?)|P[0-9YWD]*[0-9]+M.*")


def parse_duration(value: object) -> timedelta:
    """The duration that a text means; units go from long to short, each at most once.

    Raises ValueError, saying what to write, for anything else: a bare number, a month, zero, a
    negative or fractional amount, more than a thousand years.
    """
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        what = "a duration" if number else "a duration is text and"
        raise ValueError(f"{what} needs a unit: {DURATION_EXAMPLES}")  # noqa: TRY004 - it is one answer
    return _in_bounds(value, sum(_parts(value), timedelta()))


def format_duration(value: timedelta) -> str:
    """The shortest spelling in days and smaller units, which `parse_duration` reads back.

    Microseconds, which no configuration can spell, are dropped.
    """
    left, parts = value, []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _parts(text: str) -> list[timedelta]:
    spelled = _PART.findall(_lowered(text))
    units = [unit for _, unit in spelled]
    order = list(UNITS)
    if any(order.index(one) >= order.index(next_) for one, next_ in pairwise(units)):
        raise ValueError(f"write each unit at most once, from long to short: {DURATION_EXAMPLES}")
    if any(len(count) > MOST_DIGITS for count, _ in spelled):
        raise ValueError("the duration is longer than a thousand years")
    return [_times(int(count), UNITS[unit]) for count, unit in spelled]


def _lowered(text: str) -> str:
    if _MONTHS.fullmatch(text):
        raise ValueError("a month has no fixed length, and M could mean minutes: write 30d or 30m")
    if _PLAIN.fullmatch(text):
        return text
    iso = _ISO.fullmatch(text)
    if iso is None or not any(iso.groups()):
        raise ValueError(f"not a duration: {DURATION_EXAMPLES}")
    return "".join(iso.groups()).replace("T", "").lower()


def _times(count: int, unit: timedelta) -> timedelta:
    return min(count, LONGEST // unit + 1) * unit


def _in_bounds(text: str, value: timedelta) -> timedelta:
    if not value:
        raise ValueError(f"`{text}` is zero: a duration must be longer than zero")
    if value > LONGEST:
        raise ValueError("the duration is longer than a thousand years")
    return value


Rate = float | Literal["auto", "unlimited"]

RATE_EXAMPLES = "write auto, unlimited or a rate such as 5/s, 300/min or 1000/h"
RATE_PATTERN = r"^[1-9][0-9]{0,8}/(s|min|h)$"
PER_MINUTE = {"s": 60.0, "min": 1.0, "h": 1 / 60}

_SPELLED = re.compile(RATE_PATTERN)


def parse_rate(value: object) -> Rate:
    """Calls a minute, `auto` or `unlimited`; for anything else, ValueError says what to write."""
    if value == "auto" or value == "unlimited":  # noqa: PLR1714 - keeps the words' own types
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"a rate needs a unit: {RATE_EXAMPLES}")  # noqa: TRY004
    if not isinstance(value, str) or not (found := _SPELLED.fullmatch(value)):
        raise ValueError(f"not a rate: {RATE_EXAMPLES}")
    return int(value.partition("/")[0]) * PER_MINUTE[found[1]]


def format_rate(rate: Rate) -> str:
    """The rate as a person writes it, in the unit in which it is a whole number."""
    if isinstance(rate, str):
        return rate
    if rate % PER_MINUTE["s"] == 0:
        return f"{rate / PER_MINUTE['s']:.0f}/s"
    return f"{rate:.0f}/min" if rate.is_integer() else f"{rate / PER_MINUTE['h']:.0f}/h"


NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET_PARAMETER = re.compile(r"passw|pwd|secret|token", re.IGNORECASE)
CREDENTIAL_NAME = re.compile(r"(?i)(?:^|[-_])(?:authorization|key|token|secret|password|cookie)$")


class Form(BaseModel):
    """A mapping of the file: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


BRANCHES = frozenset({"<mapping>", "<list>", "<value>"})


class NotTextError(ValueError):
    """A value that would be right if it were in quotes."""


def branch(value: object) -> str:
    """Which shape of a union a value has, so that its refusals are about that shape only."""
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


_DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN}

Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]

DurationOrForever = Annotated[
    timedelta | Literal["forever"],
    BeforeValidator(_duration_or_forever),
    WithJsonSchema({"anyOf": [{"const": "forever"}, _DURATION_SCHEMA]}),
]


RateField = Annotated[
    Rate,
    BeforeValidator(parse_rate),
    WithJsonSchema(
        {"anyOf": [{"enum": ["auto", "unlimited"]}, {"type": "string", "pattern": RATE_PATTERN}]}
    ),
]


def _metadata_text(value: object) -> object:
    if not isinstance(value, str):
        raise NotTextError("a metadata value must be text: put it in quotes")
    if len(value) > METADATA_VALUE_LENGTH:
        raise ValueError(
            f"a metadata value has at most {METADATA_VALUE_LENGTH} characters; this one has "
            f"{len(value)} and would match nothing"
        )
    return value


def _metadata_key(value: str) -> str:
    if not 0 < len(value) <= METADATA_KEY_LENGTH:
        raise ValueError(
            f"a metadata key has 1 to {METADATA_KEY_LENGTH} characters; this one has {len(value)} "
            "and would match nothing"
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
    """The text; ValueError if it contains a NUL character, which no file name can."""
    if "\0" in value:
        raise ValueError("contains a NUL character; remove it")
    return value


ONE_KEEPER = "write exactly one of env, file and credential"


class SecretForm(Form):
    """Where a secret is kept: exactly one of the three, which `has_one_keeper` tells."""

    env: Annotated[str, AfterValidator(_variable)] | None = None
    file: Annotated[str, Field(min_length=1), AfterValidator(without_nul)] | None = None
    credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")] | None = None

    @property
    def has_one_keeper(self) -> bool:
        """Whether exactly one of the three is given."""
        return sum(where is not None for where in (self.env, self.file, self.credential)) == 1


def _no_inline_secret(value: object) -> object:
    if value != "":
        raise ValueError(
            "secrets do not belong in this file: write {env: NAME}, {file: PATH} or "
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
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a web address: write https://HOST/PATH") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("not a web address: write https://HOST/PATH")
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.username is not None or any(CREDENTIAL_NAME.search(name) for name in names):
        raise ValueError("secrets do not belong in an address: use `api_key`")
    if port == 0 or not is_host(host):
        raise ValueError("invalid host name or port: write https://HOST/PATH")
    return parts


def holds_secret(query: str) -> bool:
    """Whether a parameter of a database's address holds a secret; a `passfile` only names one."""
    names = (name for name, value in parse_qsl(query) if value)  # an empty value is no secret
    return any(SECRET_PARAMETER.search(name) for name in names)


def database_address(value: str) -> str:
    """The address of a database; ValueError if it contains a NUL, even as `%00`."""
    if holds_nul(value):
        raise ValueError(NUL)
    return value


def refuse_wrong_parameters(query: str, known: Mapping[str, Parameter] = LIBPQ) -> None:
    """Raise ValueError if a database's address has a parameter that its engine does not accept."""
    if wrong := wrong_parameter(parse_qsl(query, keep_blank_values=True), known):
        raise ValueError(wrong)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback, without asking any resolver."""
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
        raise ValueError("secrets do not belong in this file: the credential goes in `api_key`")
    return pairs


PublicPairs = Annotated[dict[str, str], AfterValidator(_public_pairs)]
