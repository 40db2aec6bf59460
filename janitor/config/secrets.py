"""Secrets, named by where they are kept and read anew each time they are needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from janitor.causes import cause
from janitor.config.regular_file import read_regular
from janitor.errors import ConfigError

LARGEST = 1 << 16


class Keeper(StrEnum):
    """What keeps a secret: the environment, a file, systemd's credentials, or nothing (none)."""

    ENV = "env"
    FILE = "file"
    CREDENTIAL = "credential"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is kept, never the secret itself: safe to print, log and compare.

    `name` is a variable, an absolute path or a credential's name; empty for `Keeper.NONE`.
    """

    keeper: Keeper
    name: str = ""

    def reveal(self) -> str:
        """The current secret, without surrounding whitespace; empty for `Keeper.NONE`.

        Raises ConfigError naming the variable or file that is missing, unreadable, empty or not
        text.
        """
        match self.keeper:
            case Keeper.NONE:
                return ""
            case Keeper.ENV:
                return _from_environment(self.name)
            case Keeper.FILE:
                return _from_file(Path(self.name))
            case Keeper.CREDENTIAL:
                return _from_file(_credentials() / self.name)

    @property
    def reference(self) -> str:
        """Where the secret is kept, in a unique spelling: links and `..` in a path are resolved."""
        if self.keeper is Keeper.FILE:
            return f"{self.keeper}:{Path(self.name).resolve()}"
        return str(self)

    def __str__(self) -> str:
        return f"{self.keeper.value}:{self.name}" if self.name else "none"


NO_SECRET = Secret(Keeper.NONE)


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(f"the environment variable {name} is missing; set it")
    return _filled(value, f"the environment variable {name}")


def _from_file(path: Path) -> str:
    try:
        value = read_regular(path, LARGEST + 1).decode()
    except OSError as error:
        why = cause(error, "name a file that this user can read")
        raise ConfigError(f"the secret file {path} cannot be read: {why}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the secret file {path} is not UTF-8 text") from None
    if len(value) > LARGEST:
        raise ConfigError(f"the secret file {path} is larger than 64 KiB: is it the right file?")
    return _filled(value, f"the secret file {path}")


def _credentials() -> Path:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ConfigError(
            "CREDENTIALS_DIRECTORY is not set: {credential: NAME} works only inside a systemd "
            "service with LoadCredential="
        )
    return Path(directory)


def _filled(value: str, what: str) -> str:
    stripped = value.strip()
    if not stripped:
        raise ConfigError(f"{what} is empty; write the secret there")
    if "\0" in stripped or any("\ud800" <= character <= "\udfff" for character in stripped):
        raise ConfigError(f"{what} is not UTF-8 text or contains a NUL; write the secret there")
    return stripped
