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

from janitor.cli.context import OUTPUTS, Settings, plain, texts_only
from janitor.cli.logs import configure_logging
from janitor.distribution import VERSION
from janitor.errors import ConfigError, JanitorError, StoreError

UNWRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN})
"""How writing fails; wherever a file is written, the failure is told with its name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives and what the overview says of it."""

    section: str
    module: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("Start", "demo", "Show the whole job on an emulated API; no key, no network."),
    "init": Entry("Start", "check", "Write a commented starter configuration."),
    "validate": Entry("Start", "check", "Refuse or explain a configuration file."),
    "schema": Entry("Start", "check", "Print the JSON Schema of the configuration file."),
    "test": Entry("Start", "check", "Run policy fixtures against the policies."),
    "import": Entry("Start", "registration", "Fill the registry from JSONL or CSV."),
    "sync": Entry("Start", "syncing", "Read the application's own tables."),
    "doctor": Entry("Start", "doctoring", "Look at all that is needed; say what to do."),
    "plan": Entry("Look", "sweeping", "Say what a sweep would do, and why. Changes nothing."),
    "list": Entry("Look", "looking", "List the registry."),
    "explain": Entry("Look", "explaining", "Tell one thread's reasons and history."),
    "runs": Entry("Look", "looking", "List past runs, or show and verify one."),
    "health": Entry("Look", "health", "Ask the service on this machine whether it lives."),
    "missing": Entry("Look", "missing", "List what the server no longer knows, and accept that."),
    "apply": Entry("Act", "sweeping", "Carry out exactly a reviewed plan."),
    "sweep": Entry("Act", "sweeping", "Do one sweep, then exit."),
    "serve": Entry("Act", "serving", "Sweep by a schedule, and be scraped by Prometheus."),
    "approve": Entry("Act", "approving", "Let policies that remove earlier take effect."),
    "tag": Entry("Act", "tagging", "Write missing creation times into the metadata upstream."),
    "restore": Entry("Act", "restoring", "Undo a soft delete."),
    "archive": Entry("Act", "archive", "Remove copies that the archive keeps no longer."),
    "hold": Entry("Law", "holding", "Keep threads for a person or the law; copy them."),
    "export": Entry("Law", "exporting", "Write what was registered back out, for an import."),
    "pause": Entry("Stop", "pausing", "Leave everything alone, or one project or policy."),
    "resume": Entry("Stop", "pausing", "End a pause."),
    "db": Entry("Stop", "database", "Bring the registry to this version and configuration."),
}


class Commands(click.Group):
    """The group of all commands, listed by section, each imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if (entry := COMMANDS.get(cmd_name)) is None:
            return None
        module = importlib.import_module(f"janitor.cli.{entry.module}")
        return texts_only(getattr(module, f"{cmd_name}_command"))

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
    },
    epilog="First steps: `janitor demo`, then `janitor init`. Exit codes: 0 done, 1 some threads "
    "failed or drifted, 2 usage or configuration, 3 access, 4 a safety limit, 5 another janitor "
    "holds the run.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: ./config/janitor.yaml, then /etc/janitor/janitor.yaml.",
)
@click.option(
    "--output", type=click.Choice(OUTPUTS), default="table", help="How results are printed."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="How logs look."
)
@click.option("-v", "--verbose", is_flag=True, help="Log one line per thread.")
@click.version_option(VERSION, prog_name="janitor")
@click.pass_context
def cli(
    ctx: click.Context, *, config: Path | None, output: str, log_format: str, verbose: bool
) -> None:
    """The retention daemon for OpenAI conversation state.

    Archives and deletes stale conversations, threads and sessions by policy, proves it, and
    never loses one by mistake.
    """
    ctx.obj = Settings(config, output, log_format, verbose)
    configure_logging(ctx.obj)


def main() -> NoReturn:
    """Run the command line and exit with the code that interface.md names."""
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
    except OSError as error:
        return _failed(error)
    return code if isinstance(code, int) else 0


def _terminate(signum: int, frame: object) -> NoReturn:  # noqa: ARG001 - the handler's signature
    sys.exit(128 + signum)


def _failed(error: OSError) -> int:
    """The exit code for what the machine refused, once it is told."""
    _complain(StoreError(_told(error)))
    return StoreError.exit_code


def _told(error: OSError) -> str:
    """What failed and where; a variable that names the place is named, too."""
    why = error.strerror or type(error).__name__
    if error.filename is not None:
        place = str(error.filename)
        named = [name for name, value in os.environ.items() if value == place]
        return ": ".join([*named, place, why])
    if error.errno in UNWRITTEN:
        return f"standard output cannot be written: {why}"
    try:
        os.getcwd()  # noqa: PTH109 - whether there is one
    except OSError:
        return "the current directory does not exist any more; change to one that does"
    return f"the system refused something: {why}"


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
    said = [f"janitor: {error}"]
    if isinstance(error, ConfigError):
        said += [f"  {refusal}" for refusal in error.refusals]
    with suppress(OSError):  # nobody is left to hear of it
        for line in "\n".join(said).splitlines():
            click.echo(plain(line), err=True)
