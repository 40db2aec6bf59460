"""The command line: the only composition root, and the only place that prints.

Commands are named here and imported when called, so that `--help` costs no SDK and no ORM.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from janitor.causes import cause, scarcity
from janitor.cli.options import GlobalOption, OneOf, near, use_settings, with_global_options
from janitor.cli.output import COLORS, OUTPUTS, Settings, texts_only
from janitor.distribution import VERSION
from janitor.errors import ConfigError, JanitorError, StoreError
from janitor.texts import plain

UNWRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN})
"""How writing fails; wherever a file is written, the failure is told with its name."""


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a command lives and what the overview says of it."""

    section: str
    module: str
    summary: str


COMMANDS: dict[str, CommandEntry] = {
    "demo": CommandEntry("Start", "demo", "Try janitor on an emulated API; no key, no network."),
    "init": CommandEntry("Start", "config", "Write a commented starter configuration."),
    "validate": CommandEntry("Start", "config", "Check and explain a configuration file."),
    "schema": CommandEntry("Start", "config", "Print the JSON Schema of the configuration file."),
    "test": CommandEntry("Start", "config", "Test the policies against fixtures."),
    "import": CommandEntry("Start", "registry", "Import threads from JSONL or CSV."),
    "sync": CommandEntry("Start", "sync", "Read threads from the application's own tables."),
    "doctor": CommandEntry("Start", "doctor", "Check everything janitor needs; say how to fix it."),
    "plan": CommandEntry("Look", "plan", "Show what a sweep would do and why (dry run)."),
    "list": CommandEntry("Look", "inspect", "List registered threads."),
    "explain": CommandEntry("Look", "inspect", "Show one thread's decisions and history."),
    "runs": CommandEntry("Look", "inspect", "List past runs, or show and verify one."),
    "health": CommandEntry("Look", "serve", "Check that the service on this machine is alive."),
    "missing": CommandEntry(
        "Look", "registry", "List threads that the server no longer knows, or accept their loss."
    ),
    "apply": CommandEntry("Act", "plan", "Apply exactly a reviewed plan."),
    "sweep": CommandEntry("Act", "plan", "Run one sweep, then exit."),
    "serve": CommandEntry("Act", "serve", "Sweep on a schedule, and serve metrics to Prometheus."),
    "approve": CommandEntry("Act", "plan", "Approve policy changes that delete sooner."),
    "tag": CommandEntry("Act", "tag", "Write missing creation times to the metadata upstream."),
    "restore": CommandEntry("Act", "plan", "Undo a soft delete."),
    "archive": CommandEntry("Act", "archive", "Show, verify and prune archive copies."),
    "hold": CommandEntry("Law", "hold", "Keep threads under a legal hold, and copy them."),
    "pause": CommandEntry("Stop", "pause", "Pause everything, a project or a policy."),
    "resume": CommandEntry("Stop", "pause", "End a pause."),
    "export": CommandEntry("Registry", "registry", "Export the registry for a later import."),
    "db": CommandEntry(
        "Registry", "registry", "Upgrade the registry to this version and configuration."
    ),
    "completion": CommandEntry("Other", "completion", "Print the completion script of a shell."),
}


