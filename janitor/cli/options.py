"""Option types, the global options, who runs the command, and exiting with a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

import click

from janitor.cli.output import Settings

CLEARLY = 0.1
"""How much more similar a word must be, on a scale from 0 to 1, to be clearly the nearest."""


class Duration(click.ParamType[timedelta]):
    """A duration as policies write it: `90s 30m 24h 30d`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Parse it; fails as a usage error."""
        from janitor.config.fields import parse_duration

        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A time as ISO 8601, in UTC if it names no zone."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse it; fails as a usage error."""
        from janitor.times import is_set, parse

        try:
            at = parse(value)
        except ValueError:
            self.fail(f"{value!r} is not a time; write 2027-01-31T00:00:00Z", param, ctx)
        if not is_set(at):
            self.fail(f"{value!r} is before 1973 or after the year 9999", param, ctx)
        return at


class OneOf(click.Choice[str]):
    """One of a few words; the error for a misspelt one suggests the nearest."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """The words that there are, and which of them may be meant."""
        meant = " or ".join(map(repr, near(str(value), self.choices)))
        message = super().get_invalid_choice_message(value, ctx)
        return f"{message} Did you mean {meant}?" if meant else message


def near(written: str, known: Iterable[str]) -> list[str]:
    """The known words that are similar to what was written, the nearest first.

    Only the nearest, if it is clearly nearer than any other.
    """
    from difflib import SequenceMatcher, get_close_matches

    close = get_close_matches(written, known)
    alike = [SequenceMatcher(None, one, written).ratio() for one in close]
    return [one for one, ratio in zip(close, alike, strict=True) if alike[0] - ratio < CLEARLY]


class Count(click.IntRange):
    """A whole number from a minimum up to the largest that a database can store."""

    def convert(self, value: int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it; fails as a usage error."""
        number = super().convert(value, param, ctx)
        if number > MOST:
            self.fail(f"{number} is too large; write at most {MOST}", param, ctx)
        return number


MOST = 2**63 - 1
DURATION = Duration()
MOMENT = Moment()


GLOBAL = "The global options may stand before or after the command; see `janitor --help`."


class GlobalOption(click.Option):
    """An option of every command. Without its value nothing runs: a default would be a guess."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[object, list[str]]:
        """Take the value; a usage error if it is empty, or is the next option."""
        value = opts.get(str(self.name))
        if isinstance(value, str) and not ctx.resilient_parsing:
            if not value:
                raise self._without_value("; what it was given is empty", ctx)
            if value.startswith("-"):
                raise self._without_value(f"; {value} comes next", ctx)
        return super().handle_parse_result(ctx, opts, args)

    def _without_value(self, why: str, ctx: click.Context) -> click.BadOptionUsage:
        name = self.opts[0]
        return click.BadOptionUsage(name, f"Option '{name}' requires an argument{why}.", ctx)


class RepeatedOption(GlobalOption):
    """A global option after the command; it overrides the same option before the command."""

    def __init__(self, original: click.Option) -> None:
        super().__init__(
            [*original.opts, str(original.name)],
            type=None if original.is_flag else original.type,
            is_flag=original.is_flag or None,  # False would make the value optional
            help=original.help,
            expose_value=False,
            allow_from_autoenv=False,  # the environment must not override the option before it
            callback=_take,
        )

    def get_help_record(self, ctx: click.Context) -> None:
        """Nothing: `janitor --help` explains it, and the end of each command's help names it."""


def _take(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value and not ctx.resilient_parsing:
        use_settings(ctx, replace(ctx.obj, **{str(param.name): value}))


def use_settings(ctx: click.Context, settings: Settings) -> None:
    """Apply the global options to a context and those below it."""
    from janitor.cli.logs import configure_logging

    ctx.obj, ctx.color = settings, settings.is_colored
    configure_logging(settings)


def with_global_options(command: click.Command, options: tuple[click.Option, ...]) -> click.Command:
    """The command and those below it, now accepting the global options after it, too."""
    if not any(isinstance(param, RepeatedOption) for param in command.params):
        command.params += map(RepeatedOption, options)
        command.epilog = "\n\n".join(filter(None, (command.epilog, GLOBAL)))
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        with_global_options(below, options)
    return command


def person() -> str:
    """The user who runs this; a number if the system knows no name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def quit_with(code: int) -> NoReturn:
    """Exit with a code (see docs/operations.md); output is already written."""
    sys.exit(code)
