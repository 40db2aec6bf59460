"""What a table's columns seem to be: a guess for a person to read, made from names and samples.

Only columns of well-known names are ever proposed, so that no text of a conversation gets in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from janitor.catalogue import kind_of
from janitor.errors import ConfigError
from janitor.model import Kind
from janitor.sources.watermarks import mark_of

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
CONTENT = re.compile(
    r"title|content|body|message|text|prompt|answer|reply|summary|subject|description|note|comment"
    r"|transcript|payload|data|json|blob|secret|token|password|hash|email|phone|address|name",
    re.IGNORECASE,
)
LABELS = (
    *("user_id", "session_id", "conversation_type", "plan", "tenant_id", "tenant", "account_id"),
    *("organization_id", "org_id", "workspace_id", "team_id", "customer_id", "department"),
    *("channel", "tier", "locale", "region"),
)
IDS: Mapping[str, Kind | None] = {
    "conversation_id": Kind.CONVERSATION,
    "openai_conversation_id": Kind.CONVERSATION,
    "thread_id": Kind.THREAD,
    "openai_thread_id": Kind.THREAD,
    "assistant_thread_id": Kind.THREAD,
    "chatkit_thread_id": Kind.CHATKIT_THREAD,
    "agent_session_id": Kind.AGENT_SESSION,
    "session_id": Kind.AGENT_SESSION,
    "openai_id": None,
    "external_id": None,
    "id": None,
}


def _named(bare: str, verbs: str, ends: str) -> tuple[str, ...]:
    """Column names, the likeliest first: verbs with an end behind or before them, `bare` ones."""
    behind = [f"{verb}_{end}" for verb in verbs.split() for end in ends.split()]
    before = [f"{end}_{verb}" for verb in verbs.split() for end in FIRST]
    return tuple(dict.fromkeys([*behind, *before, *bare.split()]))


FIRST = ("date", "time", "datetime", "timestamp", "dt", "ts", "gmt")
ENDS = "at on time date datetime timestamp ts dt utc at_utc on_utc date_utc time_utc"
CREATED = _named(
    "created creation started",
    "created create creation inserted insert added add started start",
    ENDS,
)
ACTIVE = _named(
    "last_activity last_active last_used last_seen",
    "last_active last_message last_activity last_used last_seen last_interaction last_response "
    "last_reply last_turn last_accessed latest_message latest_activity",
    ENDS,
)
CHANGED = _named(
    "updated modified last_updated last_modified last_update changed",
    "updated modified changed last_updated last_modified last_changed last_update update "
    "modification row_updated edited",
    ENDS,
)


class Sort(StrEnum):
    """What a column's type holds, as far as it matters here."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and some of its values where it may be looked into; null ones are left out."""

    name: str
    sort: Sort
    nullable: bool = True
    samples: tuple[object, ...] = ()

    @property
    def spelled(self) -> str:
        """The name as tables of names have it: `userId`, `UserID` and `userid` are `user_id`."""
        return _SPELLED.get(_squeezed(self.name), self.name.lower())

    @property
    def texts(self) -> tuple[str, ...]:
        """The samples as text, without the blanks that a column of fixed width ends in."""
        return tuple(str(value).strip(" ") for value in self.samples)

    @property
    def is_padded(self) -> bool:
        """Whether blanks surround its values, as `char(40)` has it."""
        found = [value for value in self.samples if isinstance(value, str)]
        return any(value != value.strip(" ") for value in found)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Which column stands for what, and the sentences that say why and what is missing.

    `kind` is a column, `literal_kind` one word for all rows; neither where the ids name it.
    """

    id: Column
    kind: Column | None = None
    literal_kind: Kind | None = None
    created_at: Column | None = None
    last_active_at: Column | None = None
    watermark: Column | None = None
    metadata: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[tuple[str, str]]:
        """What is read, in order: the name in the table, and the name in the registry."""
        return [(one.name, to) for to, one in self.read]

    @property
    def read(self) -> list[tuple[str, Column]]:
        """What is read, in order: each name in the registry, and its column."""
        named = (("kind", self.kind), ("created_at", self.created_at))
        later = ("last_active_at", self.last_active_at)
        read = [("id", self.id), *((to, one) for to, one in (*named, later) if one is not None)]
        read += [(f"metadata.{one.spelled}", one) for one in self.metadata]
        if self.watermark is not None:
            read.append((self.watermark.name, self.watermark))
        return read


def may_be_looked_into(name: str, sort: Sort) -> bool:
    """Whether a column's values may be read for the guess: not where they may be text."""
    if PLAIN.fullmatch(name) is None or sort is Sort.OTHER:
        return False
    spelled = Column(name, sort).spelled
    return spelled in _KNOWN or (sort is Sort.TEXT and CONTENT.search(name) is None)


