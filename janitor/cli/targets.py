"""Where the projects' containers live, and with which secret each is reached this time."""

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

    Whose account an unreadable secret opens nobody knows. It may be that of any project at the
    same address, so these have one `account` until it can be read, and none of them
    `account_is_known`.
    """

    endpoint: Endpoint
    account: str
    account_is_known: bool = True
    closed: str | None = None


def targets(projects: Mapping[str, Project]) -> dict[str, Target]:
    """Each project's target, by name; one whose secret cannot be read concerns itself alone.

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
    return f"project {name}: {error}. The project stops; nothing of it is read or removed"


def endpoint(project: Project, api_key: str | None = None) -> Endpoint:
    """Where a project's containers live, with its secret read anew unless a stand-in is given.

    Raises:
        ConfigError: The secret cannot be read, or is none that a request can carry.
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
    """The project's secret; what no header can carry would fail each call, or be two headers."""
    key = project.api_key.reveal()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"projects.{project.name}.api_key: what {project.api_key} holds is not an API key: it "
            "has a line break, or a character that is not ASCII"
        )
    return key
