"""The one table that applications append to, and taking what they said into the registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    Connection,
    RowMapping,
    Update,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from janitor.errors import ConfigError, JanitorError
from janitor.model import LIVE, Key
from janitor.policy.screen import Screen
from janitor.registry.entries import NAMED, Drained, Notice, Registration
from janitor.registry.notices import LONGEST, Gone, judge
from janitor.registry.registration import Registering
from janitor.registry.rows import Values
from janitor.registry.store import BATCH, batches, write
from janitor.registry.tables import INBOX, REFUSED, UNDRAINED

KEPT_FOR = timedelta(days=30)
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
"""No janitor drained anything before."""
AHEAD = timedelta(days=1)
"""As far as the clock of another janitor may be ahead."""
Verdict = Registration | Gone | str

_DRAINED = (
    update(INBOX)
    .where(INBOX.c.seq == bindparam("b_seq"))
    .values(drained_at=bindparam("at_"), refused=bindparam("why"))
)
# What a screen keeps out of the registry must not stay in the inbox for its 30 days.
_DRAINED_AND_EMPTIED = _DRAINED.values(metadata=None)


class Inbox(Registering):
    """What applications append, and its way into the registry."""

    def append(self, notices: Iterable[Notice]) -> int:
        """Appends notices as they are; how many. They are judged when they are drained."""
        appended = 0
        for batch in batches(notices):
            with self._writing() as connection:
                self._fence_screen(connection)
                rows = [_row_of(notice, self.screen) for notice in batch]
                connection.execute(insert(INBOX), rows)
            appended += len(batch)
        return appended

    def undrained(self) -> int:
        """How many notices wait."""
        with self._reading() as connection:
            waiting = select(func.count()).select_from(INBOX).where(text(UNDRAINED))
            return int(connection.scalar(waiting) or 0)

    def refused(self) -> int:
        """How many notices of the last 30 days could not be believed."""
        with self._reading() as connection:
            found = select(func.count()).select_from(INBOX).where(text(REFUSED))
            return int(connection.scalar(found) or 0)

    def refused_rows(self, limit: int) -> list[int]:
        """The numbers of the first of these."""
        with self._reading() as connection:
            found = select(INBOX.c.seq).where(text(REFUSED)).order_by(INBOX.c.seq).limit(limit)
            return list(connection.scalars(found))

    def doubted(self) -> dict[int, str]:
        """Why which of the next 500 that wait will be refused, by their numbers; a mere look."""
        with self._reading() as connection:
            return _told(*self._judged_page(connection))

    def drain(self, now: datetime) -> Drained:
        """Takes every waiting notice into the registry.

        A notice adds a thread, dates its activity, keeps it longer or adds metadata; it overwrites
        nothing. That the application deleted one brings a known thread up for review, no more. A
        notice that cannot be believed is kept with the reason. All are kept for 30 days, without
        their metadata where the registry does not keep all of it in the clear. One that nobody
        foresaw is refused as well, but where all that wait fail alike, the failure is raised: then
        it is not for a notice to answer for it.
        """
        drained_at, drained = INBOX.c.drained_at, Drained()
        strange = or_(drained_at < SINCE, drained_at > now + AHEAD)
        with self._writing() as connection:
            # A mark that an application wrote itself ('' or 0, say) drains nothing.
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
        """Take what waits row by row, and refuse those that fail; raises `error` where all do."""
        waiting = select(INBOX.c.seq).where(text(UNDRAINED)).order_by(INBOX.c.seq).limit(BATCH)
        with self._reading() as connection:
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
        with self._writing_alone() as connection:
            marks = [{"b_seq": number, "at_": now, "why": why} for number in numbers]
            connection.execute(self._drained, marks)
        return Drained(len(numbers), len(numbers), f"row {numbers[0]}: {why}", fault=error)

    @property
    def _drained(self) -> Update:
        return _DRAINED if self.screen.is_open else _DRAINED_AND_EMPTIED

    def _drain_rows(self, now: datetime, number: int | None = None) -> Drained:
        with self._writing_alone() as connection:
            rows, verdicts = self._judged_page(connection, number)
            refused = _told(rows, verdicts)
            said = [verdict for verdict in verdicts if isinstance(verdict, Registration)]
            self._take_in(connection, said, now)
            self._bring_up(connection, [v.key for v in verdicts if isinstance(v, Gone)], now)
            if rows:
                connection.execute(self._drained, _marks(rows, verdicts, now))
        odd = [f"{one.key.id}: {', '.join(one.remarks)}" for one in said if one.remarks]
        why = next((f"row {number}: {reason}" for number, reason in refused.items()), None)
        return Drained(len(rows), len(refused), why, len(odd), tuple(odd[:NAMED]))

    def _judged_page(
        self, connection: Connection, number: int | None = None
    ) -> tuple[Sequence[RowMapping], list[Verdict]]:
        """The next rows that wait, or that one, as bytes; and what each stands for."""
        raw = (
            func.substr(self._database.bytes_of(INBOX.c[name]), 1, longest + 1).label(name)
            for name, longest in LONGEST.items()
        )
        waiting = select(INBOX.c.seq, *raw).where(text(UNDRAINED))
        if number is not None:
            waiting = waiting.where(INBOX.c.seq == number)
        rows = connection.execute(waiting.order_by(INBOX.c.seq).limit(BATCH)).mappings().all()
        return rows, [judge(dict(row)) for row in rows]

    def _take_in(self, connection: Connection, said: Sequence[Registration], now: datetime) -> None:
        # A mere report of activity must not bring a known thread up for review.
        touches = [(s.key, s.last_active_at) for s in said if _is_touch(s)]
        known = self._rows(connection, (key for key, _ in touches))
        new = [s for s in said if not (_is_touch(s) and s.key in known)]
        self._register(connection, new, now, adds_only=True)
        self._touch(connection, [(key, at) for key, at in touches if key in known and at])

    def _bring_up(self, connection: Connection, keys: Sequence[Key], now: datetime) -> None:
        """Has known threads looked at by the next sweep."""
        rows = self._rows(connection, keys).values()
        later = [r for r in rows if r["review_at"] is None or r["review_at"] > now]
        living = [r for r in later if r["state"] in LIVE]
        write(connection, ("review_at",), [r | {"review_at": now} for r in living])


def _is_touch(said: Registration) -> bool:
    return said == Registration(said.key, last_active_at=said.last_active_at)


def _told(rows: Sequence[RowMapping], verdicts: Sequence[Verdict]) -> dict[int, str]:
    """Why which rows are refused, by their numbers."""
    pairs = zip(rows, verdicts, strict=True)
    return {row["seq"]: verdict for row, verdict in pairs if isinstance(verdict, str)}


def _marks(rows: Sequence[RowMapping], verdicts: Sequence[Verdict], now: datetime) -> list[Values]:
    return [
        {
            "b_seq": row["seq"],
            "at_": now,
            "why": verdict if isinstance(verdict, str) else None,
        }
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def _row_of(notice: Notice, screen: Screen) -> Values:
    if notice.at.utcoffset() is None:
        raise ConfigError("a notice's time has no time zone")
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


def _let_in(said: Mapping[str, object], screen: Screen) -> Values:
    # What is no text is refused when it is drained, as untrusted as it arrived.
    texts = {key: value for key, value in said.items() if isinstance(value, str)}
    rest = {key: value for key, value in said.items() if key not in texts and screen.keeps(key)}
    return {**rest, **screen.metadata(texts)}
