"""docs/guides/identity-providers.md: each `[issuers.X]` block, with tokens of the shape that X documents (issue 7)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.guides import GUIDES, blocks
from tests.support.toml import laid_over
from tests.wire.guides.conftest import SHARED_SECRET
from tests.wire.guides.documented import DocumentedIntrospection, DocumentedIssuer, Minting, moved
from tests.wire.guides.shapes import Shape
from tests.wire.guides.shapes_of_apps import OF_APPS
from tests.wire.guides.shapes_of_companies import OF_COMPANIES
from tests.wire.guides.vaults import OTHER_AGENT, Ground, guided_app, guided_vault
from tests.wire.vault import Vault, bearer, fresh, request_id
from vaultd.sandbox.dev_config import BRIEFING_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World

GUIDE = GUIDES / "identity-providers.md"
BASE, *REST = [tomllib.loads(block.text) for block in blocks(GUIDE, "toml")]
BLOCKS = {name: block for block in REST for name in block["issuers"]}
SHAPES = {**OF_APPS, **OF_COMPANIES}
ACCOUNTS = "/me/v1/connected-accounts/accounts"


@dataclass(frozen=True, slots=True)
class Running:
    """A vault of one block, and the issuer in it."""

    name: str
    world: World
    table: dict[str, Any]
    shape: Shape
    issuer: Minting

    def user(self) -> str:
        return f"{self.shape.claims['sub']}-{fresh('user')}"


@pytest.fixture(scope="module", params=sorted(SHAPES))
def running(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Running]:
    name, issuer_at = str(request.param), listen()
    shape = SHAPES[name]
    table = moved(BLOCKS[name]["issuers"][name], issuer_at.url)
    issuer: Minting
    if "introspection" in table:
        issuer = DocumentedIntrospection(shape, table, secret=SHARED_SECRET)
    else:
        issuer = DocumentedIssuer(shape, table, base=issuer_at.url, shared_secret=SHARED_SECRET)
    document = laid_over(laid_over(BASE, BLOCKS[name]), {"issuers": {name: table}})
    with guided_vault(ground, document, issuer=issuer.app, issuer_at=issuer_at) as world:
        yield Running(name, world, table, shape, issuer)


async def test_a_good_token_connects_an_account_and_is_exchanged(running: Running) -> None:
    user = running.user()
    token = running.issuer.mint(user)
    (redirect_uri,) = BASE["clients"][BRIEFING_AGENT]["redirect_uris"]
    async with Vault(running.world) as vault, guided_app(running.world, token, redirect_uri) as app:
        await app.connect("github")
        answer = await vault.exchange(token)
        assert answer.status_code == 200, answer.text
        assert running.world.providers["github"].grants.access(answer.json()["access_token"]) is not None
        (event,) = await vault.events_of(answer)
    assert (event["decision"], event["client_id"]) == ("allowed", BRIEFING_AGENT)
    assert event["subject"] == {"issuer": running.table["issuer"], "sub": user}


async def test_what_is_not_for_this_vault_or_this_app_is_refused(running: Running) -> None:
    """A2, A5: wrong audience, wrong app, wrong role, wrong kind."""
    async with Vault(running.world) as vault:
        for refused in running.shape.refused:
            token = running.issuer.mint(running.user(), refused.claims, refused.header)
            answer = await vault.exchange(token)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), refused.what
            (event,) = await vault.events_of(answer)
            assert (event["decision"], event["reason"]) == ("refused", refused.reason), refused.what


async def test_another_backend_may_not_present_it(running: Running) -> None:
    """A5: whether the token names its app, or only a trusted client may present it."""
    token = running.issuer.mint(running.user())
    async with Vault(running.world) as vault:
        form, credentials = vault.exchange_form(token), (OTHER_AGENT, vault.agent[1])
        answer = await vault.http.post("/oauth/token", data=form, auth=credentials, headers=request_id())
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert [event["reason"] for event in await vault.events_of(answer)] == ["wrong_presenter"]
    trusted = running.table.get("trusted_clients", [])
    if running.shape.client is None:
        assert trusted == [BRIEFING_AGENT]
    else:
        assert (running.table.get("client_claim", "azp"), trusted) == (running.shape.client, [])


async def test_without_account_scopes_the_app_must_be_known(running: Running) -> None:
    """A5 on the accounts API: the token's app is a client's, where no scope says that it may."""
    foreign = [refused for refused in running.shape.refused if refused.reason == "wrong_presenter"]
    expected = 401 if running.table.get("account_scopes") == "off" else 200
    async with Vault(running.world) as vault:
        for refused in foreign:
            token = running.issuer.mint(running.user(), refused.claims, refused.header)
            status = (await vault.http.get(ACCOUNTS, headers=bearer(token))).status_code
            assert status == expected, refused.what


async def test_accounts_need_their_scopes_unless_the_issuer_cannot_give_them(running: Running) -> None:
    """api.md §2 and §6, `account_scopes`."""
    name = "scp" if "scp" in running.shape.claims else "scope"
    token = running.issuer.mint(running.user(), {name: ...})
    async with Vault(running.world) as vault:
        status = (await vault.http.get(ACCOUNTS, headers=bearer(token))).status_code
    gives_them = ACCOUNT_SCOPES.split()[0] in json.dumps(running.shape.claims)
    assert (running.table.get("account_scopes", "required"), status) == (
        ("required", 403) if gives_them else ("off", 200)
    )


@pytest.mark.parametrize("running", ["clerk"], indirect=True)
async def test_who_impersonates_a_user_is_recorded(running: Running) -> None:
    """Clerk's `act`, as its page on session tokens has it."""
    actor = {"iss": "https://dashboard.clerk.com", "sid": "sess_456", "sub": "user_456"}
    token = running.issuer.mint(running.user(), {"act": actor})
    async with Vault(running.world) as vault:
        answer = await vault.exchange(token)
        assert answer.json()["error"] == "interaction_required", answer.text
        (event,) = await vault.events_of(answer)
    assert event["actor"] == actor


def test_every_shape_has_its_block_and_every_block_its_shape() -> None:
    assert sorted(BLOCKS) == sorted(SHAPES)


def test_the_tokens_shown_are_those_of_the_fixtures() -> None:
    """Each payload in the guide is part of the one that the tests use; above its block, in the same section."""
    shown = blocks(GUIDE, "json")
    assert shown
    for block in shown:
        payload = json.loads(block.text)
        below = next(toml for toml in blocks(GUIDE, "toml") if toml.line > block.line)
        assert below.heading == block.heading
        (name,) = tomllib.loads(below.text)["issuers"]
        expected = {"iss": BLOCKS[name]["issuers"][name]["issuer"], **SHAPES[name].claims}
        assert {member: expected[member] for member in payload} == payload, block.heading


def test_every_section_names_the_pages_that_its_token_is_from() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for name, shape in SHAPES.items():
        assert shape.pages[0] in guide, name
        assert shape.looked_at in guide
