"""How the values of an application's database enter: one that cannot be read costs its row alone.

Drivers fail with the whole page over one value. Here text that is none stays bytes, and a time that
no calendar holds stays text; whoever takes in a row judges them there.
"""

from __future__ import annotations

from sqlalchemy import Connection

WITHOUT_CODEC = {"EUC_TW", "MULE_INTERNAL"}


def text_or_bytes(data: bytes) -> str | bytes:
    """The text of a database that takes any bytes for it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def ascii_or_bytes(data: bytes) -> str | bytes:
    """What a driver could not read, as it came."""
    return data.decode() if data.isascii() else data


def encoding_of(connection: Connection) -> str:
    """The encoding in which PostgreSQL is asked for text.

    It is the database's own, as the server fails with the query over a character that it cannot
    convert. Text of a database that has none, `SQL_ASCII`, is taken for UTF-8 row by row.
    """
    import psycopg  # noqa: PLC0415  an extra

    raw = connection.connection.driver_connection
    own = (
        raw.info.parameter_status("server_encoding")
        if isinstance(raw, psycopg.Connection)
        else None
    )
    return "UTF8" if own is None or own in WITHOUT_CODEC else own


def read_each_value(connection: Connection) -> None:
    """Have PostgreSQL's driver never fail with a page over one value, whatever its type."""
    import psycopg  # noqa: PLC0415  an extra
    from psycopg import abc, adapt, pq  # noqa: PLC0415

    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        return

    def lenient(inner: type[abc.Loader], name: str) -> type[abc.Loader]:
        class Lenient(adapt.Loader):
            def __init__(self, oid: int, context: abc.AdaptContext | None = None) -> None:
                super().__init__(oid, context)
                self._inner = inner(oid, context)

            def load(self, data: abc.Buffer) -> object:
                try:
                    value = self._inner.load(data)
                except Exception:  # noqa: BLE001 - any of any type's
                    return ascii_or_bytes(bytes(data))
                is_text = isinstance(value, bytes) and name != "bytea"
                return text_or_bytes(value) if is_text else value

        return Lenient

    known = {kind.oid: kind.name for kind in raw.adapters.types}
    for oid, name in (*known.items(), (0, "any other")):
        if (inner := raw.adapters.get_loader(oid, pq.Format.TEXT)) is not None:
            raw.adapters.register_loader(oid, lenient(inner, name))
