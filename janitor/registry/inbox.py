"""The inbox: the table that applications append to, and draining it into the registry.

An application may have written anything that the engine accepts: the year 20000, broken JSON, bytes
that are not text. Rows are therefore read as bytes; one that cannot be parsed is refused and does
not hold up the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    text,
    update,
)

from janitor.errors import ConfigError, JanitorError
from janitor.model import LIVE, NOTICE_VERSION, Key, Kind, Metadata, NoticeEvent
from janitor.policy.stored_metadata import MetadataFilter
from janitor.registry.database import BATCH, Store, batches, find_rows, write
from janitor.registry.mapping import Values
from janitor.registry.prepared import Prepared
from janitor.registry.records import NAMED, Drained, InboxNotice, Registration
from janitor.registry.registrations import RefusedRegistration, Registrations, check
from janitor.registry.tables import INBOX, REFUSED, UNDRAINED
from janitor.texts import TwiceError, is_text, parsed
from janitor.times import Heard, heard, heard_until

LONGEST: Mapping[str, int] = {
    "v": 10,
    "project": 200,
    "kind": 20,
    "id": 200,
    "event": 10,
    "at": 40,
    "created_at": 40,
    "keep_until": 40,
    "metadata": 1 << 19,
}
"""The columns, and how many bytes each may have; at most one byte more is read."""

VERSION = str(NOTICE_VERSION)
EVENTS = frozenset(NoticeEvent)
UNREADABLE = "unreadable"
"""Replaces a `keep_until` that is too long or not text: the thread is kept forever."""

RawRow = Mapping[str, bytes | None]
Texts = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class DeletedByApplication:
    """The application reports that it deleted this container itself."""

    key: Key


def judge(row: RawRow) -> Registration | DeletedByApplication | str:
    """What a row reports, or why it is refused; quotes no value."""
    try:
        read = _read(row)
        check(Registration(read.key) if isinstance(read, DeletedByApplication) else read)
    except RefusedRegistration as error:
        return str(error)
    return read


def _read(raw: RawRow) -> Registration | DeletedByApplication:
    row = {name: _text(name, raw[name]) for name in LONGEST}
    if row["v"] != VERSION or row["event"] not in EVENTS:
        raise RefusedRegistration("unknown version or event")
    key = Key(row["project"] or "", _kind(row["kind"]), row["id"] or "")
    if row["event"] == NoticeEvent.DELETED:
        return DeletedByApplication(key)
    created, active = _time(row, "created_at"), _time(row, "at")
    kept = heard_until("keep_until", row["keep_until"])
    return Registration(
        key,
        created_at=created.at,
        last_active_at=active.at,
        keep_until=kept.at,
        metadata=_metadata(row["metadata"]),
        remarks=tuple(filter(None, (created.remark, active.remark, kept.remark))),
    )


def _text(name: str, data: bytes | None) -> str | None:
    if data is None:
        return None
    if len(data) > LONGEST[name]:
        why = f"{name} is longer than {LONGEST[name]} bytes"
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            why = f"{name} is not UTF-8"
        else:
            if is_text(text):
                return text
            why = f"{name} contains a NUL"
    if name == "keep_until":
        return UNREADABLE
    raise RefusedRegistration(why)


def _kind(named: str | None) -> Kind:
    try:
        return Kind(named or "")
    except ValueError:
        raise RefusedRegistration(f"unknown kind; kinds: {', '.join(Kind)}") from None


def _time(row: Texts, name: str) -> Heard:
    try:
        return heard(name, row[name])
    except ValueError as error:
        raise RefusedRegistration(str(error)) from None


def _metadata(text: str | None) -> Metadata | None:
    if text is None:
        return None
    try:
        document = orjson.loads(text)  # the stricter parser of the two
        parsed(text)
    except TwiceError as error:
        raise RefusedRegistration(f"metadata: {error}") from None
    except (ValueError, RecursionError):
        raise RefusedRegistration("metadata is not JSON") from None
    if document is not None and not isinstance(document, dict):
        raise RefusedRegistration("metadata is not a map")
    return document


KEPT_FOR = timedelta(days=30)
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
"""No row was drained before this date."""
AHEAD = timedelta(days=1)
"""How far the clock of another janitor may be ahead."""
FAR = 2**62
"""Counting never reaches this number: an application wrote it."""
_HIGHEST = text(
    "SELECT coalesce(max(seq), 0) FROM "
    "(SELECT seq FROM sqlite_sequence WHERE name = 'janitor_inbox' "
    "UNION ALL SELECT max(seq) FROM janitor_inbox)"
)
_COUNT_ON = text("UPDATE sqlite_sequence SET seq = :last WHERE name = 'janitor_inbox'")
Verdict = Registration | DeletedByApplication | str

_MARK = (
    update(INBOX)
    .where(INBOX.c.seq == bindparam("b_seq"))
    .values(drained_at=bindparam("at_"), refused=bindparam("why"))
)
_DRAINED = Prepared(_MARK, "b_seq", "why")
# Metadata that the filter keeps out of the registry must not stay in the inbox for 30 days.
_DRAINED_AND_EMPTIED = Prepared(_MARK.values(metadata=null()), "b_seq", "why")


class Inbox:
    """Appends notices, and drains them into the registry."""

    def __init__(self, store: Store, registrations: Registrations) -> None:
        self._store = store
        self._registrations = registrations

    def append(self, notices: Iterable[InboxNotice]) -> int:
        """Appends notices, with filtered metadata, and returns how many; draining checks them."""
        appended = 0
        for batch in batches(notices):
            with self._store.writing() as connection:
                self._store.fence_screen(connection)
                _leave_numbers(connection)
                rows = [_row_of(notice, self._store.screen) for notice in batch]
                connection.execute(insert(INBOX), rows)
            appended += len(batch)
        return appended

    def undrained(self) -> int:
        """How many notices are waiting."""
        with self._store.reading() as connection:
            waiting = select(func.count()).select_from(INBOX).where(text(UNDRAINED))
            return int(connection.scalar(waiting) or 0)

    def refused(self) -> int:
        """How many notices of the last 30 days were refused."""
        with self._store.reading() as connection:
            found = select(func.count()).select_from(INBOX).where(text(REFUSED))
            return int(connection.scalar(found) or 0)

    def refused_rows(self, limit: int) -> list[int]:
        """The row numbers of the first refused notices."""
        with self._store.reading() as connection:
            found = select(INBOX.c.seq).where(text(REFUSED)).order_by(INBOX.c.seq).limit(limit)
            return list(connection.scalars(found))

    def doubted(self) -> dict[int, str]:
        """Which of the next 500 rows will be refused and why, by row number; changes nothing."""
        with self._store.reading() as connection:
            return _told(*self._judged_page(connection))

    def drain(self, now: datetime) -> Drained:
        """Takes every waiting notice into the registry.

        A notice adds a thread, dates its activity, keeps it longer or adds metadata; it overwrites
        nothing. A notice that the application deleted a container only brings a known thread up
        for review. A refused notice is kept with the reason. All notices are kept for 30 days,
        without their metadata unless the registry stores all of it in the clear. A notice that
        fails unexpectedly is refused too, but if several are waiting and all of them fail, the
        error is raised: then no single notice is to blame.
        """
        drained_at, drained = INBOX.c.drained_at, Drained()
        strange = or_(drained_at < SINCE, drained_at > now + AHEAD)
        with self._store.writing() as connection:
            _leave_numbers(connection)
            # A `drained_at` that an application wrote itself ('' or 0, say) does not count.
            connection.execute(update(INBOX).where(strange).values(drained_at=None))
            connection.execute(delete(INBOX).where(drained_at < now - KEPT_FOR))
        while (page := self._drain_page(now)).judged:
            drained += page
        return drained

    def _drain_page(self, now: datetime) -> Drained:
        try:
            return self._drain_rows(now)
        except JanitorError:
            raise
        except Exception as error:  # noqa: BLE001 - one row must not hold up the others
            return self._drain_singly(now, error)

    def _drain_singly(self, now: datetime, error: Exception) -> Drained:
        """Drains row by row and refuses rows that fail; raises `error` if all of several do."""
        waiting = select(INBOX.c.seq).where(text(UNDRAINED)).order_by(INBOX.c.seq).limit(BATCH)
        with self._store.reading() as connection:
            numbers = connection.scalars(waiting).all()
        drained, odd = Drained(), []
        for number in numbers:
            try:
                drained += self._drain_rows(now, number)
            except JanitorError:
                raise
            except Exception:  # noqa: BLE001 - likewise
                odd.append(number)
        if len(odd) == len(numbers) > 1:
            raise error
        return drained + self._refuse(odd, now, error)

    def _refuse(self, numbers: Sequence[int], now: datetime, error: Exception) -> Drained:
        if not numbers:
            return Drained()
        why = f"unexpected {type(error).__name__}"
        with self._store.writing_alone() as connection:
            self._drained.execute(connection, [(number, why) for number in numbers], at_=now)
        return Drained(len(numbers), len(numbers), f"row {numbers[0]}: {why}", fault=error)

    @property
    def _drained(self) -> Prepared:
        return _DRAINED if self._store.screen.is_open else _DRAINED_AND_EMPTIED

    def _drain_rows(self, now: datetime, number: int | None = None) -> Drained:
        with self._store.writing_alone() as connection:
            rows, verdicts = self._judged_page(connection, number)
            refused = _told(rows, verdicts)
            registrations = [verdict for verdict in verdicts if isinstance(verdict, Registration)]
            self._take_in(connection, registrations, now)
            self._bring_up(
                connection, [v.key for v in verdicts if isinstance(v, DeletedByApplication)], now
            )
            self._drained.execute(connection, _marks(rows, verdicts), at_=now)
        odd = [f"{one.key.id}: {', '.join(one.remarks)}" for one in registrations if one.remarks]
        why = next((f"row {number}: {reason}" for number, reason in refused.items()), None)
        return Drained(len(rows), len(refused), why, len(odd), tuple(odd[:NAMED]))

    def _judged_page(
        self, connection: Connection, number: int | None = None
    ) -> tuple[list[int], list[Verdict]]:
        """The numbers of the next waiting rows, or of only that one, and the verdict on each."""
        raw = (
            func.substr(self._store.database.bytes_of(INBOX.c[name]), 1, longest + 1).label(name)
            for name, longest in LONGEST.items()
        )
        waiting = select(INBOX.c.seq, *raw).where(text(UNDRAINED))
        if number is not None:
            waiting = waiting.where(INBOX.c.seq == number)
        rows = connection.execute(waiting.order_by(INBOX.c.seq).limit(BATCH)).all()
        verdicts = [judge(dict(zip(LONGEST, row[1:], strict=True))) for row in rows]
        return [row.seq for row in rows], verdicts

    def _take_in(
        self, connection: Connection, registrations: Sequence[Registration], now: datetime
    ) -> None:
        # A mere report of activity must not bring a known thread up for review.
        touches = [(s.key, s.last_active_at) for s in registrations if _is_touch(s)]
        known = find_rows(connection, (key for key, _ in touches))
        new = [s for s in registrations if not (_is_touch(s) and s.key in known)]
        self._registrations.merge(connection, new, now, adds_only=True)
        dated = [(key, at) for key, at in touches if key in known and at]
        self._registrations.merge_touches(connection, dated)

    def _bring_up(self, connection: Connection, keys: Sequence[Key], now: datetime) -> None:
        """Brings known threads up for review by the next sweep."""
        rows = find_rows(connection, keys).values()
        later = [r for r in rows if r["review_at"] is None or r["review_at"] > now]
        living = [r for r in later if r["state"] in LIVE]
        write(connection, ("review_at",), [r | {"review_at": now} for r in living])


def _leave_numbers(connection: Connection) -> None:
    """Renumbers rows whose numbers are so high that SQLite has no next one to assign.

    SQLite counts on from the highest number ever used. Without this nobody could append any more:
    "database or disk is full".
    """
    if connection.dialect.name != "sqlite" or connection.scalar(_HIGHEST) < FAR:
        return
    before = select(func.max(INBOX.c.seq)).where(INBOX.c.seq < FAR)
    last = max(connection.scalar(before) or 0, 0)
    far = connection.scalars(select(INBOX.c.seq).where(INBOX.c.seq >= FAR).order_by(INBOX.c.seq))
    for number, seq in enumerate(far.all(), last + 1):
        connection.execute(update(INBOX).where(INBOX.c.seq == seq).values(seq=number))
        last = number
    connection.execute(_COUNT_ON, {"last": last})


def _is_touch(registration: Registration) -> bool:
    if registration.created_at is not None or registration.metadata is not None:
        return False  # decides most rows without the comparison below
    return registration == Registration(
        registration.key, last_active_at=registration.last_active_at
    )


def _told(numbers: Sequence[int], verdicts: Sequence[Verdict]) -> dict[int, str]:
    """Which rows are refused and why, by row number."""
    pairs = zip(numbers, verdicts, strict=True)
    return {number: verdict for number, verdict in pairs if isinstance(verdict, str)}


def _marks(numbers: Sequence[int], verdicts: Sequence[Verdict]) -> Iterator[tuple[int, str | None]]:
    reasons = (verdict if isinstance(verdict, str) else None for verdict in verdicts)
    return zip(numbers, reasons, strict=True)


def _row_of(notice: InboxNotice, screen: MetadataFilter) -> Values:
    if notice.at.utcoffset() is None:
        raise ConfigError("a notice's time needs a time zone")
    return {
        "v": notice.v,
        "project": notice.project,
        "kind": notice.kind,
        "id": notice.id,
        "at": notice.at,
        "event": notice.event,
        "created_at": notice.created_at,
        "metadata": None if notice.metadata is None else _let_in(notice.metadata, screen),
        "keep_until": notice.keep_until,
    }


def _let_in(values: Mapping[str, object], screen: MetadataFilter) -> Values:
    # Values that are not text stay as they arrived: draining refuses them.
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    rest = {key: value for key, value in values.items() if key not in texts and screen.keeps(key)}
    return {**rest, **screen.metadata(texts)}
