"""Types of options, who gives them, and leaving with an exit code."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime, timedelta
from typing import NoReturn

import click


class Duration(click.ParamType[timedelta]):
    """A duration as policies write it: `90s 30m 24h 30d`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Parse it; fails as a usage error."""
        from janitor.config.durations import parse_duration

        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A time as ISO 8601, UTC where it names no zone."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse it; fails as a usage error."""
        from janitor.times import is_set, parse

        try:
            at = parse(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write 2027-01-31T00:00:00Z", param, ctx)
        if not is_set(at):
            self.fail(f"{value!r} lies before 1973 or after the year 9999", param, ctx)
        return at


DURATION = Duration()
MOMENT = Moment()


def person() -> str:
    """Who types; a number where the system knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def quit_with(code: int) -> NoReturn:
    """Leave with an exit code of interface.md; output is already written."""
    sys.exit(code)
