"""A consent under way is its user's, in their browser, to its end: whatever is changed, nobody takes it over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from tests.support.processes import install, serving
from tests.wire.beside import Log
from tests.wire.inside.within import Inside
from tests.wire.vault import App, consent, request_id, ticket_url
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.loopback import loopback_http

EVIL = "https://evil.example/steal"
VERIFIER = "a-verifier-that-the-app-keeps-and-nobody-else-has"
MADE_UP = {"auth_session": "made up by the attacker", "connect_code": "made up as well"}


@dataclass(frozen=True, slots=True)
class Granted:
    """A user's consent that the provider has granted, and nobody has completed; with its hashes in the database."""

    id: Any
    auth_session: str
    connect_code: str
    auth_session_hash: bytes
    connect_code_hash: bytes


async def ids(inside: Inside) -> set[Any]:
    return {row["id"] for row in await inside.rows("SELECT id FROM pending_grants")}


async def granted(inside: Inside, app: App) -> Granted:
    known = await ids(inside)
    begun = await app.begin(code_challenge=create_s256_code_challenge(VERIFIER), code_challenge_method="S256")
    code = (await app.returned(begun))["connect_code"]
    (new,) = await ids(inside) - known
    (hashes,) = await inside.rows("SELECT auth_session_hash, connect_code_hash FROM pending_grants WHERE id = $1", new)
    return Granted(new, begun.json()["auth_session"], code, **hashes)


async def complete(app: App, auth_session: str, connect_code: str, verifier: str | None = None) -> httpx.Response:
    body = {"auth_session": auth_session, "connect_code": connect_code, "redirect_uri": app.redirect_uri}
    body |= {"code_verifier": verifier} if verifier else {}
    return await app.http.post("complete", json=body, headers=request_id())


async def refused(log: Log, answer: httpx.Response) -> dict[str, Any]:
    """The one event of a completion that was refused."""
    assert answer.status_code == 400, answer.text
    assert "token" not in answer.text
    (event,) = await log.events_of(answer)
    assert (event["type"], event["decision"]) == ("account.refused", "refused")
    return event


async def has_nothing(app: App) -> None:
    assert (await app.http.get("accounts")).json() == {"accounts": []}


TAKEN_OVER = [
    "subject_id = {own}.subject_id",
    "code_challenge = NULL",
    "expires_at = {consent}.expires_at + interval '1 day'",
    "provider = 'slack'",
    "client_id = 'other-agent'",
    "kind = 'door'",
    "stage = 'sent'",
    "data_key_id = {own}.data_key_id",
    "sealed = {own}.sealed",
    "granted = {own}.granted",
    "redirect_uri = 'https://evil.example/steal'",
]


async def test_made_up_hashes_are_found_by_nobody(inside: Inside, log: Log, victim: App, attacker: App) -> None:
    """The way it could be done where hashes were plain: a session and a code of one's own, without a challenge."""
    theirs, own = await granted(inside, victim), await granted(inside, attacker)
    hashes = [hashlib.sha256(word.encode()).digest() for word in MADE_UP.values()]
    await inside.serving(
        "UPDATE pending_grants t SET subject_id = o.subject_id, auth_session_hash = $3, connect_code_hash = $4,"
        " code_challenge = NULL, expires_at = t.expires_at + interval '1 day' FROM pending_grants o"
        " WHERE t.id = $1 AND o.id = $2",
        theirs.id,
        own.id,
        *hashes,
    )
    event = await refused(log, await complete(attacker, **MADE_UP))
    assert event["reason"] == "connect_code"
    await has_nothing(attacker)


@pytest.mark.parametrize("change", TAKEN_OVER)
async def test_a_granted_consent_that_was_changed_is_nobodys(
    inside: Inside, log: Log, victim: App, attacker: App, change: str
) -> None:
    """With the hashes of a consent of one's own, so that the row is found by words that the attacker has."""
    theirs, own = await granted(inside, victim), await granted(inside, attacker)
    before = await inside.findings()
    column = change.split(" = ", maxsplit=1)[0]
    await inside.serving(
        "WITH o AS (DELETE FROM pending_grants WHERE id = $2 RETURNING *)"  # noqa: S608
        f" UPDATE pending_grants t SET {change.format(own='o', consent='t')} FROM o WHERE t.id = $1",
        theirs.id,
        own.id,
    )
    await inside.serving(
        "UPDATE pending_grants SET auth_session_hash = $2, connect_code_hash = $3 WHERE id = $1",
        theirs.id,
        own.auth_session_hash,
        own.connect_code_hash,
    )
    event = await refused(log, await complete(attacker, own.auth_session, own.connect_code, VERIFIER))
    assert event["reason"] == ("connect_code" if column == "stage" else "cannot_open")
    await has_nothing(attacker)
    event = await refused(log, await complete(victim, theirs.auth_session, theirs.connect_code, VERIFIER))
    assert event["reason"] == "connect_code"
    await has_nothing(victim)
    assert f"consent {theirs.id}" in " ".join(await inside.findings() - before)


@pytest.mark.parametrize("change", [one for one in TAKEN_OVER if "own" not in one])
async def test_its_own_user_is_not_led_astray(inside: Inside, log: Log, victim: App, change: str) -> None:
    theirs = await granted(inside, victim)
    await inside.serving(f"UPDATE pending_grants t SET {change.format(consent='t')} WHERE id = $1", theirs.id)  # noqa: S608
    event = await refused(log, await complete(victim, theirs.auth_session, theirs.connect_code, VERIFIER))
    assert event["reason"] == ("connect_code" if change.startswith("stage") else "cannot_open")
    await has_nothing(victim)


