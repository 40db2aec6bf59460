"""Commands that judge files: `init`, `validate`, `schema` and `test`. None needs a network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.config.explain import Explanation
    from janitor.config.fixtures import Fixture
    from janitor.config.trials import Difference
    from janitor.sweep.survey import Survey

YAML_FILE = click.Path(path_type=Path)


@click.command("init")
@click.argument("path", type=YAML_FILE, default=Path("config/janitor.yaml"), required=False)
@click.option(
    "--source",
    metavar="URL|env:NAME",
    help="The application's database, without a password, or the variable with its address.",
)
@click.option("--table", help="Its table of chats: propose the source that reads it.")
@click.pass_obj
def init_command(settings: Settings, path: Path, *, source: str | None, table: str | None) -> None:
    """Write a commented starter configuration, every default spelled out.

    With a table of the application's own it proposes, from the names and values of its columns,
    the source that keeps the registry filled, and shows five rows as they would be registered;
    the table is only read. An existing file is never overwritten: the proposal is printed instead.

    \b
    Examples:
      janitor init
      janitor init janitor.yaml
      janitor init --source env:APP_DATABASE_URL --table chats
      janitor init --source postgresql+psycopg://app@db/app --table public.chats
    """
    from janitor.cli import proposing
    from janitor.config.starter import STARTER, with_sources

    looked = proposing.looked_at(source, table)
    if looked is not None and path.exists():
        proposing.show(settings, looked, path, written=False)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8", opener=_for_its_owner_to_write) as file:
            file.write(STARTER if looked is None else with_sources(looked.stanza))
    except FileExistsError:
        raise ConfigError(f"{path} exists already; name another, or remove it first") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    proposing.show(settings, looked, path, written=True)


def _for_its_owner_to_write(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)  # whatever the umask: who writes it says what is deleted


@click.command(
    "validate",
    epilog="Examples: `janitor validate`; `janitor validate config/janitor.yaml`; "
    "`janitor --output json validate --against-registry`. Exit code 2: the file is refused.",
)
@click.argument("file", type=YAML_FILE, required=False)
@click.option(
    "--against-registry", is_flag=True, help="Say, too, how many registered threads each concerns."
)
@click.pass_obj
def validate_command(settings: Settings, file: Path | None, *, against_registry: bool) -> None:
    """Refuse a configuration file, or explain what it means.

    Everything wrong is listed at once, each with file, line, column, path and what to write
    instead. An accepted file is explained policy by policy: whom it concerns, how long text lives
    where, what share of the threads one sweep may remove.
    """
    from janitor.config import load
    from janitor.config.explain import explain
    from janitor.policy import policies_digest

    path = file or settings.config_path()
    config = load(path)
    found = _survey(config) if against_registry else None
    written = load(path, screened=False)  # a person recognizes the values that the file spells
    explanation = explain(written, None if found is None else found.overlaps)
    shared = tuple(_sharing(path, config))
    explanation = replace(explanation, warnings=(*explanation.warnings, *shared))
    if settings.wants_table:
        _show(path, explanation)
        click.echo(f"\nThe policies' digest is {policies_digest(config.policies)}")
        _show_survey(config, found)
        return
    emit(
        settings,
        {
            "file": str(path),
            "policies_digest": policies_digest(config.policies),
            "summary": explanation.summary,
            "policies": [
                {"name": name, "says": says} for name, says in explanation.policies.items()
            ],
            "warnings": explanation.warnings,
            **({} if found is None else _survey_document(config, found)),
        },
    )


@click.command(
    "schema",
    epilog="Example: `janitor schema > janitor.schema.json`, and in the file's first line "
    "`# yaml-language-server: $schema=janitor.schema.json`.",
)
def schema_command() -> None:
    """Print the JSON Schema of the configuration file, for editors.

    It is one JSON document whatever --output says.
    """
    from janitor.config.schema import file_schema

    click.echo(json.dumps(file_schema(), indent=2))


@click.command(
    "test",
    epilog="Example: `janitor --config config/janitor.yaml test config/policies_test.yaml`. "
    "Exit code 1: an expectation was not met.",
)
@click.argument("files", type=YAML_FILE, nargs=-1, required=True, metavar="FILE...")
@click.pass_obj
def test_command(settings: Settings, files: Sequence[Path]) -> int:
    """Run policy fixtures against the policies of --config, at each fixture's own clock.

    Needs no key and no network. A failure is shown as a difference: what was expected (-) and
    what the policies decide (+).
    """
    from janitor.config import load
    from janitor.config.fixtures import load_fixtures
    from janitor.config.trials import try_out

    policies = load(settings.config_path(), environment=False, screened=False).policies
    fixtures = [fixture for path in files for fixture in load_fixtures(path)]
    results = [(fixture, try_out(fixture, policies)) for fixture in fixtures]
    failed = sum(bool(differences) for _, differences in results)
    if settings.wants_table:
        for fixture, differences in results:
            _show_trial(fixture, differences)
        click.echo(f"{len(results) - failed} passed, {failed} failed")
    else:
        emit(settings, {"failed": failed, "tests": _trials(results)}, rows="tests")
    return 1 if failed else 0


def _show(path: Path, explanation: Explanation) -> None:
    click.echo(f"{path} is accepted")
    for sentence in explanation.summary:
        click.echo(f"  {plain(sentence)}")
    for name, sentences in explanation.policies.items():
        click.echo(f"\n{plain(name)}")
        for sentence in sentences:
            click.echo(f"  {plain(sentence)}")
    if explanation.warnings:
        click.echo("\nWarnings")
    for warning in explanation.warnings:
        click.echo(f"  {plain(warning)}")


def _sharing(path: Path, config: Config) -> Iterator[str]:
    """Projects that reach the same containers, as far as the file tells: no secret is read."""
    from janitor.cli.targets import endpoint
    from janitor.config.document import read_document
    from janitor.sweep.twins import sharing, warning

    document = read_document(path)
    accounts = {
        name: endpoint(one, one.api_key.reference).account for name, one in config.projects.items()
    }
    for names in sharing(accounts):
        places = [document.place(("projects", name), at_key=True) for name in names]
        lines = [
            f"{name} (line {at.line})" if at else name
            for name, at in zip(names, places, strict=True)
        ]
        yield warning(lines)


def _survey(config: Config) -> Survey:
    from janitor.cli.compose import open_registry, utc_now
    from janitor.sweep.survey import survey

    with open_registry(config, read_only=True) as registry:
        return survey(registry, config.policies, utc_now())


def _survey_document(config: Config, found: Survey) -> Mapping[str, object]:
    from janitor.policy import policies_digest
    from janitor.sweep.approval import described

    return {
        "threads": dict(found.threads),
        "unmatched": found.unmatched,
        "unmatched_rules": found.silent_rules,
        "approval": described(policies_digest(config.policies), found.unapproved or None),
    }


def _show_survey(config: Config, found: Survey | None) -> None:
    from janitor.policy import policies_digest
    from janitor.sweep.approval import message

    if found is None:
        return
    click.echo("\nIn the registry")
    for name, number in sorted(found.threads.items()):
        click.echo(f"  {plain(name)} concerns {number} threads")
    click.echo(f"  {found.unmatched} threads are matched by no policy and stay untouched")
    for rule in found.silent_rules:
        click.echo(f"  {plain(rule)} matches no thread; is it a typo?")
    if found.unapproved:
        click.echo(f"  {plain(message(policies_digest(config.policies), found.unapproved))}")


def _show_trial(fixture: Fixture, differences: Sequence[Difference]) -> None:
    click.echo(f"{'FAIL' if differences else 'ok  '} {plain(fixture.name)}")
    if differences:
        click.echo(f"     {fixture.place}")
    for one in differences:
        click.echo(f"     - {plain(one.id)} {one.field}: {plain(one.expected)}")
        click.echo(f"     + {plain(one.id)} {one.field}: {plain(one.actual)}")


def _trials(
    results: Sequence[tuple[Fixture, Sequence[Difference]]],
) -> list[Mapping[str, object]]:
    return [
        {
            "name": fixture.name,
            "place": str(fixture.place),
            "passed": not differences,
            "differences": [
                {"id": one.id, "field": one.field, "expected": one.expected, "actual": one.actual}
                for one in differences
            ],
        }
        for fixture, differences in results
    ]
