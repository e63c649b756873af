"""The user's switch against agents that act while they are away, from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.processes import install, serving
from tests.support.signing import Signer
from tests.wire.night import MAY, PROVIDERS, Night, open_night
from tests.wire.vault import Vault
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.world import World

SWITCH = "night-agent may act for you while you are away"


@pytest_asyncio.fixture(scope="module")
async def night(world: World) -> AsyncIterator[Night]:
    async with open_night(world) as opened:
        yield opened


@pytest_asyncio.fixture
async def carol(world: World) -> AsyncIterator[Browser]:
    """Signed in, with an account at GitHub that is gone afterwards."""
    async with Browser() as browser, AppUser(world, PEOPLE["carol"]) as user:
        account = await user.connect("github")
        await browser.open(f"{world.places.vault}/connections")
        await browser.click("Carol")
        yield browser
        await user.disconnect(account["id"])


@pytest.fixture(scope="module")
def elsewhere(world: World, night: Night) -> Iterator[tuple[str, Signer]]:
    """The same client at another process."""
    signer = Signer("night-agent", vault=world.places.vault, key=night.signers["night-agent"].key)
    table = signer.table(MAY + 'assert_issuer = "sandbox"', PROVIDERS)
    with serving(install(world, "night-elsewhere", {"[keys]\n": f"{table}[keys]\n"})) as running:
        yield running.url, signer


async def test_a_user_can_switch_an_agent_off_and_on_again(
    world: World, vault: Vault, night: Night, carol: Browser, elsewhere: tuple[str, Signer]
) -> None:
    page = await carol.open(f"{night.url}/connections")
    assert "night-agent At GitHub On" in page.text
    assert (await night.ask("carol")).status_code == 200

    page = await carol.click(SWITCH)
    assert page.url == f"{night.url}/connections?status=away_off&agent=night-agent#away"
    assert "night-agent may not act for you while you are away any more." in page.text
    assert "night-agent At GitHub Off" in page.text
    refused = await night.ask("carol")
    assert (refused.status_code, refused.content) == (400, (await vault.exchange("x")).content)
    (event,) = await vault.events_of(refused)
    assert (event["reason"], event["subject_presence"]) == ("away_refused", "asserted")
    assert event["subject"]["sub"] == "carol"
    # It holds at once in every process, and for this agent alone.
    url, signer = elsewhere
    form = night.form(signer.subject(sub="carol")) | signer.credentials()
    async with loopback_http() as http:
        assert (await http.post(f"{url}/oauth/token", data=form)).status_code == 400
    assert (await night.ask("carol", "wide-agent")).status_code == 200
    assert (await vault.exchange(world.issuer.mint("carol", azp=SAMPLE_AGENT))).status_code == 200

    page = await carol.click(SWITCH)
    assert "night-agent may act for you while you are away." in page.text
    assert "night-agent At GitHub On" in page.text
    assert (await night.ask("carol")).status_code == 200
    switched = [event for kind in ("away.refused", "away.allowed") for event in await _events(vault, kind)]
    assert [event["type"] for event in switched] == ["away.refused", "away.allowed"]
    for event in switched:
        assert (event["client_id"], event["decision"]) == ("night-agent", "allowed")
        assert event["subject"] == {"issuer": world.places.issuer, "sub": "carol"}


async def _events(vault: Vault, kind: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = (await vault.audit(type=kind))["events"]
    return events


async def test_only_agents_of_the_users_own_issuer_are_shown(night: Night, carol: Browser) -> None:
    page = await carol.open(f"{night.url}/connections")
    switches = {button.spoken for form in page.forms for button in form.buttons}
    assert "far-agent may act for you while you are away" in switches
    assert not any("foreign-agent" in spoken or "day-agent" in spoken for spoken in switches)


@pytest.mark.parametrize(
    ("changed", "statuses"),
    [
        ({"csrf": "x"}, {400, 403}),
        ({"csrf": ""}, {400, 403}),
        ({"client": "foreign-agent"}, {404}),
        ({"client": "day-agent"}, {404}),
        ({"client": "nobody"}, {404}),
        ({"client": "a\0b"}, {404}),
        ({"client": "x" * 300}, {400}),
        ({"use": "perhaps"}, {400}),
    ],
    ids=str,
)
async def test_b7_a_switch_that_is_not_one_of_the_pages_is_refused(
    vault: Vault, night: Night, carol: Browser, changed: dict[str, str], statuses: set[int]
) -> None:
    before = len(await _events(vault, "away.refused"))
    page = await carol.open(f"{night.url}/connections")
    form = {"csrf": page.forms[0].fields["csrf"], "client": "night-agent", "use": "refuse", **changed}
    answer = await carol.http.post(f"{night.url}/connections/away", data=form)
    assert answer.status_code in statuses, answer.text
    assert len(await _events(vault, "away.refused")) == before
    async with loopback_http() as stranger:
        assert (await stranger.post(f"{night.url}/connections/away", data=form)).status_code in {400, 403}
