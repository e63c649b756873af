"""docs/guides/from-auth0-token-vault.md: its file serves, and its requests are answered as it shows (issue 7)."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.guides import GUIDES, blocks
from tests.support.toml import laid_over
from tests.wire.guides.conftest import SHARED_SECRET
from tests.wire.guides.documented import DocumentedIssuer, moved
from tests.wire.guides.shapes_of_apps import OF_APPS
from tests.wire.guides.vaults import Ground, guided_app, guided_vault
from tests.wire.vault import App, fresh
from vaultd.sandbox.apis import CALENDAR_SCOPE
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World

GUIDE = GUIDES / "from-auth0-token-vault.md"
VAULT = "https://vault.example.com"
CONNECTION = "google-oauth2"
(FILE,) = [tomllib.loads(block.text) for block in blocks(GUIDE, "toml")]
GRANTED, REFUSED = (json.loads(block.text) for block in blocks(GUIDE, "json"))


@dataclass(frozen=True, slots=True)
class Tenant:
    """The vault of the guide, and the Auth0 tenant in it."""

    world: World
    issuer: DocumentedIssuer
    secret: str

    def app(self, token: str) -> App:
        (redirect_uri,) = FILE["clients"]["calendar-api"]["redirect_uris"]
        return guided_app(self.world, token, redirect_uri)


@pytest.fixture(scope="module")
def tenant(ground: Ground) -> Iterator[Tenant]:
    at = listen()
    table = moved(FILE["issuers"]["auth0"], at.url)
    issuer = DocumentedIssuer(OF_APPS["auth0"], table, base=at.url, shared_secret=SHARED_SECRET)
    document = laid_over(FILE, {"issuers": {"auth0": table}})
    with guided_vault(ground, document, issuer=issuer.app, issuer_at=at) as world:
        yield Tenant(world, issuer, ground.environ["CALENDAR_API_SECRET"])


def _asked(tenant: Tenant, token: str) -> dict[str, Any]:
    (curl,) = blocks(GUIDE, "sh")
    environ = {"PATH": os.environ["PATH"], "CALENDAR_API_SECRET": tenant.secret, "ACCESS_TOKEN": token}
    script = curl.text.replace(VAULT, tenant.world.places.vault)
    done = subprocess.run(["bash", "-euc", script], env=environ, capture_output=True, check=True, timeout=30)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _as_shown(answer: Mapping[str, Any], tenant: Tenant) -> dict[str, Any]:
    return {
        name: value.replace(tenant.world.places.vault, VAULT) if isinstance(value, str) else value
        for name, value in answer.items()
    }


async def test_auths_contract_connects_and_its_grant_exchanges(tenant: Tenant) -> None:
    """Under the connection's name at Auth0: My Account API, then the curl, then the fallback that is not needed."""
    token = tenant.issuer.mint(fresh("auth0|"))
    assert _as_shown(_asked(tenant, token), tenant) == REFUSED
    async with tenant.app(token) as app:
        listed = (await app.http.get("connections")).json()["connections"]
        assert [each["name"] for each in listed] == [CONNECTION]
        begun = await app.begin(CONNECTION, scopes=[CALENDAR_SCOPE])
        came_back = await app.returned(begun)
        made = await app.complete(begun, came_back["connect_code"])
        assert made.status_code == 201, made.text
    answer = _asked(tenant, token)
    assert answer.keys() == GRANTED.keys()
    for name in ("issued_token_type", "token_type", "scope", "connection", "account"):
        assert answer[name] == GRANTED[name]
    google = tenant.world.providers[CONNECTION]
    assert google.grants.access(answer["access_token"]) is not None
    got = _google_token(tenant)(token, tenant.secret, lambda: pytest.fail("Auth0 was asked"))
    assert google.grants.access(got) is not None


def test_auth0_is_asked_while_a_user_has_not_connected_here(tenant: Tenant) -> None:
    token = tenant.issuer.mint(fresh("auth0|"))
    assert _google_token(tenant)(token, tenant.secret, lambda: "from Auth0") == "from Auth0"


def test_the_link_of_an_interrupt_asks_for_what_the_client_may_have() -> None:
    (link,) = blocks(GUIDE, "")
    parts = urlsplit(link.text.strip())
    query = {name: value for name, (value,) in parse_qs(parts.query).items()}
    client = FILE["clients"][FILE["default_client"]]
    assert parts.path == f"/auth/connect/{CONNECTION}"
    assert query["scope"].split() == client["providers"][CONNECTION]
    assert query["return_to"] in client["redirect_uris"]


def _google_token(tenant: Tenant) -> Any:
    (block,) = blocks(GUIDE, "python")
    names: dict[str, Any] = {}
    exec(block.text.replace(VAULT, tenant.world.places.vault), names)  # noqa: S102
    return names["google_token"]
