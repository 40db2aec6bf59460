"""Which revision a database is at, and bringing it to the one this program speaks."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from janitor.errors import ConfigError

REVISION = "0001"
VERSION_TABLE = "janitor_schema"
MIGRATIONS = Path(__file__).with_name("migrations")


def revision(connection: Connection, path: Path) -> str | None:
    """The revision of a database, `None` for an empty one; ConfigError for a foreign one."""
    names = inspect(connection).get_table_names()
    if not names:
        return None
    if VERSION_TABLE not in names:
        raise ConfigError(
            f"{path} is the database of another program: point registry.url at a file of its own"
        )
    found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return None if found is None else str(found)


def require_current(found: str | None, path: Path) -> None:
    """Refuses what a reader cannot read: nothing there, an older or a newer schema."""
    if found is None:
        raise ConfigError(f"{path} holds no registry yet: fill it with `janitor import` first")
    if found != REVISION:
        _refuse_newer(found, path)
        raise ConfigError(
            f"{path} is at schema {found}, this program reads {REVISION}: run `janitor db upgrade`"
        )


def _refuse_newer(found: str, path: Path) -> None:
    # Revisions are counted up, so the text tells which is newer; nothing unknown is migrated.
    if found > REVISION:
        raise ConfigError(
            f"{path} is at schema {found}, newer than {REVISION} that this program knows: "
            "upgrade janitor"
        )


def migrate(connection: Connection, path: Path) -> None:
    """Brings a database to the current revision, inside the caller's transaction."""
    found = revision(connection, path)
    if found == REVISION:
        return
    if found is not None:
        _refuse_newer(found, path)
    _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    # Imported here: only the first start after an upgrade pays for it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