async def test_a_copy_of_a_consent_is_nobodys(inside: Inside, log: Log, victim: App, attacker: App) -> None:
    theirs, own = await granted(inside, victim), await granted(inside, attacker)
    columns = [
        row["column_name"]
        for row in await inside.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'pending_grants'"
            " AND table_schema = 'public'"
        )
    ]
    changed = {"id": "gen_random_uuid()", "subject_id": "o.subject_id"}
    changed |= {name: f"o.{name}" for name in columns if name.endswith("_hash")}
    values = ", ".join(changed.get(name, f"t.{name}") for name in columns)
    await inside.rows("CREATE TABLE copied AS SELECT * FROM pending_grants WHERE id = $1", own.id)
    await inside.rows("DELETE FROM pending_grants WHERE id = $1", own.id)
    await inside.rows(
        f"INSERT INTO pending_grants ({', '.join(columns)}) SELECT {values}"  # noqa: S608
        " FROM pending_grants t, copied o WHERE t.id = $1",
        theirs.id,
    )
    event = await refused(log, await complete(attacker, own.auth_session, own.connect_code, VERIFIER))
    assert event["reason"] == "cannot_open"
    await has_nothing(attacker)
    answer = await complete(victim, theirs.auth_session, theirs.connect_code, VERIFIER)
    assert answer.status_code == 201, "the victim's own is as it was"


async def at_the_door(inside: Inside, carol: Browser) -> httpx.URL:
    """Where the provider sends Carol's browser once she has allowed it."""
    await carol.open(f"{inside.world.places.vault}/auth/connect/github")
    await carol.click("Continue to GitHub")
    await carol.click("Carol")
    return httpx.URL((await carol.click("Allow")).url)


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'api'",
        "redirect_uri = 'https://evil.example/steal'",
        "client_id = 'briefing-agent'",
        "subject_id = (SELECT subject_id FROM connections LIMIT 1)",
        "expires_at = expires_at + interval '1 day'",
        "code_challenge = 'x'",
        "kind = 'api', subject_id = (SELECT subject_id FROM connections LIMIT 1), auth_session_hash = sha256('x')",
    ],
)
async def test_a_consent_at_the_provider_that_was_changed_ends_there(
    inside: Inside, log: Log, carol: Browser, attacker: App, change: str
) -> None:
    await attacker.connect()
    known = await ids(inside)
    back = await at_the_door(inside, carol)
    (new,) = await ids(inside) - known
    await inside.serving(f"UPDATE pending_grants SET {change} WHERE id = $1", new)  # noqa: S608
    redeemed = inside.world.providers["github"].calls["redeem"]
    answer, event = await log.refusal(carol.http.get(back))
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert "evil.example" not in answer.text
    assert (event["type"], event["reason"]) == ("connection.refused", "cannot_open")
    assert inside.world.providers["github"].calls["redeem"] == redeemed, "no code is redeemed for nobody"
    assert "Nothing is connected" in (await carol.open(f"{inside.world.places.vault}/connections")).text


@pytest.mark.parametrize("change", ["redirect_uri = 'https://evil.example/steal'", "subject_id = o.subject_id"])
async def test_a_ticket_that_was_changed_leads_nowhere(
    inside: Inside, log: Log, victim: App, attacker: App, change: str
) -> None:
    known = await ids(inside)
    begun = await victim.begin()
    (new,) = await ids(inside) - known
    await attacker.begin()
    await inside.serving(
        f"UPDATE pending_grants t SET {change} FROM pending_grants o WHERE t.id = $1 AND o.id <> t.id",  # noqa: S608
        new,
    )
    for accept in ("text/html", "*/*"):
        async with loopback_http() as http:
            answer, event = await log.refusal(http.get(ticket_url(begun), headers={"Accept": accept}))
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
        assert "evil.example" not in answer.text
        assert event["reason"] == "cannot_open"


class TestPlacesThatAreNoMore:
    """The client's configuration has lost the place while the consent was under way: a process with another file."""

    @pytest.fixture(scope="class")
    @classmethod
    def narrower(cls, inside: Inside) -> Iterator[str]:
        back = f"{inside.world.places.agent}/connected"
        changed = {f'redirect_uris = ["{back}"]': 'redirect_uris = ["https://elsewhere.example/"]'}
        with serving(install(inside.world, "narrower", changed)) as running:
            yield running.url

    async def test_no_ticket_leads_there(self, inside: Inside, log: Log, victim: App, narrower: str) -> None:
        for accept in ("text/html", "*/*"):
            url = ticket_url(await victim.begin()).replace(inside.world.places.vault, narrower)
            async with loopback_http() as http:
                answer = await http.get(url, headers={"Accept": accept, **request_id()})
            assert (answer.status_code, answer.headers.get("location")) == (400, None)
            assert victim.redirect_uri not in answer.text
        who = {"subject_issuer": inside.world.places.issuer, "subject": victim.user}
        events = (await log.audit(**who))["events"]
        assert [(event["type"], event["reason"]) for event in events] == [("connection.refused", "redirect_uri")] * 2

    async def test_no_callback_leads_there(self, inside: Inside, log: Log, victim: App, narrower: str) -> None:
        vault = inside.world.places.vault
        begun = await victim.begin()
        async with Browser(stop_at=[f"{vault}/auth/callback/"]) as browser:
            back = (await consent(browser, ticket_url(begun))).url
            redeemed = inside.world.providers["github"].calls["redeem"]
            answer = await browser.http.get(back.replace(vault, narrower), headers=request_id())
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
        assert inside.world.providers["github"].calls["redeem"] == redeemed
        who = {"subject_issuer": inside.world.places.issuer, "subject": victim.user}
        (event,) = (await log.audit(**who))["events"]
        assert (event["type"], event["reason"]) == ("connection.refused", "redirect_uri")
