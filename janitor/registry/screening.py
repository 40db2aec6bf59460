"""What the registry keeps of metadata, and bringing what it holds under other words for that."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import orjson
from sqlalchemy import Connection, or_, select, update

from janitor.errors import ConfigError
from janitor.model import Key, Metadata
from janitor.policy import document, policies_digest
from janitor.policy.screen import OPEN, Screen
from janitor.registry.reading import KEY, beyond
from janitor.registry.rows import Values, key_of, rows_of
from janitor.registry.store import PAGE, SCREEN, Store, spelled, write
from janitor.registry.tables import APPROVAL, HOLD, INBOX, LABEL, THREAD

SIDES = ("reported", "upstream", "reported_before")


class Screening(Store):
    """Takes a screen on: refuses one that would blind a protection, passes over what is stored."""

    def _require_screen(self, wanted: Screen | None) -> None:
        """For who only reads: what is stored must be what the configuration speaks of."""
        recorded, over = self._recorded_screen()
        if wanted is None:
            self._screen_as_recorded(recorded)
        elif spelled(wanted) != recorded or not over:
            raise ConfigError(
                f"{self._database.name} holds metadata by another `registry: {{keys, hash}}` than "
                "is configured: run `janitor db upgrade`, which brings it over, then ask again"
            )
        else:
            self._screen = wanted

    def _take_screen(self, wanted: Screen | None) -> None:
        """For who writes; a pass that a crash cut short is done again."""
        recorded, over = self._recorded_screen()
        if wanted is None:
            self._screen_as_recorded(recorded)
            return
        self._screen = wanted
        if spelled(wanted) == recorded and over:
            return
        self._require_sight(wanted, recorded)
        self._record_screen(over=False)
        after: Key | None = None
        while after := self._screen_page(after):
            pass
        self._screen_rest()
        self._record_screen(over=True)
        self._database.scrub()

    def _recorded_screen(self) -> tuple[str, bool]:
        said = orjson.loads(self._meta(SCREEN) or "null")
        return (spelled(OPEN), True) if said is None else (said["screen"], said["over"])

    def _record_screen(self, *, over: bool) -> None:
        said = orjson.dumps({"screen": spelled(self.screen), "over": over}).decode()
        with self._writing_alone() as connection:
            self._set_meta(connection, SCREEN, said)

    def _screen_as_recorded(self, recorded: str) -> None:
        said = orjson.loads(recorded)
        keys = None if said["keys"] is None else frozenset(said["keys"])
        self._screen = None if said["hash"] else Screen(keys)

    def _require_sight(self, wanted: Screen, recorded: str) -> None:
        """Refuses where something protects by a value that could then no longer be told."""
        said = orjson.loads(recorded)
        with self._reading() as connection:
            lost = {key for key in said["hash"] if wanted.keeps(key) and not wanted.hides(key)}
            if found := _hashed_keys(connection, lost):
                raise ConfigError(
                    f"{self._database.name} holds hashes of {found}, which cannot be turned back: "
                    "leave it in `registry.hash`, or out of `registry.keys`"
                )
            changed = said["key"] and wanted.hashed and said["key"] != wanted.fingerprint
            if changed and (found := _hashed_keys(connection, said["hash"])):
                raise ConfigError(
                    f"registry.hash_key is not the one under which {self._database.name} holds "
                    f"hashes of {found}: holds and policies would match nothing. Give the old key "
                    "back, or leave that out of `registry.keys`"
                )
            _require_holds(connection, wanted, self._database.now(connection))
            _require_approved(connection, wanted)

    def _screen_page(self, after: Key | None) -> Key | None:
        """Screen the next page of rows; the last key of it, `None` where there was none."""
        known = or_(*(THREAD.c[side].is_not(None) for side in SIDES))
        page = select(THREAD).where(known)
        if after is not None:
            page = page.where(beyond(after))
        with self._writing_alone() as connection:
            found = connection.execute(page.order_by(*KEY).limit(PAGE).with_for_update())
            rows = list(rows_of(found))
            changes = [(row, row | self._sides(row)) for row in rows]
            self._relabel(connection, changes)
            write(connection, SIDES, [row for before, row in changes if before != row])
        return key_of(rows[-1]) if rows else None

    def _sides(self, row: Values) -> Values:
        return {side: self._let_in(row[side]) for side in SIDES}

    def _let_in(self, said: Metadata | None) -> Metadata | None:
        return None if said is None else self.screen.metadata(said)

    def _screen_rest(self) -> None:
        """Screen holds and approvals, and drop what drained rows of the inbox said."""
        with self._writing_alone() as connection:
            for row in connection.execute(select(HOLD.c.number, HOLD.c.labels)).all():
                labels = self._let_in(row.labels)
                if labels != row.labels:
                    at = HOLD.c.number == row.number
                    connection.execute(update(HOLD).where(at).values(labels=labels))
            for row in connection.execute(select(APPROVAL.c.number, APPROVAL.c.document)).all():
                if (said := _screened_document(self.screen, row.document)) is not None:
                    at = APPROVAL.c.number == row.number
                    connection.execute(update(APPROVAL).where(at).values(said))
            connection.execute(
                update(INBOX).where(INBOX.c.drained_at.is_not(None)).values(metadata=None)
            )


def _hashed_keys(connection: Connection, keys: Collection[str]) -> str:
    """Those of the keys of which hashes are stored, told by name."""
    hashed = (LABEL.c.key.in_(sorted(keys)), LABEL.c.value.like("hmac:%"))
    found = connection.scalars(select(LABEL.c.key).where(*hashed).distinct())
    return ", ".join(sorted(found))


def _require_holds(connection: Connection, wanted: Screen, now: datetime) -> None:
    unended = or_(HOLD.c.until.is_(None), HOLD.c.until > now)
    held = select(HOLD.c.name, HOLD.c.labels).where(HOLD.c.released_at.is_(None), unended)
    for name, labels in connection.execute(held):
        for key in labels or {}:
            if not wanted.keeps(key):
                raise ConfigError(
                    f"the hold {name!r} is by metadata {key!r}, which `registry.keys` leaves out: "
                    "it would hold nothing. Add the key, or release the hold"
                )


def _require_approved(connection: Connection, wanted: Screen) -> None:
    newest = select(APPROVAL.c.document).order_by(APPROVAL.c.number.desc()).limit(1)
    said = connection.scalar(newest)
    try:
        blind = [] if said is None else sorted(wanted.blind(document.load(said)))
    except ValueError:
        return  # of another version: nothing is removed until other policies are approved
    if blind:
        raise ConfigError(
            f"the policies approved last ask for metadata that {', '.join(blind)} could no longer "
            "be told by under these `registry: {keys, hash}`: change the policies first, let that "
            "be approved by a sweep, then change what is kept"
        )


def _screened_document(wanted: Screen, text: str) -> Values | None:
    """An approval's policies by values as they are stored; `None` where nothing changes."""
    try:
        before = document.load(text)
    except ValueError:
        return None
    after = wanted.policies(before)
    if after == before:
        return None
    return {"document": document.dump(after), "digest": policies_digest(after)}
