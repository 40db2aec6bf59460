"""`init`, `validate`, `schema` and `test`: commands for files. None needs the API."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from janitor.causes import cause, is_scarce
from janitor.cli.inspect import cell
from janitor.cli.output import LOCAL_CONFIG, SYSTEM_CONFIG, Settings, emit, table
from janitor.errors import ConfigError, FaultError, JanitorError, StoreError
from janitor.texts import counted, plain

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.config.explain import Explanation
    from janitor.config.fixtures import Difference, Fixture
    from janitor.config.starter import DataLocation
    from janitor.engine.plan import Survey
    from janitor.registry import Registration
    from janitor.sources.suggest import Looked


log = logging.getLogger("janitor")

FIELDS = ("id", "kind", "created_at", "last_active_at", "metadata")


def looked_at(source: str | None, name: str | None) -> Looked | None:
    """The source that is proposed for a table; `None` if no table was named.

    Raises:
        ConfigError, AccessError: Nothing can be proposed; says why.
        FaultError: Looking at the table failed unexpectedly.
    """
    if source is None and name is None:
        return None
    if source is None or name is None:
        raise click.UsageError("--source and --table go together: name a database and its table")
    from janitor.sources.suggest import look, settings_of

    sql = settings_of(source, Path.cwd())
    try:
        looked = look(sql, name)
    except JanitorError:
        raise
    except Exception as error:
        log.exception("--source %s: what was looked at", plain(name))
        raise FaultError("--source", error) from error
    _require_accepted(looked)
    return looked


def _require_accepted(looked: Looked) -> None:
    """Refuse, before anything is written, a proposal that the configuration would not accept."""
    from janitor.config import parse
    from janitor.config.starter import starter
    from janitor.config.yaml_source import parse_document

    try:
        text = starter(sources=looked.stanza)
        parse(parse_document(text.encode(), "the proposal").value)
    except ConfigError as error:
        raise ConfigError(
            f"--table {looked.table}: no valid source can be proposed; write it by hand",
            refusals=error.refusals,
        ) from error


def _show_written(settings: Settings, looked: Looked | None, path: Path, registry: Path) -> None:
    """Show what was written, where the registry is, what would be registered, and what is next."""
    is_kept = registry.exists()
    if not settings.wants_table:
        proposed = {} if looked is None else _document(looked, written=True)
        place = {"registry": f"sqlite:///{registry}", "registry_exists": is_kept}
        emit(settings, {"path": str(path), **place, **proposed})
        return
    if looked is not None:
        _show_proposal(looked)
    click.echo(f"wrote {path}")
    click.echo(f"registry: sqlite:///{registry}{', which exists and is kept' if is_kept else ''}")
    key = "" if os.environ.get("OPENAI_API_KEY") else "set OPENAI_API_KEY, then "
    click.echo(f"next: {key}`janitor validate {path}`")


def _show_to_paste(settings: Settings, looked: Looked, path: Path) -> None:
    """Show what to add to a file that exists, and the rows that would be registered."""
    if not settings.wants_table:
        emit(settings, {"path": str(path), **_document(looked, written=False)})
        return
    _show_proposal(
        looked,
        f"{path} already exists. Put this in place of its `sources: {{}}`, or under its "
        f"`sources:`, then run `janitor validate {path}`:",
    )


def _document(looked: Looked, *, written: bool) -> dict[str, Any]:
    return {
        "written": written,
        "source": looked.source,
        "table": looked.table,
        "stanza": looked.stanza,
        "columns": {to: name for name, to in looked.proposal.columns},
        "watermark": looked.proposal.watermark and looked.proposal.watermark.name,
        "notes": looked.proposal.notes,
        "tried": looked.tried,
        "doubts": looked.doubts,
        "rows": [_row(row) for row in looked.rows],
    }


def _row(row: Registration | str) -> dict[str, Any]:
    if isinstance(row, str):
        return {"refused": row}
    return {
        "id": row.key.id,
        "kind": row.key.kind,
        "created_at": row.created_at,
        "last_active_at": row.last_active_at,
        "metadata": row.metadata,
    }


def _show_proposal(looked: Looked, advice: str = "") -> None:
    for doubt in looked.doubts:  # the stanza's comments say the rest
        click.echo(plain(doubt))
    if advice:
        click.echo(f"\n{advice}")
    click.echo(f"\n{looked.stanza}")
    rows = [_row(row) for row in looked.rows]
    taken = [[cell(row[name]) for name in FIELDS] for row in rows if "id" in row]
    if taken:
        table(f"The first rows of {looked.table}, as they would be registered", FIELDS, taken)
    for row in rows:
        if "refused" in row:
            click.echo(plain(row["refused"]))
    if not rows:
        click.echo(f"{looked.table} has no rows to read yet")
    click.echo("")


YAML_FILE = click.Path(path_type=Path)


@click.command("init")
@click.argument("path", type=YAML_FILE, required=False)
@click.option(
    "--source",
    metavar="URL|env:NAME",
    help="The application's database: an address without a password, or env:NAME.",
)
@click.option("--table", help="Its table of chats; propose a source that reads it.")
@click.option("--system", is_flag=True, help="For a service: /etc/janitor and /var/lib/janitor.")
@click.pass_obj
def init_command(
    settings: Settings, path: Path | None, *, source: str | None, table: str | None, system: bool
) -> None:
    """Write a commented starter configuration with every default.

    PATH defaults to config/janitor.yaml. The registry and the archive are kept in the directory
    var, which is created; a registry that exists next to PATH or in var stays in use. With --system
    they are kept in /var/lib/janitor, whatever registry exists elsewhere.

    With --source and --table it also proposes, from the table's column names and values, a source
    that keeps the registry filled, and shows five rows as they would be registered. The table is
    only read. An existing file is never overwritten: the proposal is printed instead.

    \b
    Examples:
      janitor init
      janitor init janitor.yaml
      janitor init --system
      janitor init --source env:APP_DATABASE_URL --table chats
      janitor init --source postgresql+psycopg://app@db/app --table public.chats
    """
    from janitor.config.starter import data_location

    looked = looked_at(source, table)
    path = path or (SYSTEM_CONFIG if system else LOCAL_CONFIG)
    location = data_location(path, system=system)
    if looked is None or not path.exists():
        _write_starter(path, location, None if looked is None else looked.stanza)
        _show_written(settings, looked, path, _registry_of(path, location))
    else:
        _show_to_paste(settings, looked, path)


def _write_starter(path: Path, location: DataLocation, sources: str | None) -> None:
    """Write the file, after creating its registry's directory, unless that is the system's.

    Raises:
        ConfigError: The file exists, or one of the two cannot be created here; says which.
        StoreError: Something ran out.
    """
    from janitor.config.starter import SYSTEM, starter

    if path.exists() or path.is_symlink():
        raise _existing(path)
    _create(path.parent, parents=True)
    if location is not SYSTEM:  # a unit's StateDirectory= makes that one, for its own user
        _create(_registry_of(path, location).parent, mode=0o700)
    try:
        with open(path, "x", encoding="utf-8", opener=_for_its_owner_to_write) as file:
            file.write(starter(location, sources))
    except FileExistsError:  # another process has just written it
        raise _existing(path) from None
    except OSError as error:
        raise _refused(f"{path} cannot be written", error) from None


def _create(directory: Path, mode: int = 0o777, *, parents: bool = False) -> None:
    try:
        directory.mkdir(mode, parents=parents, exist_ok=True)
    except FileExistsError:
        todo = "move it away, or write the configuration elsewhere: janitor init FILE"
        raise ConfigError(f"{directory} is not a directory; {todo}") from None
    except OSError as error:
        raise _refused(f"{directory} cannot be created", error) from None


def _existing(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} already exists and was not changed. Edit it, then run `janitor validate "
        f"{path}`; or write another file: janitor init FILE"
    )


def _refused(what: str, error: OSError) -> JanitorError:
    kind = StoreError if is_scarce(error) else ConfigError
    return kind(f"{what}: {cause(error, 'choose another place')}")


def _registry_of(path: Path, location: DataLocation) -> Path:
    """The absolute path of the registry of a configuration at `path`."""
    return (path.parent / location.registry.removeprefix("sqlite:///")).resolve()


def _for_its_owner_to_write(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)  # whatever the umask: who writes it says what is deleted


@click.command(
    "validate",
    epilog="Examples: `janitor validate`; `janitor validate config/janitor.yaml`; "
    "`janitor --output json validate --against-registry`. Exit code 2: the file is invalid.",
)
@click.argument("file", type=YAML_FILE, required=False)
@click.option(
    "--against-registry",
    is_flag=True,
    help="Also show how many registered threads each policy applies to.",
)
@click.pass_obj
def validate_command(settings: Settings, file: Path | None, *, against_registry: bool) -> None:
    """Check a configuration file, and explain what it means.

    Lists every problem at once, each with file, line, column, path and what to write instead. A
    valid file is explained policy by policy: which threads it applies to, how long their text is
    kept and where, and what share of them one sweep may remove. Warnings name the lines where
    policies together do something else than each says alone.
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

    The output is one JSON document whatever --output says.
    """
    from janitor.config.json_schema import file_schema

    click.echo(json.dumps(file_schema(), indent=2))


@click.command(
    "test",
    epilog="Example: `janitor --config config/janitor.yaml test config/policies_test.yaml`. Exit "
    "code 1: a test failed.",
)
@click.argument("files", type=YAML_FILE, nargs=-1, required=True, metavar="FILE...")
@click.pass_obj
def test_command(settings: Settings, files: Sequence[Path]) -> int:
    """Test the policies of --config against fixtures, each at its own time.

    Needs no key and no network. A failure is shown with what was expected and what the policies
    decide.
    """
    from janitor.config import load
    from janitor.config.fixtures import load_fixtures, try_out

    for path in files:
        if not path.exists():
            raise ConfigError(f"{path} does not exist: name the file with the policy tests")
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
    click.echo(f"{path} is valid")
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
    """Projects that reach the same containers, as far as the file shows: no secret is read."""
    from janitor.app.targets import endpoint
    from janitor.config.yaml_source import read_document
    from janitor.engine.shared_containers import sharing, warning

    if len(config.projects) == 1:  # spares the HTTP client, which reads the addresses
        return
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
    from janitor.app.clock import utc_now
    from janitor.app.open_registry import open_registry
    from janitor.engine.plan import survey

    with open_registry(config, read_only=True) as registry:
        return survey(registry, config.policies, utc_now())


def _survey_document(config: Config, found: Survey) -> Mapping[str, object]:
    from janitor.engine.redecide import described
    from janitor.policy import policies_digest

    return {
        "threads": dict(found.threads),
        "unmatched": found.unmatched,
        "unmatched_rules": found.silent_rules,
        "approval": described(policies_digest(config.policies), found.unapproved or None),
    }


def _show_survey(config: Config, found: Survey | None) -> None:
    from janitor.engine import unmatched_rules
    from janitor.engine.redecide import message
    from janitor.policy import policies_digest

    if found is None:
        return
    click.echo("\nIn the registry")
    for name, number in sorted(found.threads.items()):
        click.echo(f"  {plain(name)} applies to {counted(number, 'thread')}")
    click.echo(f"  {counted(found.unmatched, 'thread')} matched by no policy, left untouched")
    for rule in found.silent_rules:
        click.echo(f"  {plain(unmatched_rules.message(rule))}")
    if found.unapproved:
        click.echo(f"  {plain(message(policies_digest(config.policies), found.unapproved))}")


def _show_trial(fixture: Fixture, differences: Sequence[Difference]) -> None:
    click.echo(f"{'FAIL' if differences else 'ok  '} {plain(fixture.name)}")
    if differences:
        click.echo(f"     {fixture.place}")
    for one in differences:
        whose = f"{plain(one.id)} " if len(fixture.threads) > 1 else ""
        values = f"expected {plain(one.expected)}, got {plain(one.actual)}"
        click.echo(f"     {whose}{one.field}: {values}")


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
