"""The registry's metadata filter, and rewriting stored metadata when it changes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import orjson
from sqlalchemy import Connection, or_, select, update

from janitor.errors import ConfigError
from janitor.model import Key, Metadata
from janitor.policy import codec, policies_digest
from janitor.policy.stored_metadata import OPEN, MetadataFilter
from janitor.registry.database import PAGE, SCREEN, Store, relabel, set_meta, spelled, write
from janitor.registry.mapping import Values, key_of, rows_of
from janitor.registry.tables import APPROVAL, HOLD, INBOX, LABEL, THREAD
from janitor.registry.threads import KEY, beyond

SIDES = ("reported", "upstream", "reported_before")


class StoredMetadata:
    """Changes the metadata filter: refuses one that ends a protection, rewrites what is stored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def require(self, wanted: MetadataFilter | None) -> None:
        """Check, for a reader, that metadata is stored as configured."""
        recorded, over = self._recorded_screen()
        if wanted is None:
            self._screen_as_recorded(recorded)
        elif spelled(wanted) != recorded or not over:
            raise ConfigError(
                f"{self._store.name} stores metadata under another `registry: {{keys, hash}}` "
                "than is configured: run `janitor db upgrade` to convert it, then try again"
            )
        else:
            self._store.screen = wanted

    def take(self, wanted: MetadataFilter | None) -> None:
        """Apply the filter, for a writer; a pass that a crash interrupted is repeated."""
        recorded, over = self._recorded_screen()
        if wanted is None:
            self._screen_as_recorded(recorded)
            return
        self._store.screen = wanted
        if spelled(wanted) == recorded and over:
            return
        self._require_sight(wanted, recorded)
        self._record_screen()
        after: Key | None = None
        while after := self._screen_page(after):
            pass
        self._screen_rest()
        self._store.database.scrub()

    def _recorded_screen(self) -> tuple[str, bool]:
        document = orjson.loads(self._store.meta(SCREEN) or "null")
        return (spelled(OPEN), True) if document is None else (document["screen"], document["over"])

    def _record_screen(self) -> None:
        with self._store.writing_alone() as connection:
            set_meta(connection, SCREEN, self._record(over=False))

    def _record(self, *, over: bool) -> str:
        return orjson.dumps({"screen": spelled(self._store.screen), "over": over}).decode()

    def _screen_as_recorded(self, recorded: str) -> None:
        document = orjson.loads(recorded)
        keys = None if document["keys"] is None else frozenset(document["keys"])
        self._store.screen = None if document["hash"] else MetadataFilter(keys)

    def _require_sight(self, wanted: MetadataFilter, recorded: str) -> None:
        """Refuses if something protects by a value that could then no longer be matched."""
        document = orjson.loads(recorded)
        with self._store.reading() as connection:
            lost = {
                key for key in document["hash"] if wanted.keeps(key) and not wanted.is_hashed(key)
            }
            if found := _hashed_keys(connection, lost):
                raise ConfigError(
                    f"{self._store.name} contains hashes of {found}, which cannot be reversed: "
                    "keep it in `registry.hash`, or remove it from `registry.keys`"
                )
            changed = document["key"] and wanted.hashed and document["key"] != wanted.fingerprint
            if changed and (found := _hashed_keys(connection, document["hash"])):
                raise ConfigError(
                    f"registry.hash_key is not the one that {self._store.name} used to hash "
                    f"{found}: holds and policies would match nothing. Restore the old key, or "
                    "remove that from `registry.keys`"
                )
            _require_holds(connection, wanted, self._store.database.now(connection))
            _require_approved(connection, wanted)

    def _screen_page(self, after: Key | None) -> Key | None:
        """Filters the next page of rows; returns its last key, `None` if there was none."""
        known = or_(*(THREAD.c[side].is_not(None) for side in SIDES))
        page = select(THREAD).where(known)
        if after is not None:
            page = page.where(beyond(after))
        with self._store.writing_alone() as connection:
            found = connection.execute(page.order_by(*KEY).limit(PAGE).with_for_update())
            rows = list(rows_of(found))
            changes = [(row, row | self._sides(row)) for row in rows]
            relabel(connection, changes)
            write(connection, SIDES, [row for before, row in changes if before != row])
        return key_of(rows[-1]) if rows else None

    def _sides(self, row: Values) -> Values:
        return {side: self._let_in(row[side]) for side in SIDES}

    def _let_in(self, metadata: Metadata | None) -> Metadata | None:
        return None if metadata is None else self._store.screen.metadata(metadata)

    def _screen_rest(self) -> None:
        """Filters holds and approvals, drops the metadata of drained inbox rows, ends the pass.

        Whoever keeps the holds that it has read sees by the end of the pass that labels changed.
        """
        with self._store.writing_alone() as connection:
            for row in connection.execute(select(HOLD.c.number, HOLD.c.labels)).all():
                labels = self._let_in(row.labels)
                if labels != row.labels:
                    at = HOLD.c.number == row.number
                    connection.execute(update(HOLD).where(at).values(labels=labels))
            for row in connection.execute(select(APPROVAL.c.number, APPROVAL.c.document)).all():
                if (values := _screened_document(self._store.screen, row.document)) is not None:
                    at = APPROVAL.c.number == row.number
                    connection.execute(update(APPROVAL).where(at).values(values))
            connection.execute(
                update(INBOX).where(INBOX.c.drained_at.is_not(None)).values(metadata=None)
            )
            set_meta(connection, SCREEN, self._record(over=True))


def _hashed_keys(connection: Connection, keys: Collection[str]) -> str:
    """The names of those keys that have stored hashes, separated by commas."""
    hashed = (LABEL.c.key.in_(sorted(keys)), LABEL.c.value.like("hmac:%"))
    found = connection.scalars(select(LABEL.c.key).where(*hashed).distinct())
    return ", ".join(sorted(found))


def _require_holds(connection: Connection, wanted: MetadataFilter, now: datetime) -> None:
    unended = or_(HOLD.c.until.is_(None), HOLD.c.until > now)
    held = select(HOLD.c.name, HOLD.c.labels).where(HOLD.c.released_at.is_(None), unended)
    for name, labels in connection.execute(held):
        for key in labels or {}:
            if not wanted.keeps(key):
                raise ConfigError(
                    f"the hold {name!r} selects by metadata {key!r}, which is not in "
                    "`registry.keys`: it would hold nothing. Add the key, or release the hold"
                )


def _require_approved(connection: Connection, wanted: MetadataFilter) -> None:
    newest = select(APPROVAL.c.document).order_by(APPROVAL.c.number.desc()).limit(1)
    stored = connection.scalar(newest)
    try:
        blind = [] if stored is None else sorted(wanted.unanswerable(codec.load(stored)))
    except ValueError:
        return  # of another version: nothing is removed until other policies are approved
    if blind:
        raise ConfigError(
            f"the policies approved last select by {', '.join(blind)}, which could no longer be "
            "matched under these `registry: {keys, hash}`: change the policies first, let a "
            "sweep approve that, then change what is stored"
        )


def _screened_document(wanted: MetadataFilter, text: str) -> Values | None:
    """An approval's policies with values as they are stored; `None` if nothing changes."""
    try:
        before = codec.load(text)
    except ValueError:
        return None
    after = wanted.policies(before)
    if after == before:
        return None
    return {"document": codec.dump(after), "digest": policies_digest(after)}
