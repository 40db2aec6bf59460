"""The audit trail: runs, their events, and the chain of digests over both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from string import hexdigits
from uuid import uuid4

import orjson
from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from janitor.errors import StoreError
from janitor.model import Key, Outcome, Stage
from janitor.registry.database import PAGE, Store, read_meta, set_meta
from janitor.registry.mapping import Values
from janitor.registry.records import Event, Note, RunRecord, RunResult
from janitor.registry.tables import EVENT, RUN, TOTAL

# A run that a limit stopped is complete: otherwise waiting alone would lift the limit.
COMPLETE = (RunResult.DONE, RunResult.LIMITED)
SWEEPS = ("sweep", "serve")

_LAST = "last_closed_run"


class Runs:
    """Runs and what happened in them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, command: str, mode: str, policies_digest: str, now: datetime) -> RunRecord:
        """Opens a run under a new id; StoreError if the registry has been replaced meanwhile."""
        self._store.check_in_place()
        run = RunRecord(uuid4().hex, command, now, mode, policies_digest)
        row = {
            "id": run.id,
            "command": command,
            "mode": mode,
            "policies_digest": policies_digest,
            "started_at": now,
        }
        with self._store.writing_alone() as connection:
            connection.execute(insert(RUN), row)
        self._store.last_run = run.id
        return run

    def current_sweep(self) -> RunRecord | None:
        """The open sweep, whether its janitors are alive or dead; `None` if there is none."""
        opened = (RUN.c.closed_at.is_(None), RUN.c.command.in_(SWEEPS))
        newest = select(RUN).where(*opened).order_by(RUN.c.number.desc()).limit(1)
        with self._store.reading() as connection:
            row = connection.execute(newest).mappings().first()
            return None if row is None else _record_of(row)

    def mark_ready(self, run: str, tripped: Sequence[Note], now: datetime) -> RunRecord:
        """Lets other janitors join a sweep; `tripped` are the limits exceeded at its start."""
        ready = {"ready_at": now, "tripped": [dict(one) for one in tripped]}
        with self._store.writing_alone() as connection:
            connection.execute(update(RUN).where(RUN.c.id == run).values(ready))
            return _record_of(_row(connection, run))

    def note_stop(self, run: str, stop: Note) -> None:
        """Records a stop for all janitors that work on the run; a closed run is left alone."""
        with self._store.writing_alone() as connection:
            row = _row(connection, run)
            if row["closed_at"] is None:
                stops = [*(row["stops"] or ()), dict(stop)]
                connection.execute(update(RUN).where(RUN.c.id == run).values(stops=stops))

    def close(self, run: str, result: RunResult, now: datetime) -> RunRecord:
        """Closes a run: counts its events and chains its digest to the run closed before.

        A run that is already closed is returned as it is; StoreError for an unknown run.
        """
        with self._store.writing_alone() as connection:
            row = _row(connection, run)
            if row["closed_at"] is not None:
                return _record_of(row)
            last = connection.execute(_closed().limit(1)).mappings().first()
            closing = {
                "closed_at": now,
                "result": result,
                "counts": self._count(connection, run),
                "link": 1 if last is None else last["link"] + 1,
                "previous": None if last is None else last["digest"],
            }
            connection.execute(update(RUN).where(RUN.c.id == run).values(closing))
            digest = _digest(connection, _row(connection, run))
            connection.execute(update(RUN).where(RUN.c.id == run).values(digest=digest))
            set_meta(connection, _LAST, f"{run} {digest}")
            return _record_of(_row(connection, run))

    def _count(self, connection: Connection, run: str) -> dict[str, int]:
        group = (func.coalesce(EVENT.c.policy, ""), EVENT.c.stage, EVENT.c.outcome)
        carried_out = (EVENT.c.run == run, EVENT.c.stage.is_not(None), EVENT.c.outcome.is_not(None))
        rows = connection.execute(
            select(*group, func.count()).where(*carried_out).group_by(*group)
        ).all()
        for policy, stage, outcome, n in rows:
            place = (TOTAL.c.policy == policy, TOTAL.c.stage == stage, TOTAL.c.outcome == outcome)
            if connection.execute(update(TOTAL).where(*place).values(n=TOTAL.c.n + n)).rowcount:
                continue
            row = {"policy": policy, "stage": stage, "outcome": outcome, "n": n}
            connection.execute(insert(TOTAL), row)
        counts = {f"{policy}/{stage}/{outcome}": n for policy, stage, outcome, n in rows}
        kept = (EVENT.c.run == run, EVENT.c.outcome == Outcome.KEPT, EVENT.c.reason.is_not(None))
        reasons = select(EVENT.c.reason, func.count()).where(*kept).group_by(EVENT.c.reason)
        return counts | {f"kept/{reason}": n for reason, n in connection.execute(reasons)}

    def get(self, id: str) -> RunRecord | None:
        """The run with that id, or `None`."""
        with self._store.reading() as connection:
            row = connection.execute(select(RUN).where(RUN.c.id == id)).mappings().first()
            return None if row is None else _record_of(row)

    def has(self, command: str) -> bool:
        """Whether there was ever a run of this command."""
        found = select(RUN.c.number).where(RUN.c.command == command).limit(1)
        with self._store.reading() as connection:
            return connection.scalar(found) is not None

    def like(self, prefix: str, limit: int = 2) -> list[RunRecord]:
        """The first runs, by id, whose id begins with `prefix`; uses the index of ids."""
        if not prefix or not set(prefix) <= set(hexdigits.lower()):
            return []
        like = select(RUN).where(RUN.c.id >= prefix, RUN.c.id < prefix + "g")
        with self._store.reading() as connection:
            rows = connection.execute(like.order_by(RUN.c.id).limit(limit)).mappings()
            return [_record_of(row) for row in rows]

    def newest(self, limit: int = 100) -> list[RunRecord]:
        """The most recent runs, newest first, including open ones."""
        with self._store.reading() as connection:
            rows = connection.execute(select(RUN).order_by(RUN.c.number.desc()).limit(limit))
            return [_record_of(row) for row in rows.mappings()]

    def unclosed(self) -> list[RunRecord]:
        """Runs that are still open or whose janitor died, oldest first."""
        unclosed = select(RUN).where(RUN.c.closed_at.is_(None)).order_by(RUN.c.number)
        with self._store.reading() as connection:
            return [_record_of(row) for row in connection.execute(unclosed).mappings()]

    def last_completed(self, now: datetime) -> datetime | None:
        """When the last complete sweep was closed, at or before `now`; `None` if there is none."""
        complete = (
            RUN.c.result.in_(COMPLETE),
            RUN.c.command.in_(SWEEPS),
            RUN.c.closed_at <= now,
        )
        with self._store.reading() as connection:
            at = connection.scalar(
                select(RUN.c.closed_at).where(*complete).order_by(RUN.c.closed_at.desc()).limit(1)
            )
            return at if isinstance(at, datetime) else None

    def events(self, run: str) -> Iterator[Event]:
        """A run's events in the order they were written, streaming."""
        last = 0
        while page := self._event_page(run, last):
            yield from (_event_of(row) for row in page)
            last = page[-1]["number"]

    def _event_page(self, run: str, after: int) -> list[RowMapping]:
        with self._store.reading() as connection:
            return list(_lines(connection, run, after))

    def record(self, events: Sequence[Event]) -> None:
        """Appends events that change no thread."""
        with self._store.writing() as connection:
            record_events(connection, events)

    def history(self, key: Key) -> list[Event]:
        """Everything that ever happened to a thread, oldest first."""
        its_own = (EVENT.c.id == key.id, EVENT.c.project == key.project, EVENT.c.kind == key.kind)
        with self._store.reading() as connection:
            rows = connection.execute(select(EVENT).where(*its_own).order_by(EVENT.c.number))
            return [_event_of(row) for row in rows.mappings()]

    def totals(self) -> Mapping[tuple[str, Stage, Outcome], int]:
        """What all closed runs did, by policy (`''`: none), stage and outcome; only ever grows."""
        with self._store.reading() as connection:
            rows = connection.execute(select(TOTAL))
            return {(policy, stage, outcome): n for policy, stage, outcome, n in rows}

    def first_broken(self) -> str | None:
        """The id of the first closed run whose record does not match its digest or the one before.

        The run closed last is also recorded separately, so that its absence is noticed.
        """
        run, previous = "", None
        with self._store.reading() as connection:
            chain = select(RUN.c.id).where(RUN.c.link.is_not(None)).order_by(RUN.c.link)
            for run in connection.scalars(chain).all():
                row = _row(connection, run)
                if row["previous"] != previous or row["digest"] != _digest(connection, row):
                    return str(run)
                previous = row["digest"]
            last = read_meta(connection, _LAST)
            at_end = None if previous is None else f"{run} {previous}"
            return None if last == at_end else (last or run).split()[0]


