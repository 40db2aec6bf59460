"""What a table's columns seem to be: a guess from names and samples, for a person to correct.

Apart from the id, which may be found by its values, only columns with well-known names are ever
proposed, so that no text of a conversation gets in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from janitor.errors import ConfigError
from janitor.kinds import CATALOGUE, Kind, kind_of
from janitor.sources.watermark import mark_of

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
    **{name: kind for kind, trait in CATALOGUE.items() for name in trait.column_names},
    "openai_id": None,
    "external_id": None,
    "id": None,
}
PREFIXES = ", ".join(f"{one}..." for trait in CATALOGUE.values() for one in trait.prefixes)


def _named(bare: str, verbs: str, ends: str) -> tuple[str, ...]:
    """Column names, likeliest first: verbs with an ending, verbs with a prefix, `bare` ones."""
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
    """A column, and some of its values if they may be read.

    `samples` leaves out nulls, `nulls` counts them.
    """

    name: str
    sort: Sort
    nullable: bool = True
    samples: tuple[object, ...] = ()
    nulls: int = 0

    @property
    def spelled(self) -> str:
        """The name in its well-known spelling: `userId`, `UserID` and `userid` are `user_id`."""
        return _SPELLED.get(_squeezed(self.name), self.name.lower())

    @property
    def texts(self) -> tuple[str, ...]:
        """The samples as text, without the padding of a fixed-width column."""
        return tuple(str(value).strip(" ") for value in self.samples)

    @property
    def is_padded(self) -> bool:
        """Whether its values are padded with blanks, as in a `char(40)` column."""
        found = [value for value in self.samples if isinstance(value, str)]
        return any(value != value.strip(" ") for value in found)


def may_be_looked_into(name: str, sort: Sort) -> bool:
    """Whether a column's values may be read for the guess: not if they may be conversation text."""
    if PLAIN.fullmatch(name) is None or sort is Sort.OTHER:
        return False
    spelled = Column(name, sort).spelled
    return spelled in _KNOWN or (sort is Sort.TEXT and CONTENT.search(name) is None)


def _squeezed(name: str) -> str:
    return name.replace("_", "").lower()


_KNOWN = frozenset((*LABELS, *IDS, *CREATED, *ACTIVE, *CHANGED, "kind"))
_SPELLED = {_squeezed(name): name for name in _KNOWN}


ALIKE = "it is the first of them and their rows look alike"
USUAL = "it has the more usual name"


@dataclass(frozen=True, slots=True)
class Measure:
    """A criterion to compare columns by: the lower `of` wins, and `why` explains that for two."""

    of: Callable[[Column], int]
    why: Callable[[Column, Column], str]


def fewer_nulls(taken: Column, other: Column) -> str:
    """Say that one column has fewer nulls than the other."""
    return f"it has fewer NULLs ({taken.nulls} against {other.nulls})"


NULLS = Measure(lambda one: one.nulls, fewer_nulls)
NEVER_SET = Measure(lambda one: 0 if one.samples else one.nulls, fewer_nulls)


