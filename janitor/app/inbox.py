"""Takes in what applications appended to the inbox, before anything is looked at or done by it."""

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
    """Take what waits in the inbox into the registry, and tell how much of it was refused.

    What nobody foresaw is told and remembered, not raised: no thread is removed until it is over.

    Raises:
        JanitorError: The registry cannot be written; what waits goes on waiting.
    """
    from janitor.sources import INBOX, failed, recovered, troubles

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
    """Before a look through a reader: take in what waits, if anything does.

    Where the registry cannot be written, `tell` hears how much the look leaves out.
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

    # Whom a look trusts is no change of the registry: dates stay by what was recorded last.
    return Registry.open(
        config.registry.url,
        password=config.registry.password.reveal() or None,
        create=False,
        untrusted=None,
        screen=config.screen,
        busy_timeout=PATIENCE,
    )
