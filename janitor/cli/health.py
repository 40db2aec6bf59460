"""`health`: whether the service on this machine lives, for supervisors that ask by a command."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

import click

from janitor.cli.context import Settings, emit, plain
from janitor.errors import AccessError, ConfigError

DEFAULT_LISTEN = "127.0.0.1:9464"
TIMEOUT = 5.0
MUCH = 1000  # bytes of an answer that are shown
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked by loopback


@click.command("health")
@click.option(
    "--if-serving", is_flag=True, help="Nothing that listens is well too: it is no service."
)
@click.pass_obj
def health_command(settings: Settings, *, if_serving: bool) -> None:
    """Ask the service on this machine whether it lives, at its `service.listen`.

    For supervisors that run a command, such as a container's health check. Ends with 0 where it
    lives, with 3 where it says that it does not, or does not answer.

    \b
    Examples:
      janitor health
      janitor health --if-serving
    """
    listen = _listen(settings, forgiving=if_serving)
    try:
        _ask(listen)
    except ConnectionRefusedError as error:
        if not if_serving:
            message = f"nothing listens on {listen}: is `janitor serve` running?"
            raise AccessError(message) from error
        _tell(settings, listen, serving=False)
    except (OSError, HTTPException) as error:
        message = f"the service on {listen} does not answer: {plain(error)}; restart it"
        raise AccessError(message) from error
    else:
        _tell(settings, listen, serving=True)


def _listen(settings: Settings, *, forgiving: bool) -> str:
    """Where it listens; a service goes on when its file is broken, and so may the question."""
    from janitor.config import load

    try:
        return load(settings.config_path(), environment=False, screened=False).service.listen
    except ConfigError:
        if not forgiving:
            raise
        return DEFAULT_LISTEN


def _ask(listen: str) -> None:
    """Raise AccessError unless the answer is good; through no proxy, whatever the environment."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    connection = HTTPConnection(EVERYWHERE.get(host, host), int(port), timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        said = answer.read(MUCH).decode(errors="replace")
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
        message = f"the service on {listen} answers {answer.status}: {plain(said)}"
        raise AccessError(message)


def _tell(settings: Settings, listen: str, *, serving: bool) -> None:
    if settings.wants_table:
        click.echo(f"{'alive' if serving else 'nothing listens'} on {listen}")
    else:
        emit(settings, {"listen": listen, "serving": serving})
