"""api.md §1.2 from outside: subjects that a client asserts by its signature, and the user's switch against it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from tests.support.signing import ABSENT, Signer
from tests.wire.night import OTHER_ISSUER, Night, open_night
from tests.wire.vault import ACCESS_TOKEN, App, Vault, fresh, from_elsewhere, request_id
from vaultd.db import Database
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.world import World
from vaultd.subjects.store import subjects_table
from vaultd.terms import system_clock


@pytest_asyncio.fixture(scope="module")
async def night(world: World) -> AsyncIterator[Night]:
    async with open_night(world) as opened:
        yield opened


async def test_a_night_agent_gets_a_token_for_a_user_who_is_away(
    world: World, vault: Vault, night: Night, app: App
) -> None:
    await app.connect()
    answer = await night.ask(app.user)
    assert answer.status_code == 200, answer.text
    assert world.providers["github"].grants.access(answer.json()["access_token"]) is not None
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["decision"], event["client_id"]) == ("token.exchanged", "allowed", "night-agent")
    assert event["subject_presence"] == "asserted"
    assert event["subject"] == {"issuer": world.places.issuer, "sub": app.user}
    present = await vault.exchange(app.session_token)
    assert (await vault.events_of(present))[0]["subject_presence"] == "present"


async def test_a_bare_sub_will_do_for_users_of_one_issuer(night: Night, app: App) -> None:
    await app.connect()
    signer = night.signers["night-agent"]
    for names in ({}, {"aud": f"{night.url}/"}, {"sub_id": night.sub_id(app.user)}):
        answer = await night.send("night-agent", signer.subject(sub=app.user, **names))
        assert answer.status_code == 200, answer.text
    several = await night.send("wide-agent", night.signers["wide-agent"].subject(sub=app.user))
    assert (several.status_code, several.json()["error"]) == (400, "invalid_request")
    assert (await night.ask(app.user, "wide-agent")).status_code == 200


def _changed(header: Mapping[str, object] | None = None, /, **claims: object) -> Callable[[Night, str], str]:
    def make(night: Night, user: str) -> str:
        return night.signers["night-agent"].subject(header, **{"sub_id": night.sub_id(user), **claims})

    return make


def _lived(*, since: int | None, until: int) -> Callable[[Night, str], str]:
    def make(night: Night, user: str) -> str:
        now = int(system_clock().timestamp())
        return _changed(iat=ABSENT if since is None else now + since, exp=now + until)(night, user)

    return make


def _by_another(night: Night, user: str) -> str:
    return night.signers["wide-agent"].subject(iss="night-agent", sub_id=night.sub_id(user))


def _about(**changed: object) -> Callable[[Night, str], str]:
    return lambda night, user: _changed(sub_id={**night.sub_id(user), **changed})(night, user)


BAD: Mapping[str, tuple[str, Callable[[Night, str], str]]] = {
    "for another vault": ("wrong_audience", _changed(aud="https://other.example")),
    "for the token endpoint": ("wrong_audience", lambda n, u: _changed(aud=f"{n.url}/oauth/token")(n, u)),
    "for a list with us in it": ("wrong_audience", lambda n, u: _changed(aud=[n.url])(n, u)),
    "for nobody": ("missing_claim", _changed(aud=ABSENT)),
    "no exp": ("missing_claim", _changed(exp=ABSENT)),
    "expired": ("expired", _lived(since=-100, until=-31)),
    "five minutes and a second": ("lifetime", _lived(since=0, until=301)),
    "a long life without iat": ("lifetime", _lived(since=None, until=340)),
    "no jti": ("missing_claim", _changed(jti=ABSENT)),
    "by another client's key": ("unknown_key", _by_another),
    "by another client": ("wrong_issuer", _changed(iss="wide-agent")),
    "by nobody": ("missing_claim", _changed(iss=ABSENT)),
    "an unknown key": ("unknown_key", _changed({"kid": "nobody's"})),
    "alg none": ("bad_algorithm", _changed({"alg": "none"})),
    "another alg": ("bad_algorithm", _changed({"alg": "RS256"})),
    "of an issuer that the client has no say about": ("assert_issuer", _about(iss=OTHER_ISSUER)),
    "of almost the issuer": ("assert_issuer", lambda n, u: _about(iss=f"{n.issuer}/")(n, u)),
    "sub_id of another format": ("malformed", _about(format="opaque")),
    "sub_id with a member more": ("malformed", _about(email="alice@example.com")),
    "sub_id is text": ("malformed", _changed(sub_id="alice")),
    "sub_id without sub": ("malformed", _changed(sub_id={"format": "iss_sub", "iss": "x"})),
    "an empty sub in sub_id": ("malformed", _about(sub="")),
    "a number as iss in sub_id": ("malformed", _about(iss=7)),
    "sub beside another sub_id": ("wrong_claim", _changed(sub="somebody else")),
    "nobody is named": ("missing_claim", _changed(sub_id=ABSENT)),
    "a number as sub": ("malformed", _changed(sub_id=ABSENT, sub=7)),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_assertion_is_refused_with_the_reason_in_one_event(
    vault: Vault, night: Night, app: App, case: str
) -> None:
    """api.md §1.5, A9: all the same bytes as for any other bad subject token."""
    reason, make = BAD[case]
    answer = await night.send("night-agent", make(night, app.user))
    plain = await vault.exchange("x")
    assert (answer.status_code, answer.content) == (400, plain.content), answer.text
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["client_id"]) == ("token.refused", "night-agent")
    assert (event["reason"], event["subject_presence"]) == (reason, "asserted")
    assert "subject" not in event


async def test_an_assertion_serves_once(vault: Vault, night: Night, app: App) -> None:
    await app.connect()
    assertion = night.signers["night-agent"].subject(sub=app.user)
    assert (await night.send("night-agent", assertion)).status_code == 200
    again = await night.send("night-agent", assertion)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_request")
    assert (await vault.events_of(again))[0]["reason"] == "replayed"


async def test_a_client_assertion_is_no_subject_and_neither_is_an_untyped_one(
    vault: Vault, night: Night, app: App
) -> None:
    signer = night.signers["night-agent"]
    for header in ({"typ": ABSENT}, {"typ": "JWT"}, {"typ": "client-authentication+jwt"}):
        answer = await night.send("night-agent", signer.subject(header, sub=app.user))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        # Taken for a user's token, whose issuer this is not.
        assert (await vault.events_of(answer))[0]["reason"] == "wrong_issuer"
    typed = await night.send("night-agent", signer.subject(sub=app.user), subject_token_type=ACCESS_TOKEN)
    assert (typed.status_code, typed.json()["error"]) == (400, "invalid_request")


async def test_only_clients_that_may(vault: Vault, night: Night, app: App) -> None:
    await app.connect()
    for client in ("day-agent", BRIEFING_AGENT, SAMPLE_AGENT):
        token = Signer(client, vault=night.url).subject(sub_id=night.sub_id(app.user))
        form, headers = night.form(token), request_id()
        if client == "day-agent":
            answer = await night.send(client, token)
        elif client == BRIEFING_AGENT:
            answer = await night.http.post("/oauth/token", data=form, auth=vault.agent, headers=headers)
        else:
            answer = await night.http.post("/oauth/token", data=form | {"client_id": client}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client"), answer.text
        (event,) = await vault.events_of(answer)
        assert (event["client_id"], event["reason"]) == (client, "may_not_assert")


async def test_only_a_client_that_is_authenticated_in_the_same_request(night: Night, app: App) -> None:
    await app.connect()
    signer = night.signers["night-agent"]
    form = night.form(signer.subject(sub_id=night.sub_id(app.user)))
    for named in ({}, {"client_id": "night-agent"}):
        answer = await night.http.post("/oauth/token", data=form | named)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_only_from_its_addresses(vault: Vault, night: Night, app: App) -> None:
    signer = night.signers["far-agent"]
    form = night.form(signer.subject(sub_id=night.sub_id(app.user))) | signer.credentials()
    answer = await night.http.post("/oauth/token", data=form, headers={**request_id(), **from_elsewhere()})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    (event,) = await vault.events_of(answer)
    assert (event["client_id"], event["reason"]) == ("far-agent", "address_not_allowed")


async def test_a8_a_provider_that_is_not_for_this_is_as_good_as_none(vault: Vault, night: Night, app: App) -> None:
    await app.connect("slack")
    forbidden = await night.ask(app.user, audience="slack")
    unknown = await night.ask(app.user, audience="nowhere")
    assert forbidden.status_code == unknown.status_code == 400
    assert forbidden.content == unknown.content
    assert forbidden.json()["error"] == "invalid_target"
    (event,) = await vault.events_of(forbidden)
    assert (event["reason"], event["connection"], event["subject_presence"]) == ("assert_provider", "slack", "asserted")


async def subjects_of(world: World) -> int:
    database = Database(world.settings.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            return (await connection.execute(select(func.count()).select_from(subjects_table))).scalar_one()
    finally:
        await database.aclose()


async def test_a_user_who_is_only_spoken_of_gets_no_row(world: World, vault: Vault, night: Night) -> None:
    """data.md: a row is made only for a verified subject."""
    before = await subjects_of(world)
    invented = await night.ask(fresh("invented"))
    assert await subjects_of(world) == before
    assert (invented.status_code, invented.json()["reason"]) == (400, "not_connected")
    (event,) = await vault.events_of(invented)
    assert (event["reason"], event["subject_presence"]) == ("not_connected", "asserted")
    assert "subject" not in event
    # And it is told what a user with a row would be told, to whom nothing is connected.
    known = fresh("known")
    await vault.exchange(world.issuer.mint(known, azp=SAMPLE_AGENT))
    assert await subjects_of(world) == before + 1
    assert (await night.ask(known)).content == invented.content
    assert invented.json()["connect_uri"].startswith(f"{night.url}/auth/connect/github?client_id=night-agent")


async def test_a6_an_actor_is_verified_and_recorded(world: World, vault: Vault, night: Night, app: App) -> None:
    await app.connect()
    agent = fresh("agent")
    actor = {"actor_token": world.issuer.mint(agent, azp="night-agent"), "actor_token_type": ACCESS_TOKEN}
    answer = await night.ask(app.user, **actor)
    assert answer.status_code == 200, answer.text
    (event,) = await vault.events_of(answer)
    assert event["actor"] == {"iss": world.places.issuer, "sub": agent}
    assert (await night.ask(app.user, **(actor | {"actor_token": "x"}))).status_code == 400
    another = actor | {"actor_token": world.issuer.mint(agent, azp=SAMPLE_AGENT)}
    refused = await night.ask(app.user, **another)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert [event["reason"] for event in await vault.events_of(refused)] == ["wrong_presenter"]