class Commands(click.Group):
    """The group of all commands, listed by section, each imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if (entry := COMMANDS.get(cmd_name)) is None:
            return None
        module = importlib.import_module(f"janitor.cli.{entry.module}")
        command = texts_only(getattr(module, f"{cmd_name}_command"))
        return with_global_options(command, GLOBAL_OPTIONS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; a misspelt one is told with those that come near."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            name = error.command_name
            meant = near(name, COMMANDS)
            raise click.exceptions.NoSuchCommand(name, None, meant, ctx) from None

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:  # noqa: ANN401 - click's
        """Read the command line; `--help` is printed here, perhaps for nobody."""
        try:
            return super().make_context(*arguments, **named)
        except BrokenPipeError:
            raise click.exceptions.Exit(0) from None

    def invoke(self, ctx: click.Context) -> object:
        """Call the command; a reader that has gone (`| head`) ends it without a complaint."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [(name, e.summary) for name, e in COMMANDS.items() if e.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(
    cls=Commands,
    context_settings={
        "auto_envvar_prefix": "JANITOR",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog="First steps: `janitor demo`, then `janitor init`. Exit codes: 0 done, 1 some threads "
    "failed or drifted, 2 usage or configuration, 3 access, 4 a safety limit, 5 another janitor "
    "holds the run.",
)
@click.option(
    "--config",
    cls=GlobalOption,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: ./config/janitor.yaml, then /etc/janitor/janitor.yaml.",
)
@click.option(
    "--output",
    cls=GlobalOption,
    type=OneOf(OUTPUTS),
    default="table",
    help="Output format.",
)
@click.option(
    "--log-format",
    cls=GlobalOption,
    type=OneOf(["text", "json"]),
    default="text",
    help="Log format.",
)
@click.option(
    "--color",
    cls=GlobalOption,
    type=OneOf(COLORS),
    default="auto",
    help="Colours; auto: on a terminal, unless NO_COLOR is set.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log one line per thread.")
@click.version_option(VERSION, prog_name="janitor")
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    config: Path | None,
    output: str,
    log_format: str,
    color: str,
    verbose: bool,
) -> None:
    """The retention daemon for OpenAI conversation state.

    Archives and deletes stale conversations, threads and sessions by policy, with proof, and never
    deletes one by mistake.

    The options below may stand before or after the command.
    """
    use_settings(ctx, Settings(config, output, log_format, verbose, color))


GLOBAL_OPTIONS = tuple(
    option for option in cli.params if isinstance(option, click.Option) and option.expose_value
)


def main() -> NoReturn:
    """Run the command line and exit with its code (docs/operations.md)."""
    signal.signal(signal.SIGTERM, _terminate)
    _keep_places()
    os.environ.pop("OPENAI_LOG", None)  # the SDK would take logging over as it is imported
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever the locale can spell
    sys.exit(_flushed(execute(sys.argv[1:])))


def _keep_places() -> None:
    """Let no file take the place of a standard stream that was closed: others write there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def execute(arguments: list[str]) -> int:
    """Run one command and give its exit code; mistakes are told on stderr, without a traceback."""
    try:
        code = cli.main(arguments, prog_name="janitor", standalone_mode=False)
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return 2
    except JanitorError as error:
        _complain(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:
        found = error if isinstance(error, OSError) else scarcity(error)
        if found is None:
            raise
        return _failed(found)
    return code if isinstance(code, int) else 0


def _terminate(signum: int, frame: object) -> NoReturn:  # noqa: ARG001 - the handler's signature
    sys.exit(128 + signum)


def _failed(error: OSError) -> int:
    """The exit code for what the machine refused, once it is told."""
    _complain(StoreError(_told(error)))
    return StoreError.exit_code


def _told(error: OSError) -> str:
    """What failed and where; a variable that names the place is named, too."""
    why = cause(error)
    if error.filename is not None:
        place = str(error.filename)
        named = [name for name, value in os.environ.items() if value == place]
        return ": ".join([*named, place, why])
    if error.errno in UNWRITTEN:
        return f"cannot write to standard output: {why}"
    try:
        os.getcwd()  # noqa: PTH109 - whether there is one
    except OSError:
        return "the current directory no longer exists; change to one that does"
    return f"system error: {why}"


def _flushed(code: int) -> int:
    """The exit code, once what was printed is out; where it cannot be, nothing tries again."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                code = code or _failed(error)
    return code


def _complain(error: JanitorError) -> None:
    lines = [f"janitor: {error}"]
    if isinstance(error, ConfigError):
        lines += [f"  {refusal}" for refusal in error.refusals]
    with suppress(OSError):  # nobody is left to hear of it
        for line in "\n".join(lines).splitlines():
            click.echo(plain(line), err=True)
