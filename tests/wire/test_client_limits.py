"""Security A10 from outside: limits of a client in all and for one user, and who can use them up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.clock import HandClock
from tests.support.configured import changed_vault
from tests.wire.answers import check_refusal, retry_after
from tests.wire.vault import FEDERATED_CONNECTION, Vault, fresh
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, SAMPLE_AGENT
from vaultd.sandbox.world import World

LIMIT = "{per_second = 0.1, burst = 3}"
LAST = "{per_second = 0.1, burst = 1}"


@asynccontextmanager
async def limited(world: World, clock: HandClock | None = None, **tables: str) -> AsyncIterator[Vault]:
    """A vault whose clients have these lines in their tables; a name's underscores stand for dashes."""
    changes = {
        f"[clients.{name.replace('_', '-')}]": f"[clients.{name.replace('_', '-')}]\n{lines}"
        for name, lines in tables.items()
    }
    with changed_vault(world, changes, clock=clock or HandClock()) as url:
        async with Vault(world, url=url) as speaking:
            yield speaking


def session(world: World, user: str = "") -> str:
    return world.issuer.mint(user or fresh("user"), azp=SAMPLE_AGENT)


async def exchanged(vault: Vault, token: str, **changes: str | None) -> int:
    """The status of one exchange by the agent's backend: 400 is a user who has not connected, 429 the limit."""
    return (await vault.exchange(token, **changes)).status_code


async def implicit(vault: Vault, token: str, **changes: str | None) -> httpx.Response:
    """The same by the client without a secret."""
    return await vault.http.post("/oauth/token", data=vault.exchange_form(token, **changes))


async def test_above_its_limit_a_client_waits_as_long_as_it_is_told(world: World) -> None:
    clock = HandClock()
    async with limited(world, clock, briefing_agent=f"limits = {LIMIT}") as vault:
        token = session(world)
        assert [await exchanged(vault, token) for _ in range(4)] == [400, 400, 400, 429]
        refused = await vault.exchange(token)
        check_refusal(refused, 429, "slow_down")
        wait = retry_after(refused)
        assert wait == 10
        clock.forward(seconds=wait - 1)
        assert await exchanged(vault, token) == 429
        clock.forward(seconds=1)
        assert [await exchanged(vault, token) for _ in range(2)] == [400, 429]


async def test_no_limit_unless_one_is_configured(world: World) -> None:
    async with limited(world) as vault:
        token = session(world)
        assert {await exchanged(vault, token) for _ in range(50)} == {400}


async def test_clients_do_not_share_a_limit(world: World) -> None:
    async with limited(world, briefing_agent=f"limits = {LAST}", sample_agent=f"limits = {LAST}") as vault:
        token = session(world)
        assert [await exchanged(vault, token) for _ in range(2)] == [400, 429]
        assert [(await implicit(vault, token)).status_code for _ in range(2)] == [400, 429]


async def test_a_flood_of_bad_tokens_by_a_client_with_a_secret_is_limited(world: World) -> None:
    async with limited(world, briefing_agent=f"limits = {LIMIT}") as vault:
        assert [await exchanged(vault, "x") for _ in range(4)] == [400, 400, 400, 429]
        assert await exchanged(vault, session(world)) == 429


async def test_who_does_not_know_the_secret_uses_up_nothing(world: World) -> None:
    async with limited(world, briefing_agent=f"limits = {LAST}") as vault:
        for _ in range(5):
            wrong = (BRIEFING_AGENT, "wrong")
            answer = await vault.http.post("/oauth/token", data=vault.exchange_form("x"), auth=wrong)
            check_refusal(answer, 401, "invalid_client")
        assert await exchanged(vault, session(world)) == 400


async def test_a_stranger_cannot_starve_a_client_without_a_secret(world: World) -> None:
    """Its limit counts users' verified tokens only, whether it is named or meant."""
    async with limited(world, sample_agent=f"limits = {LAST}") as vault:
        foreign = world.issuer.mint("mallory", azp="somebody-elses-app")
        for bad in ("x", foreign, world.issuer.mint("mallory", azp=SAMPLE_AGENT, ttl=-61)):
            for named in (None, SAMPLE_AGENT):
                answer = await implicit(vault, bad, client_id=named)
                assert answer.status_code in {400, 401}
        for _ in range(3):
            form = {"grant_type": "client_credentials", "client_id": SAMPLE_AGENT}
            check_refusal(await vault.http.post("/oauth/token", data=form), 400, "unauthorized_client")
        good = [await implicit(vault, session(world), client_id=named) for named in (SAMPLE_AGENT, None)]
        assert [answer.status_code for answer in good] == [400, 429]


