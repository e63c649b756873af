"""`/openapi.json` is whole and well-formed (api.md §5); that it is true is for every other test to see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

import vaultd
from tests.wire.vault import Vault
from vaultd.app.factory import create_app

# Between vaultd's own pages, the browser and the providers: no program and no app calls these.
BROWSERS_OWN = {
    ("GET", "/auth/callback/{provider}"),
    ("GET", "/auth/login"),
    ("GET", "/auth/login/callback"),
    ("POST", "/auth/logout"),
    ("GET", "/auth/signed-out"),
    ("POST", "/connections/away"),
    ("POST", "/notices/{provider}"),
    ("POST", "/connections/{account_id}/disconnect"),
    ("GET", "/connections/{account_id}/disconnect"),
    ("GET", "/connections/style.css"),
    ("GET", "/connections/brand.css"),
    ("GET", "/connections/logo"),
    ("GET", "/connections/logo-dark"),
}
THE_REFERENCE_ITSELF = {("GET", path) for path in ("/openapi.json", "/docs", "/docs/style.css")}
# Programs are generated from these names, so they stay.
OPERATIONS = {
    "issueToken": ("POST", "/oauth/token"),
    "beginConnection": ("POST", "/me/v1/connected-accounts/connect"),
    "completeConnection": ("POST", "/me/v1/connected-accounts/complete"),
    "listAccounts": ("GET", "/me/v1/connected-accounts/accounts"),
    "deleteAccount": ("DELETE", "/me/v1/connected-accounts/accounts/{account_id}"),
    "listConnections": ("GET", "/me/v1/connected-accounts/connections"),
    "listActivity": ("GET", "/me/v1/connected-accounts/activity"),
    "openTicket": ("GET", "/auth/connect"),
    "openDoor": ("GET", "/auth/connect/{provider}"),
    "openConnections": ("GET", "/connections"),
    "openActivity": ("GET", "/connections/activity"),
    "receiveLogoutToken": ("POST", "/auth/login/backchannel"),
    "listAuditEvents": ("GET", "/v1/audit/events"),
    "listUsersConnections": ("GET", "/v1/connections"),
    "deleteUsersConnection": ("DELETE", "/v1/connections/{connection_id}"),
    "eraseSubject": ("DELETE", "/v1/subjects"),
    "listKeys": ("GET", "/v1/keys"),
    "getServerMetadata": ("GET", "/.well-known/oauth-authorization-server"),
    "getOpenidConfiguration": ("GET", "/.well-known/openid-configuration"),
    "getKeySet": ("GET", "/.well-known/jwks.json"),
    "getLiveness": ("GET", "/health/live"),
    "getReadiness": ("GET", "/health/ready"),
}


@pytest.fixture
async def document(vault: Vault) -> dict[str, Any]:
    described: dict[str, Any] = (await vault.http.get("/openapi.json")).raise_for_status().json()
    return described


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def followed(document: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    found: Any = document if "$ref" in reference else reference
    for part in reference.get("$ref", "#/").removeprefix("#/").split("/"):
        found = found[part] if part else found
    assert isinstance(found, dict)
    return found


async def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document, cls=OpenAPIV31SpecValidator)
    assert document["openapi"].startswith("3.1.")


async def test_it_says_where_and_which_version(document: dict[str, Any], vault: Vault) -> None:
    assert document["servers"] == [{"url": vault.world.settings.public_url}]
    assert document["info"]["version"] == vaultd.__version__
    assert document["info"]["license"] == {"name": "Apache License 2.0", "identifier": "Apache-2.0"}


async def test_the_names_of_operations_stay(document: dict[str, Any]) -> None:
    named = {operation["operationId"]: (method, path) for method, path, operation in operations(document)}
    assert named == OPERATIONS


async def test_every_route_is_in_it(document: dict[str, Any], vault: Vault) -> None:
    app = create_app(vault.world.settings).framework
    async with app.router.lifespan_context(app):
        served = set(routes(app.routes))
    described = {(method, path) for method, path, _ in operations(document)}
    assert served == described | BROWSERS_OWN | THE_REFERENCE_ITSELF


async def test_every_operation_says_who_may_call_it(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    for _, path, operation in operations(document):
        for requirement in operation["security"]:
            assert set(requirement) <= set(schemes), path
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "oauth2", "apiKey"}
    flow = schemes["operatorClient"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == f"{document['servers'][0]['url']}/oauth/token"


async def test_every_answer_has_its_headers(document: dict[str, Any]) -> None:
    challenged = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
    for _, path, operation in operations(document):
        assert "422" not in operation["responses"], path
        assert {"500"} <= set(operation["responses"]), path
        for status, reference in operation["responses"].items():
            headers = followed(document, reference)["headers"]
            assert "X-Request-Id" in headers, (path, status)
            assert "Cache-Control" in headers, (path, status)
            if operation["operationId"] != "getReadiness" and status in challenged:
                assert challenged[status] in headers, (path, status)


async def test_the_token_endpoint_reads_two_encodings(document: dict[str, Any]) -> None:
    content = document["paths"]["/oauth/token"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/x-www-form-urlencoded", "application/json"}
    for encoded in content.values():
        forms = [followed(document, form) for form in encoded["schema"]["oneOf"]]
        assert [form["properties"]["grant_type"]["const"] for form in forms] == list(
            encoded["schema"]["discriminator"]["mapping"]
        )


async def test_the_metadata_point_here(vault: Vault) -> None:
    metadata = (await vault.http.get("/.well-known/oauth-authorization-server")).json()
    answer = await vault.http.get(httpx.URL(metadata["service_documentation"]).path)
    assert answer.status_code == 200


def routes(of: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Each method and path, without HEAD, which goes with some of the GETs."""
    for route in of:
        if hasattr(route, "original_router"):  # how FastAPI keeps a router that was included
            yield from routes(route.original_router.routes)
        else:
            yield from ((method, route.path) for method in route.methods if method != "HEAD")
