"""`completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click

from janitor.cli.options import OneOf

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_JANITOR_COMPLETE"
"""The variable by which the script asks this program; click's own name for `janitor`."""


@click.command("completion")
@click.argument("shell", type=OneOf(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, *, shell: str) -> None:
    """Print the script that completes commands and options in bash, zsh or fish.

    Let the shell read it at its start. bash must be 4.4 or newer.

    \b
    Examples:
      echo 'eval "$(janitor completion bash)"' >> ~/.bashrc
      echo 'eval "$(janitor completion zsh)"' >> ~/.zshrc
      janitor completion fish > ~/.config/fish/completions/janitor.fish
    """
    from click.shell_completion import get_completion_class

    if (script := get_completion_class(shell)) is not None:
        click.echo(script(ctx.find_root().command, {}, "janitor", VARIABLE).source())