def _squeezed(name: str) -> str:
    return name.replace("_", "").lower()


_KNOWN = frozenset((*LABELS, *IDS, *CREATED, *ACTIVE, *CHANGED, "kind"))
_SPELLED = {_squeezed(name): name for name in _KNOWN}


def propose(table: str, columns: Sequence[Column]) -> Proposal:
    """What the columns of a table seem to be.

    Raises:
        ConfigError: No column seems to hold the ids of conversations, threads or sessions.
    """
    able = [one for one in columns if may_be_looked_into(one.name, one.sort)]
    found, why = _id(table, able)
    others = [one for one in able if one is not found]
    kind = next((one for one in others if one.spelled == "kind" and _are_kinds(one)), None)
    literal, told = (None, None) if kind is not None else _literal(found)
    created, active = _time(others, CREATED), _time(others, ACTIVE)
    changed = _watermark(others)
    labels = {one.spelled: one for one in others if one.spelled in LABELS}
    trimmed = [one for one in (found, kind, *labels.values()) if one is not None and one.is_padded]
    padded = [f"`{one.name}` is padded with blanks, which are trimmed" for one in trimmed]
    return Proposal(
        found,
        kind,
        literal,
        created,
        active,
        changed,
        tuple(labels[name] for name in LABELS if name in labels),
        tuple(note for note in (why, told, *_missing(created, active, changed), *padded) if note),
    )


def _id(table: str, able: Sequence[Column]) -> tuple[Column, str]:
    """The column of ids: by what its values look like, else by its name."""
    named = {one.spelled: one for one in able if one.sort is not Sort.NUMBER}
    ranked = [named[name] for name in IDS if name in named]
    ranked += [one for one in able if one.sort is Sort.TEXT and one not in ranked]
    for one in [*filter(_all_named, ranked), *filter(_mostly_named, ranked)]:
        listed = " and ".join(sorted(str(kind) for kind in _kinds(one) - {None}))
        some = "" if _all_named(one) else "most of "
        return one, f"`{one.name}` is taken for the id: {some}its values look like ids of {listed}"
    by_name = next((one for one in ranked if one.spelled in IDS and one.spelled != "id"), None)
    if by_name is None:
        raise ConfigError(
            f"table {table}: no column seems to hold the ids of conversations, threads or "
            "sessions at the API (conv_..., thread_..., cthr_...); name the table that does, or "
            "write the source by hand"
        )
    return by_name, f"`{by_name.name}` is taken for the id by its name alone: look at the rows"


def _are_kinds(column: Column) -> bool:
    return bool(column.samples) and set(column.texts) <= set(Kind)


def _kinds(column: Column) -> set[Kind | None]:
    return {kind_of(text) for text in column.texts}


def _all_named(column: Column) -> bool:
    return bool(column.samples) and None not in _kinds(column)


def _mostly_named(column: Column) -> bool:
    named = [text for text in column.texts if kind_of(text) is not None]
    return len(named) * 2 > len(column.texts)


def _literal(id: Column) -> tuple[Kind | None, str | None]:
    """The kind to write into the query where the ids do not all name one.

    What their prefixes say goes before the column's name.
    """
    said, kind = _kinds(id) - {None}, IDS.get(id.spelled)
    if _all_named(id):
        return None, None
    if said - {kind}:
        return None, f"only ids that name their kind are taken, not all of `{id.name}` do"
    if kind is None:
        return None, "the ids do not name their kind: add for example 'conversation' AS kind"
    return kind, f"all are taken for {kind}, by the name `{id.name}`: correct it if they are not"


def _time(columns: Sequence[Column], names: Sequence[str]) -> Column | None:
    """The first of these names whose values are times."""
    named = {one.spelled: one for one in columns if _is_time(one)}
    return next((named[name] for name in names if name in named), None)


def _is_time(column: Column) -> bool:
    """Whether it holds times; single odd values, such as `-infinity`, concern their rows alone."""
    if not column.samples:
        return column.sort is Sort.TIME
    times = [value for value in column.samples if mark_of(value) is not None]
    return len(times) * 2 > len(column.samples)


def _watermark(columns: Sequence[Column]) -> Column | None:
    """The column that tells what changed: one spelling, which the database puts in order."""
    found = _time(columns, CHANGED)
    marks = [] if found is None else [mark_of(value) for value in found.samples]
    layouts = {mark.layout for mark in marks if mark is not None}
    return found if len(layouts) <= 1 else None


def _missing(
    created: Column | None, active: Column | None, changed: Column | None
) -> Iterator[str]:
    """What no column tells, and what follows from that."""
    if created is None:
        yield "no column tells when a row was created: the server is asked"
    if active is None:
        yield "no column tells when it was last used, and a row's change does not: the server does"
    if changed is None:
        yield "no column tells what changed: each sync reads the whole table"