def usual(names: Sequence[str]) -> Measure:
    """Compares by the position of the name in a list that starts with the likeliest."""
    return Measure(
        lambda one: names.index(one.spelled) if one.spelled in names else len(names),
        lambda *_: USUAL,
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """The column chosen for `role`, the others that could be it, and the criteria of the choice.

    `to` is its name in the query; `None` for the watermark, which keeps its own name.
    """

    role: str
    to: str | None
    taken: Column
    others: tuple[Column, ...]
    by: tuple[Measure, ...]

    @property
    def notes(self) -> Iterator[str]:
        """A sentence for each other column."""
        for other in self.others:
            both = f"`{self.taken.name}` and `{other.name}` could both be {self.role}"
            yield f"{both}: `{self.taken.name}` is taken, {self._why(other)}"

    def _why(self, other: Column) -> str:
        for measure in self.by:
            if measure.of(self.taken) != measure.of(other):
                return measure.why(self.taken, other)
        return ALIKE


def choose(
    role: str, to: str | None, able: Sequence[Column], by: tuple[Measure, ...]
) -> Choice | None:
    """The best of the `able` columns, the first in the table on a tie; `None` if there are none."""
    ranked = sorted(able, key=lambda one: [measure.of(one) for measure in by])
    return Choice(role, to, ranked[0], tuple(ranked[1:]), by) if ranked else None


@dataclass(frozen=True, slots=True)
class SourceProposal:
    """Which column is used for what, and sentences that say why and what is missing.

    `kind` is a column, `literal_kind` one kind for all rows; neither is set if the ids name it.
    `others` are columns that could be read instead, and as what (`None`: as the watermark).
    """

    id: Column
    kind: Column | None = None
    literal_kind: Kind | None = None
    created_at: Column | None = None
    last_active_at: Column | None = None
    watermark: Column | None = None
    metadata: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    others: tuple[tuple[str | None, Column], ...] = ()

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


def propose(table: str, columns: Sequence[Column]) -> SourceProposal:
    """What the columns of a table seem to be.

    Raises:
        ConfigError: No column seems to hold the ids of conversations, threads or sessions.
    """
    able = [one for one in columns if may_be_looked_into(one.name, one.sort)]
    ids, why = _id(table, able)
    others = [one for one in able if one is not ids.taken]
    kinds = [one for one in others if one.spelled == "kind" and _are_kinds(one)]
    kind = choose("the kind", "kind", kinds, (NULLS,))
    literal, told = (None, None) if kind is not None else _literal(ids.taken)
    created = _time("created_at", others, CREATED)
    active = _time("last_active_at", others, ACTIVE)
    changed = _watermark(others)
    labels = [label for name in LABELS if (label := _label(name, others)) is not None]
    choices = [one for one in (ids, kind, created, active, changed, *labels) if one is not None]
    trimmed = [one.taken for one in (ids, kind, *labels) if one is not None and one.taken.is_padded]
    padded = [f"`{one.name}` is padded with blanks, which are trimmed" for one in trimmed]
    doubts = [note for one in choices for note in one.notes]
    missing = _missing(created, active, changed)
    return SourceProposal(
        ids.taken,
        _taken(kind),
        literal,
        _taken(created),
        _taken(active),
        _taken(changed),
        tuple(one.taken for one in labels),
        tuple(note for note in (why, told, *doubts, *missing, *padded) if note),
        tuple((one.to, other) for one in choices for other in one.others),
    )


def _taken(choice: Choice | None) -> Column | None:
    return None if choice is None else choice.taken


def _label(name: str, columns: Sequence[Column]) -> Choice | None:
    to = f"metadata.{name}"
    return choose(to, to, [one for one in columns if one.spelled == name], (NULLS,))


LOOKS = Measure(
    lambda one: 0 if _all_named(one) else 1 if _mostly_named(one) else 2,
    lambda *_: "more of its values look like ids",
)
NAMES = usual(tuple(IDS))
IS_NAMED = Measure(lambda one: int(one.spelled not in IDS), NAMES.why)
BY = (LOOKS, IS_NAMED, NULLS, NAMES)


def _id(table: str, able: Sequence[Column]) -> tuple[Choice, str]:
    """The column of ids: by what its values look like, else by its name."""
    fit = [one for one in able if one.sort is Sort.TEXT or (one.spelled in IDS and _is_read(one))]
    like = [one for one in fit if _all_named(one) or _mostly_named(one)]
    if best := choose("the id", "id", like, BY):
        alike = [one for one in fit if one.spelled == best.taken.spelled and one not in like]
        found = choose("the id", "id", [*like, *alike], BY) or best
        one = found.taken
        listed = " and ".join(sorted(str(kind) for kind in _kinds(one) - {None}))
        some = "" if _all_named(one) else "most of "
        why = f"`{one.name}` is taken for the id: {some}its values look like ids of {listed}"
        return found, why
    by_name = [one for one in fit if one.spelled in IDS and one.spelled != "id"]
    usual_first = min(by_name, key=NAMES.of, default=None)
    same = [one for one in by_name if usual_first and one.spelled == usual_first.spelled]
    if chosen := choose("the id", "id", same, BY):
        name = chosen.taken.name
        return chosen, f"`{name}` is taken for the id by its name alone: check the rows"
    raise ConfigError(
        f"table {table}: no column seems to hold the ids of conversations, threads or "
        f"sessions at the API ({PREFIXES}); name the table that does, or "
        "write the source by hand"
    )


def _is_read(column: Column) -> bool:
    return column.sort is not Sort.NUMBER


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
    """The kind to write into the query if not all of the ids name theirs, and a note about it.

    The prefixes of the ids count for more than the column's name.
    """
    kinds, kind = _kinds(id) - {None}, IDS.get(id.spelled)
    if _all_named(id):
        return None, None
    if kinds - {kind}:
        return None, f"only ids that name their kind are registered; not all of `{id.name}` do"
    if kind is None:
        return (
            None,
            f"the ids do not name their kind: add for example '{next(iter(CATALOGUE))}' AS kind",
        )
    return kind, f"all are taken for {kind}, by the name `{id.name}`: correct it if that is wrong"


def _times(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    return [one for one in columns if one.spelled in names and _is_time(one)]


def _time(to: str, columns: Sequence[Column], names: Sequence[str]) -> Choice | None:
    """The column with one of these names and times as values: the one with the fewest nulls."""
    return choose(to, to, _times(columns, names), (NULLS, usual(names)))


def _is_time(column: Column) -> bool:
    """Whether most values are times; an odd one, such as `-infinity`, only affects its own row."""
    if not column.samples:
        return column.sort is Sort.TIME
    times = [value for value in column.samples if mark_of(value) is not None]
    return len(times) * 2 > len(column.samples)


def _watermark(columns: Sequence[Column]) -> Choice | None:
    """The column that shows what changed: with times in one format, which the database can order.

    A row whose watermark is null is read each time, but a change that the column does not show is
    not read. So the name counts for more than a few nulls.
    """
    by = (NEVER_SET, usual(CHANGED))
    found = choose("the watermark", None, _times(columns, CHANGED), by)
    marks = [] if found is None else [mark_of(value) for value in found.taken.samples]
    layouts = {mark.layout for mark in marks if mark is not None}
    return found if len(layouts) <= 1 else None


def _missing(
    created: Choice | None, active: Choice | None, changed: Choice | None
) -> Iterator[str]:
    """What no column shows, and what follows from that."""
    if created is None:
        yield "no column tells when a row was created: janitor asks the server"
    if active is None:
        yield (
            "no column records when a thread was last used (a changed row does not show that), so "
            "janitor asks the server"
        )
    if changed is None:
        yield "no column tells what changed: each sync reads the whole table"
