"""Opens the registry that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from tempfile import TemporaryDirectory

from janitor.addresses import address_of
from janitor.config import Config
from janitor.errors import ConfigError, NoRegistryError
from janitor.registry import Registry

LEASE_SECONDS = 30.0
LONGEST_LEASE = 3600.0
LEASE_VARIABLE = "JANITOR_LEASE_SECONDS"
"""Shortens the leases of replicas, so that their end can be tested within seconds."""


def open_registry(config: Config, *, read_only: bool = False, create: bool = False) -> Registry:
    """The registry that a configuration names, migrated unless it is `read_only`.

    Only commands that fill it or sweep may `create` it: otherwise a query to a missing registry
    would be answered by an empty one.

    Raises:
        ConfigError: It is not a registry, has another version, or is not writable.
        StoreError: It is full or locked.
    """
    distrusted = frozenset(n for n, p in config.projects.items() if not p.trust_reported)
    return Registry.open(
        config.registry.url,
        password=config.registry.password.reveal() or None,
        read_only=read_only,
        create=create,
        untrusted=distrusted,
        screen=config.screen,
        lease=_lease(),
    )


@contextmanager
def trial_registry(config: Config) -> Iterator[Registry]:
    """The registry, only read, for a dry run; a temporary empty one if there is none yet.

    Raises:
        ConfigError, StoreError: As for `open_registry`.
    """
    with ExitStack() as stack:
        try:
            registry = open_registry(config, read_only=True)
        except NoRegistryError:
            directory = stack.enter_context(TemporaryDirectory(prefix="janitor-dry-run-"))
            registry = Registry.open(address_of(f"{directory}/janitor.db"), screen=config.screen)
        yield stack.enter_context(registry)


def _lease() -> timedelta:
    stored = os.environ.get(LEASE_VARIABLE)
    try:
        seconds = LEASE_SECONDS if stored is None else float(stored)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_LEASE:
        most = f"more than 0 and at most {LONGEST_LEASE:g}"
        raise ConfigError(f"{LEASE_VARIABLE}: write a number of seconds, {most}; or unset it")
    return timedelta(seconds=seconds)
