from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx2
import pytest
from container_server import ENDPOINT, ID, VERB_NAMES, VERBS, Act, Server, probe, run

from janitor.drivers import Endpoint
from janitor.drivers.connect import connect
from janitor.errors import AccessError
from janitor.model import Kind

AZURE = Endpoint(
    "main",
    "azure-secret",
    azure_endpoint="https://house.openai.azure.test",
    azure_api_version="2026-01-01",
)
STRAY = {
    "OPENAI_API_KEY": "sk-stray",
    "OPENAI_ADMIN_KEY": "sk-stray-admin",
    "OPENAI_BASE_URL": "https://stray.test/v1",
    "OPENAI_ORG_ID": "org-stray",
    "OPENAI_PROJECT_ID": "proj-stray",
    "OPENAI_WEBHOOK_SECRET": "stray",
    "OPENAI_CUSTOM_HEADERS": "X-Stray: 1\nAuthorization: Bearer stray",
    "AZURE_OPENAI_API_KEY": "stray",
    "AZURE_OPENAI_AD_TOKEN": "stray",
    "AZURE_OPENAI_ENDPOINT": "https://stray.test",
    "OPENAI_API_VERSION": "stray",
}


def requests_of(kind: Kind, verb: Act, endpoint: Endpoint) -> list[httpx2.Request]:
    server = Server(kind)
    run(kind, server, verb, endpoint)
    return server.requests


@pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
def test_query_and_headers_go_with_every_call(kind: Kind, verb: Act) -> None:
    endpoint = replace(ENDPOINT, query={"tenant": "a b"}, headers={"X-Gateway": "g"})
    for request in requests_of(kind, verb, endpoint):
        assert request.url.params["tenant"] == "a b"
        assert request.headers["X-Gateway"] == "g"
        assert request.headers["Authorization"] == "Bearer sk-secret-key"


@pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
def test_organization_and_project_go_with_every_call(kind: Kind, verb: Act) -> None:
    endpoint = replace(ENDPOINT, organization="org-1", project="proj-1")
    for request in requests_of(kind, verb, endpoint):
        assert request.headers["OpenAI-Organization"] == "org-1"
        assert request.headers["OpenAI-Project"] == "proj-1"


@pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
def test_azure_takes_its_version_and_its_key(kind: Kind, verb: Act) -> None:
    for request in requests_of(kind, verb, AZURE):
        assert request.url.host == "house.openai.azure.test"
        assert request.url.path.startswith("/openai/")
        assert request.url.params["api-version"] == "2026-01-01"
        assert request.headers["api-key"] == "azure-secret"
        assert "Authorization" not in request.headers


@pytest.mark.parametrize("endpoint", [ENDPOINT, AZURE], ids=["openai", "azure"])
@pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
def test_the_environment_redirects_nothing(
    kind: Kind, verb: Act, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in STRAY.items():
        monkeypatch.setenv(name, value)
    for request in requests_of(kind, verb, endpoint):
        assert "stray" not in str(request.url)
        assert not [name for name in request.headers if "stray" in request.headers[name]]
        assert "X-Stray" not in request.headers
        assert "OpenAI-Organization" not in request.headers
        assert "OpenAI-Project" not in request.headers


def test_the_timeout_reaches_the_transport() -> None:
    (request, *_) = requests_of(Kind.CONVERSATION, probe, replace(ENDPOINT, timeout=3.0))
    assert set(request.extensions["timeout"].values()) == {3.0}


def test_an_empty_key_is_an_access_error() -> None:
    async def main() -> None:
        async with connect(replace(ENDPOINT, api_key="")):
            pass

    with pytest.raises(AccessError, match=r"projects\.main"):
        asyncio.run(main())


def test_every_kind_has_its_driver() -> None:
    async def main() -> dict[Kind, Kind]:
        async with connect(ENDPOINT, transport=httpx2.MockTransport(Server(Kind.THREAD))) as found:
            return {kind: driver.kind for kind, driver in found.items()}

    assert asyncio.run(main()) == {kind: kind for kind in Kind}


def test_the_transport_is_closed_in_the_end() -> None:
    closed: list[bool] = []

    class Noting(httpx2.MockTransport):
        async def aclose(self) -> None:
            closed.append(True)

    async def main() -> None:
        async with connect(ENDPOINT, transport=Noting(Server(Kind.THREAD))) as drivers:
            await drivers[Kind.THREAD].probe(ID)

    asyncio.run(main())
    assert closed == [True]


def test_an_endpoint_shows_no_secret() -> None:
    endpoint = replace(
        ENDPOINT, base_url="https://user:word@api.example.test/v1?k=v", headers={"X-Key": "hidden"}
    )
    assert repr(endpoint) == "Endpoint(name='main', host='api.example.test')"


def test_a_fingerprint_changes_with_what_it_stands_for_and_hides_it() -> None:
    changes: list[dict[str, object]] = [
        {"api_key": "sk-other"},
        {"base_url": "https://other.test/v1"},
        {"organization": "org-1"},
        {"project": "proj-1"},
        {"query": {"a": "b"}},
        {"headers": {"a": "b"}},
        {"azure_endpoint": "https://house.test"},
    ]
    prints = {ENDPOINT.fingerprint, *(replace(ENDPOINT, **one).fingerprint for one in changes)}  # type: ignore[arg-type]
    assert len(prints) == len(changes) + 1
    assert all(len(found) == 16 and found.isalnum() for found in prints)
    assert replace(ENDPOINT, name="other", timeout=1.0).fingerprint == ENDPOINT.fingerprint


SPELLINGS = [
    "https://API.example.test/v1",
    "https://api.example.test:443/v1/",
    "https://api.example.test.//v1",
    "https://api.example.test/v1/../v1",
]


@pytest.mark.parametrize("base_url", SPELLINGS)
def test_an_account_is_the_same_however_its_address_is_spelled(base_url: str) -> None:
    plain = replace(ENDPOINT, base_url="https://api.example.test/v1")
    assert replace(plain, base_url=base_url, name="other", timeout=1.0).account == plain.account


def test_an_account_is_another_where_the_tenant_is() -> None:
    changes: list[dict[str, object]] = [
        {"api_key": "sk-other"},
        {"base_url": "https://other.test/v1"},
        {"base_url": "https://api.example.test/v2"},
        {"base_url": "https://api.example.test:8443/v1"},
        {"organization": "org-1"},
        {"project": "proj-1"},
        {"query": {"a": "b"}},
        {"headers": {"a": "b"}},
    ]
    accounts = {replace(ENDPOINT, **one).account for one in changes}  # type: ignore[arg-type]
    assert len({ENDPOINT.account, *accounts}) == len(changes) + 1
    headers = [{"X-Tenant": "a"}, {"x-tenant": " a"}]
    assert len({replace(ENDPOINT, headers=one).account for one in headers}) == 1


def test_loopback_is_one_host_by_all_its_names() -> None:
    hosts = ("localhost", "127.0.0.1", "127.0.0.2", "[::1]")
    urls = [f"http://{host}:8080/v1" for host in hosts]
    assert len({replace(ENDPOINT, base_url=url).account for url in urls}) == 1