def record_events(connection: Connection, events: Sequence[Event]) -> None:
    """Appends events, in the transaction that makes the changes they record."""
    if events:
        connection.execute(insert(EVENT), [_line(event) for event in events])


def _line(event: Event) -> Values:
    return {
        "run": event.run,
        "at": event.at,
        "project": event.key.project,
        "kind": event.key.kind,
        "id": event.key.id,
        "name": event.name,
        "stage": event.stage,
        "outcome": event.outcome,
        "policy": event.policy,
        "reason": event.reason,
        "response_id": event.response_id,
    }


def _closed() -> Select[tuple[object, ...]]:
    return select(RUN).where(RUN.c.link.is_not(None)).order_by(RUN.c.link.desc())


def _row(connection: Connection, run: str) -> RowMapping:
    row = connection.execute(select(RUN).where(RUN.c.id == run)).mappings().first()
    if row is None:
        raise StoreError(f"no run {run}: see `janitor runs`")
    return row


def _lines(connection: Connection, run: str, after: int) -> Iterator[RowMapping]:
    page = select(EVENT).where(EVENT.c.run == run, EVENT.c.number > after)
    yield from connection.execute(page.order_by(EVENT.c.number).limit(PAGE)).mappings()


def _digest(connection: Connection, row: RowMapping) -> str:
    chained = {name: value for name, value in row.items() if name not in ("number", "digest")}
    sha = hashlib.sha256(_canonical(chained))
    last = 0
    while page := list(_lines(connection, row["id"], last)):
        for line in page:
            sha.update(_canonical({k: v for k, v in line.items() if k != "number"}))
        last = page[-1]["number"]
    return sha.hexdigest()


def _canonical(fields: dict[str, object]) -> bytes:
    document = {
        name: value.astimezone(UTC) if isinstance(value, datetime) else value
        for name, value in fields.items()
    }
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _record_of(row: RowMapping) -> RunRecord:
    return RunRecord(
        id=row["id"],
        command=row["command"],
        started_at=row["started_at"],
        mode=row["mode"],
        policies_digest=row["policies_digest"],
        closed_at=row["closed_at"],
        result=row["result"],
        counts=row["counts"] or {},
        digest=row["digest"],
        previous=row["previous"],
        ready_at=row["ready_at"],
        tripped=tuple(row["tripped"] or ()),
        stops=tuple(row["stops"] or ()),
    )


def _event_of(row: RowMapping) -> Event:
    return Event(
        run=row["run"],
        at=row["at"],
        key=Key(row["project"], row["kind"], row["id"]),
        name=row["name"],
        stage=row["stage"],
        outcome=row["outcome"],
        policy=row["policy"],
        reason=row["reason"],
        response_id=row["response_id"],
    )
