"""How log lines look: one per record, and only types and frames of an exception."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from janitor.cli.output import Settings
from janitor.errors import frames
from janitor.texts import plain

log = logging.getLogger("janitor")

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

REMEMBERED = 100  # exceptions whose frames are not shown again
CHATTY = ("apscheduler", "uvicorn", "watchfiles")


class Frames(logging.Formatter):
    """Shows exceptions as types and frames, since their text may quote a row; each only once."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - of another formatter
        super().__init__(*args, **options)
        self._shown: set[str] = set()

    def formatException(self, ei: Raised) -> str:  # noqa: N802 - logging's name
        """The frames; nothing if they were shown before."""
        message = "" if ei[1] is None else frames(ei[1])
        if message in self._shown:
            return ""
        self._shown = {*self._shown, message} if len(self._shown) < REMEMBERED else {message}
        return message


class Lines(Frames):
    """One line per record, for people: UTC, level, message; control characters are escaped."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's own
        """The record's time in UTC."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record without its frames, which follow on lines of their own."""
        record.message = plain(record.message)
        return super().formatMessage(record)


def configure_logging(settings: Settings, *, service: bool = False) -> None:
    """Log to stderr; with `-v`, and always in the service, one line per thread acted on."""
    ours = [one for one in logging.root.handlers if isinstance(one.formatter, Frames)]
    if not ours:
        ours = [logging.StreamHandler(sys.stderr)]
        logging.basicConfig(level=logging.WARNING, handlers=ours)
    ours[0].setFormatter(_formatter(settings))
    log.setLevel(logging.INFO if settings.verbose or service else logging.WARNING)
    logging.getLogger("janitor.progress").setLevel(logging.INFO)  # so rare that all may see it
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


def _formatter(settings: Settings) -> logging.Formatter:
    if settings.log_format != "json":
        return Lines("%(asctime)s %(levelname)s %(message)s")
    from pythonjsonlogger.json import JsonFormatter

    class JsonLines(Frames, JsonFormatter):
        """One JSON object per record."""

    renamed = {"levelname": "level", "exc_info": "traceback"}
    return JsonLines("%(levelname)s %(message)s", rename_fields=renamed, timestamp="at")