async def test_client_credentials_count_too(world: World) -> None:
    async with limited(world, operator=f"limits = {LIMIT}") as vault:
        form = {"grant_type": "client_credentials"}
        beyond = form | {"scope": "keys:write"}
        answers = [
            await vault.http.post("/oauth/token", data=each, auth=vault.operator) for each in (form, beyond, form, form)
        ]
        assert [answer.status_code for answer in answers] == [200, 400, 200, 429]
        check_refusal(answers[3], 429, "slow_down")
        exchange = await vault.http.post("/oauth/token", data=vault.exchange_form("x"), auth=vault.operator)
        check_refusal(exchange, 429, "slow_down")


async def test_a_limit_for_each_user_holds_for_that_user_alone(world: World) -> None:
    async with limited(world, briefing_agent=f"subject_limits = {LIMIT}") as vault:
        name = fresh("user")
        # Three tokens of one user by three grants' spellings are one user.
        assert await exchanged(vault, session(world, name)) == 400
        federated = {"grant_type": FEDERATED_CONNECTION, "audience": None, "connection": "github"}
        assert await exchanged(vault, session(world, name), **federated) == 400
        assert await exchanged(vault, session(world, name), audience="slack") == 400
        refused = await vault.exchange(session(world, name))
        check_refusal(refused, 429, "slow_down")
        assert retry_after(refused) == 10
        assert await exchanged(vault, session(world)) == 400
        assert (await implicit(vault, session(world, name))).status_code == 400


async def test_a_token_that_is_not_believed_uses_up_no_users_limit(world: World) -> None:
    async with limited(world, briefing_agent=f"subject_limits = {LAST}") as vault:
        name = fresh("user")
        for forged in (
            world.issuer.mint(name, azp=SAMPLE_AGENT, ttl=-61),
            world.issuer.mint(name, azp="somebody-elses-app"),
            session(world, name)[:-4] + "AAAA",
        ):
            assert await exchanged(vault, forged) == 400
        assert [await exchanged(vault, session(world, name)) for _ in range(2)] == [400, 429]


async def test_one_users_flood_uses_up_no_more_of_a_public_clients_limit_than_their_own(world: World) -> None:
    lines = f"limits = {LIMIT}\nsubject_limits = {LAST}"
    async with limited(world, sample_agent=lines) as vault:
        noisy = session(world)
        assert [(await implicit(vault, noisy)).status_code for _ in range(6)] == [400, 429, 429, 429, 429, 429]
        others = [(await implicit(vault, session(world))).status_code for _ in range(3)]
        assert others == [400, 400, 429]


async def test_a11_refusals_above_a_limit_are_counted_together(vault: Vault, world: World) -> None:
    async with limited(world, briefing_agent=f"limits = {LAST}", sample_agent=f"subject_limits = {LAST}") as slow:
        token = session(world)
        by_client = [await slow.exchange(token) for _ in range(11)]
        by_user = [await implicit(slow, token) for _ in range(11)]
        for answer in (*by_client[1:], *by_user[1:]):
            check_refusal(answer, 429, "slow_down")
        # The first is written at once.
        for answer, reason in ((by_client[1], "client_limit"), (by_user[1], "subject_limit")):
            (event,) = await vault.events_of(answer)
            assert (event["type"], event["decision"], event["reason"]) == ("token.refused", "refused", reason)
            assert "subject" not in event
        for answer in (*by_client[2:], *by_user[2:]):
            assert await vault.events_of(answer) == []
    # The others are one event when their minute is over, or the process ends.
    for client_id, reason in ((BRIEFING_AGENT, "client_limit"), (SAMPLE_AGENT, "subject_limit")):
        events = (await vault.audit(client_id=client_id, type="token.refused", limit=50))["events"]
        counted = [event.get("count") for event in events if event.get("reason") == reason]
        assert counted.count(9) == 1


async def test_a11_a_flood_in_the_name_of_a_client_without_a_secret_is_counted_together(vault: Vault) -> None:
    """Nobody is proven to be that client before a user's token is verified, so that anyone could fill its log."""
    foreign = vault.world.issuer.mint("mallory", azp="somebody-elses-app")
    for token in ("x", foreign):
        answers = [
            await vault.http.post(
                "/oauth/token",
                data=vault.exchange_form(token, client_id=SAMPLE_AGENT),
                headers={"X-Request-Id": fresh("flood")},
            )
            for _ in range(8)
        ]
        assert {answer.status_code for answer in answers} == {400}
        events = [event for answer in answers for event in await vault.events_of(answer)]
        assert len(events) <= 2  # one a minute
        assert {event["client_id"] for event in events} <= {SAMPLE_AGENT}


async def test_operators_tokens_refused_above_a_limit_are_counted_together(vault: Vault, world: World) -> None:
    async with limited(world, operator=f"limits = {LAST}") as slow:
        form = {"grant_type": "client_credentials"}
        answers = [await slow.http.post("/oauth/token", data=form, auth=slow.operator) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 429, 429, 429]
    events = (await vault.audit(client_id=OPERATOR, type="operator.token", decision="refused", limit=20))["events"]
    counted = [event.get("count") for event in events if event["reason"] == "client_limit"]
    assert counted.count(4) == 1
