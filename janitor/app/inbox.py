"""Drains the inbox that applications append to, before anything is shown or done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from janitor.errors import FaultError, JanitorError
from janitor.texts import counted, plain

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.registry import Drained, Registry

log = logging.getLogger("janitor")

PATIENCE = timedelta(seconds=5)
Tell = Callable[[str], None]


def take_in(registry: Registry, at: datetime, tell: Tell = log.warning) -> None:
    """Drains the inbox into the registry, and reports how much of it was refused.

    An unexpected error is logged and remembered, not raised: no thread is removed until a later
    drain succeeds.

    Raises:
        JanitorError: The registry cannot be written; what is waiting goes on waiting.
    """
    from janitor.sources.watermark import INBOX, failed, recovered, troubles

    try:
        drained = registry.inbox.drain(at)
    except JanitorError:
        raise
    except Exception as error:  # whatever it is, the sweep goes on
        fault = FaultError(INBOX, error)
        failed(registry, INBOX, str(fault))
        log.exception("%s", fault)
        return
    if INBOX in troubles(registry):
        recovered(registry, INBOX)
    _tell(drained, tell)


def _tell(drained: Drained, tell: Tell) -> None:
    if drained.fault is not None:
        log.error("a row of the inbox failed unexpectedly", exc_info=drained.fault)
    if drained.refused:
        tell(
            f"{drained.refused} of {counted(drained.judged, 'row')} of the inbox "
            f"{'was' if drained.refused == 1 else 'were'} refused; kept for 30 days with the "
            f"reason; the first: {plain(drained.reason)}"
        )
    if drained.odd_times:
        more = " and others" if drained.odd_times > len(drained.remarks) else ""
        tell(
            f"{drained.odd_times} of {counted(drained.judged, 'row')} of the inbox "
            f"{'names' if drained.odd_times == 1 else 'name'} a time that is not taken as "
            f"written: {plain('; '.join(drained.remarks))}{more}"
        )


def catch_up(config: Config, registry: Registry, at: datetime, tell: Tell) -> None:
    """Drains the inbox, if anything is waiting, before a command that only reads.

    If the registry cannot be written, `tell` gets a message about how much will not be shown.
    """
    if not (waiting := registry.inbox.undrained()):
        return
    try:
        with _writer(config) as writer:
            take_in(writer, at, tell)
    except JanitorError as error:
        rows = counted(
            waiting,
            "row is waiting in the inbox and is",
            "rows are waiting in the inbox and are",
        )
        tell(f"{rows} not shown: {plain(error)}")


def _writer(config: Config) -> Registry:
    from janitor.registry import Registry

    # A command that only reads must not change which projects are trusted: dates stay as recorded.
    return Registry.open(
        config.registry.url,
        password=config.registry.password.reveal() or None,
        create=False,
        untrusted=None,
        screen=config.screen,
        busy_timeout=PATIENCE,
    )
