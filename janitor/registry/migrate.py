"""Which revision a database is at, and migrating it to the one this program uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from janitor.errors import ConfigError, NoRegistryError
from janitor.registry.tables import METADATA

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "0007"
VERSION_TABLE = "janitor_schema"
MIGRATIONS = Path(__file__).with_name("migrations")


def revision(connection: Connection, name: str) -> str | None:
    """The revision of a database, `None` for an empty one; ConfigError for a foreign one."""
    _require_utf8(connection, name)
    names = set(inspect(connection).get_table_names())
    if connection.dialect.name == "postgresql":
        _require_schema(connection, name)
        # Applications write to the inbox in their own transactions, so their tables may be here.
        names &= {VERSION_TABLE, *METADATA.tables}
    if not names:
        return None
    if VERSION_TABLE not in names:
        listed = ", ".join(sorted(names)[:3])
        own = "one of its own"
        if connection.dialect.name == "postgresql":
            own += ", or give its role a schema of its own (docs/operations.md)"
        raise ConfigError(
            f"{name} contains tables of another program ({listed}): point registry.url at {own}"
        )
    found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return None if found is None else str(found)


def _require_utf8(connection: Connection, name: str) -> None:
    """Refuses a database that cannot store text in every language: a later sweep would fail."""
    if connection.dialect.name == "postgresql":
        asked = "SHOW server_encoding"
        wanted, todo = "UTF8", "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
    else:
        asked, wanted, todo = "PRAGMA encoding", "UTF-8", "let janitor make the file"
    if (found := connection.exec_driver_sql(asked).scalar_one()) != wanted:
        shown = found.decode() if isinstance(found, bytes) else found
        raise ConfigError(
            f"{name} stores text in {shown}, which does not cover every language: {todo}"
        )


def _require_schema(connection: Connection, name: str) -> None:
    """Refuses a session without a current schema: it would find no registry."""
    asked = "SELECT current_schema(), current_setting('search_path'), current_user"
    schema, path, user = connection.execute(text(asked)).one()
    if schema is not None:
        return
    if path.strip('" '):
        why = f"search_path ({path}) names no existing schema that {user} may use"
    else:
        why = "search_path is empty"
    raise ConfigError(
        f"{name}: {why}: CREATE SCHEMA ... AUTHORIZATION {user}, or correct search_path where it "
        "is set: for the role, the database, or in `options` (docs/operations.md)"
    )


def _require_room(connection: Connection, name: str) -> None:
    """Refuses if this user cannot create tables, or only ones that end with the session."""
    asked = "SELECT current_schema(), current_user, has_schema_privilege(current_schema(), :right)"
    schema, user, may_create = connection.execute(text(asked), {"right": "CREATE"}).one()
    if schema.startswith("pg_"):
        raise ConfigError(
            f"{name}: the search_path of {user} begins with {schema}, which is PostgreSQL's own: "
            "name another schema there (docs/operations.md)"
        )
    if not may_create:
        raise ConfigError(
            f"{name}: {user} may not create tables in the schema {schema}, the first in its "
            f"search_path: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}, or give it a schema "
            "of its own (docs/operations.md)"
        )


def require_current(found: str | None, name: str) -> None:
    """Refuses what a reader cannot use: no registry, or an older or newer schema."""
    if found is None:
        raise NoRegistryError(
            f"{name} contains no registry yet: fill it with `janitor import` or `janitor "
            "sync` first"
        )
    if found != REVISION:
        _refuse_newer(found, name)
        raise ConfigError(
            f"{name} is at schema {found}, but this program reads {REVISION}: run `janitor db "
            "upgrade`"
        )


def _refuse_newer(found: str, name: str) -> None:
    # Revisions count up, so comparing texts tells which is newer. A newer one is never migrated.
    if found > REVISION:
        raise ConfigError(
            f"{name} is at schema {found}, newer than {REVISION}, the latest that this program "
            "knows: upgrade janitor"
        )


def migrate(connection: Connection, name: str) -> None:
    """Brings a database to the current revision, inside the caller's transaction."""
    found = revision(connection, name)
    if found == REVISION:
        return
    if found is not None:
        _refuse_newer(found, name)
    elif connection.dialect.name == "postgresql":
        _require_room(connection, name)
    _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    # Imported here: only the first start after an upgrade pays for it.
    from alembic import command  # noqa: PLC0415

    command.upgrade(migrations(connection), "head")


def migrations(connection: Connection) -> Config:
    """Alembic's configuration for the migrations, which run in the connection's transaction."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
