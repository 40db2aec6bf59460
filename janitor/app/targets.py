"""Where each project's calls go, and why to some none can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from janitor.config import Project
from janitor.drivers import Endpoint
from janitor.errors import ConfigError

STAND_IN = "unreadable"


@dataclass(frozen=True, slots=True)
class Target:
    """One project's endpoint, or why no call can be made to it (`closed`).

    Which account an unreadable secret opens is unknown. It may be that of any project at the same
    address, so these projects share one `account` until the secret can be read, and
    `account_is_known` is false for all of them.
    """

    endpoint: Endpoint
    account: str
    account_is_known: bool = True
    closed: str | None = None


def targets(projects: Mapping[str, Project]) -> dict[str, Target]:
    """Each project's target, by name; an unreadable secret stops only its own project.

    Raises:
        ConfigError: No project's secret can be read.
    """
    opened: dict[str, Endpoint] = {}
    failed: dict[str, ConfigError] = {}
    for name, project in projects.items():
        try:
            opened[name] = endpoint(project)
        except ConfigError as error:
            failed[name] = error
    if failed and not opened:
        raise next(iter(failed.values()))
    unread = {name: endpoint(project, STAND_IN) for name, project in projects.items()}
    unsure = {unread[name].account for name in failed}

    def target(name: str) -> Target:
        is_known = unread[name].account not in unsure
        found = opened.get(name, unread[name])
        account = found.account if is_known else unread[name].account
        return Target(found, account, is_known, _why(name, failed.get(name)))

    return {name: target(name) for name in projects}


def _why(name: str, error: ConfigError | None) -> str | None:
    if error is None:
        return None
    return (
        f"project {name}: {error}. The project is stopped; none of its threads are read or "
        "removed. Fix that, then run: janitor plan"
    )


def endpoint(project: Project, api_key: str | None = None) -> Endpoint:
    """A project's endpoint, with its secret read again unless `api_key` stands in for it.

    Raises:
        ConfigError: The secret cannot be read, or cannot be sent in a header.
    """
    azure = project.azure
    return Endpoint(
        project.name,
        api_key or _api_key(project) or "none",
        base_url=project.base_url,
        organization=project.organization,
        project=project.project,
        query=project.query,
        headers=project.headers,
        azure_endpoint=azure.endpoint if azure else None,
        azure_api_version=azure.api_version if azure else None,
        timeout=project.timeout.total_seconds(),
        not_found=project.not_found,
    )


def _api_key(project: Project) -> str:
    """The project's secret; one that is unfit for a header would fail each call or add a header."""
    key = project.api_key.reveal()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"projects.{project.name}.api_key: the value of {project.api_key} is not an API key: "
            "it contains a line break or a non-ASCII character"
        )
    return key
