"""Whoever has proven nothing cannot have an issuer asked without end, and is not in the way of those who have."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.unit.subjects.asked import Asked, refused
from tests.unit.subjects.world import ACCESS, JWT
from vaultd.errors import SlowDown, SubjectTokenRefused, TemporarilyUnavailable
from vaultd.limits import Rate
from vaultd.subjects.introspection import MOST_WAITING
from vaultd.subjects.strangers import EACH, KNOWN, LANE, TOTAL, Stranger, Strangers
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Secret

HERE = Stranger("192.0.2.1")


async def outcome(verifier: SubjectVerifier, token: str, stranger: Stranger | None = HERE, kind: str = ACCESS) -> str:
    try:
        await verifier.verify(Secret(token), kind, stranger=stranger)
    except SubjectTokenRefused as error:
        return error.reason
    except (SlowDown, TemporarilyUnavailable) as error:
        return str(error.reason) if error.retry_after >= 1 else "no time to wait"
    return "believed"


async def test_made_up_tokens_are_asked_about_so_often_only(asked: Asked) -> None:
    verifier = asked.verifier()
    outcomes = Counter(await asyncio.gather(*(outcome(verifier, f"made-up-{number}") for number in range(800))))
    assert outcomes == {"inactive": EACH.burst, "introspection_limit": 800 - EACH.burst}
    assert len(asked.issuer.asked) == EACH.burst
    asked.clock.move(seconds=2)
    more = Counter([await outcome(verifier, f"later-{number}") for number in range(50)])
    assert more["inactive"] == 2 * EACH.per_second


async def test_many_addresses_have_one_budget_together(asked: Asked) -> None:
    verifier = asked.verifier()
    for number in range(600):
        await outcome(verifier, f"made-up-{number}", Stranger(f"192.0.{number % 200}.1"))
    assert len(asked.issuer.asked) == TOTAL.burst
    # What is not asked for lack of the budget in all is not counted for the address.
    asked.clock.move(seconds=1)
    assert await outcome(verifier, "another", Stranger("192.0.2.200")) == "inactive"


async def test_an_address_is_a_prefix(asked: Asked) -> None:
    verifier = asked.verifier()
    for number in range(100):
        await outcome(verifier, f"made-up-{number}", Stranger(f"2001:db8::{number:x}"))
    assert len(asked.issuer.asked) == EACH.burst
    assert await outcome(verifier, "made-up", Stranger("2001:db8:0:1::1")) == "inactive"


@pytest.mark.parametrize("stranger", [Stranger(), Stranger("nowhere"), Stranger("1" * 5_000)])
async def test_without_an_address_there_is_a_budget_too(asked: Asked, stranger: Stranger) -> None:
    verifier = asked.verifier()
    for number in range(100):
        await outcome(verifier, f"made-up-{number}", stranger)
    assert len(asked.issuer.asked) == EACH.burst


async def test_who_says_nothing_about_the_caller_speaks_for_a_stranger(asked: Asked) -> None:
    verifier = asked.verifier()
    for number in range(EACH.burst):
        assert await refused(verifier, f"made-up-{number}") == "inactive"
    with pytest.raises(SlowDown):
        await verifier.verify(Secret("one more"), ACCESS)


async def test_proven_callers_are_not_held_back(asked: Asked) -> None:
    verifier = asked.verifier()
    for number in range(100):
        await outcome(verifier, f"made-up-{number}")
    assert await outcome(verifier, asked.believe(), stranger=None) == "believed"
    for number in range(100):
        assert await outcome(verifier, f"theirs-{number}", stranger=None) == "inactive"


async def test_good_tokens_cost_nothing(asked: Asked) -> None:
    verifier = asked.verifier()
    for number in range(3 * EACH.burst):
        assert await outcome(verifier, asked.believe(f"good-{number}")) == "believed"
    for number in range(EACH.burst):
        assert await outcome(verifier, f"made-up-{number}") == "inactive"
    assert await outcome(verifier, "one more") == "introspection_limit"


async def test_a_token_shared_by_many_gives_back_no_more_than_it_took(asked: Asked) -> None:
    verifier = asked.verifier()
    for number in range(EACH.burst - 1):
        await outcome(verifier, f"made-up-{number}")
    asked.issuer.held = True
    waiting = [asyncio.create_task(outcome(verifier, asked.believe("shared"))) for _ in range(40)]
    async with asyncio.timeout(10):
        while len(asked.issuer.asked) < EACH.burst:
            await asyncio.sleep(0.01)
    asked.issuer.held = False
    assert set(await asyncio.gather(*waiting)) == {"believed"}
    assert await outcome(verifier, "the last one") == "inactive"
    assert await outcome(verifier, "one more") == "introspection_limit"


async def test_not_active_is_remembered_for_seconds(asked: Asked) -> None:
    verifier = asked.verifier()
    for _ in range(200):
        assert await outcome(verifier, "soon-good") == "inactive"
    assert len(asked.issuer.asked) == 1
    asked.believe("soon-good")
    asked.clock.move(seconds=4)
    assert await outcome(verifier, "soon-good") == "inactive"
    asked.clock.move(seconds=1)
    assert await outcome(verifier, "soon-good") == "believed"


async def test_not_active_as_one_kind_says_nothing_of_another(asked: Asked) -> None:
    """RFC 7662 §2.1: a server may look only among the tokens that the hint names."""
    verifier = asked.verifier()
    assert await outcome(verifier, "soon-good") == "inactive"
    asked.believe("soon-good")
    assert await outcome(verifier, "soon-good", kind=JWT) == "malformed"
    assert len(asked.issuer.asked) == 1


async def test_what_strangers_were_told_is_not_told_to_clients(asked: Asked) -> None:
    verifier = asked.verifier()
    assert await outcome(verifier, "soon-good") == "inactive"
    asked.believe("soon-good")
    assert await outcome(verifier, "soon-good", stranger=None) == "believed"


async def test_strangers_wait_among_themselves(asked: Asked) -> None:
    """An issuer that does not answer them in time answers clients all the same, also about a token that both have."""
    verifier = asked.verifier()
    asked.issuer.held = True
    token = asked.believe()
    waiting = [asyncio.create_task(outcome(verifier, f"made-up-{number}")) for number in range(40)]
    waiting.append(asyncio.create_task(outcome(verifier, token)))
    async with asyncio.timeout(10):
        while len(asked.issuer.asked) < 16:
            await asyncio.sleep(0.01)
    client: asyncio.Task[VerifiedSubject] = asyncio.create_task(verifier.verify(Secret(token), ACCESS, stranger=None))
    async with asyncio.timeout(10):
        while len(asked.issuer.asked) < 17:
            await asyncio.sleep(0.01)
    assert asked.issuer.asked[-1]["token"] == token
    asked.issuer.held = False
    assert (await client).subject.sub == "alice"
    assert Counter(await asyncio.gather(*waiting)) == {"inactive": 40, "believed": 1}


async def test_memory_is_bounded(asked: Asked) -> None:
    strangers = Strangers(clock=asked.clock, each=Rate(per_second=1e6, burst=10**6), total=Rate(1e6, 10**6))
    for active in (False, True):
        for number in range(11_000):
            strangers.answered(HERE, LANE, (number.to_bytes(32), "access_token"), active=active)
    first, last = ((number.to_bytes(32), "access_token") for number in (0, 10_999))
    assert (strangers.was_inactive(first), strangers.was_inactive(last)) == (False, True)
    assert (strangers.lane(first), strangers.lane(last)) == (LANE, KNOWN)


FEW = Rate(per_second=5, burst=10)


def with_few(asked: Asked) -> SubjectVerifier:
    """A verifier that has few calls for all strangers together."""
    strangers = Strangers(clock=asked.clock, total=FEW)
    return SubjectVerifier(
        issuers={"asked": asked.config()}, outbound=asked.outbound, clock=asked.clock, strangers=strangers
    )


async def use_up_everything(verifier: SubjectVerifier) -> None:
    """What strangers have together, from many addresses."""
    for number in range(2 * FEW.burst):
        await outcome(verifier, f"made-up-{number}", Stranger(f"198.51.{number % 200}.1"))
    assert await outcome(verifier, "one more", Stranger("203.0.113.1")) == "introspection_limit"


async def test_many_addresses_do_not_keep_users_from_theirs(asked: Asked) -> None:
    verifier, token = with_few(asked), asked.believe(exp=asked.clock.seconds() + 10_000)
    assert await outcome(verifier, token) == "believed"
    for _ in range(3):
        await use_up_everything(verifier)
        for _ in range(20):
            assert await outcome(verifier, token) == "believed"
        asked.clock.move(minutes=15)


async def test_users_do_not_wait_for_strangers(asked: Asked) -> None:
    verifier, token = asked.verifier(), asked.believe()
    assert await outcome(verifier, token) == "believed"
    asked.issuer.held = True
    waiting = [asyncio.create_task(outcome(verifier, f"made-up-{number}")) for number in range(40)]
    await until_asked(asked, 17)
    waiting.append(asyncio.create_task(outcome(verifier, token)))
    await until_asked(asked, 18)
    assert asked.issuer.asked[-1]["token"] == token
    asked.issuer.held = False
    assert Counter(await asyncio.gather(*waiting)) == {"inactive": 40, "believed": 1}


async def test_a_token_is_known_for_an_hour_after_it_was_active_and_no_longer_than_it_is(asked: Asked) -> None:
    verifier, token = with_few(asked), asked.believe(exp=asked.clock.seconds() + 10_000)
    assert await outcome(verifier, token) == "believed"
    asked.clock.move(minutes=59)
    await use_up_everything(verifier)
    assert await outcome(verifier, token) == "believed"
    asked.clock.move(minutes=60)
    await use_up_everything(verifier)
    assert await outcome(verifier, token) == "introspection_limit"
    asked.clock.move(minutes=1)
    assert await outcome(verifier, token) == "believed"
    asked.issuer.answers.clear()
    assert await outcome(verifier, token) == "inactive"
    asked.clock.move(seconds=5)
    await use_up_everything(verifier)
    assert await outcome(verifier, token) == "introspection_limit"


async def test_tokens_that_were_active_have_a_budget_too(asked: Asked) -> None:
    verifier = with_few(asked)
    tokens = [asked.believe(f"good-{number}") for number in range(FEW.burst + 10)]
    assert {await outcome(verifier, token) for token in tokens} == {"believed"}
    asked.issuer.answers.clear()
    assert Counter([await outcome(verifier, token) for token in tokens]) == {
        "inactive": FEW.burst,
        "introspection_limit": 10,
    }


@pytest.mark.parametrize("known", [False, True])
async def test_only_so_many_wait(asked: Asked, *, known: bool) -> None:
    """Whoever waits holds one of the requests that are worked on at a time, also where many wait for one call."""
    verifier, token = asked.verifier(), asked.believe()
    if known:
        assert await outcome(verifier, token) == "believed"
    before = len(asked.issuer.asked)
    asked.issuer.held = True
    waiting = [asyncio.create_task(outcome(verifier, token)) for _ in range(MOST_WAITING + 300)]
    await until_asked(asked, before + 1)
    client = asyncio.create_task(outcome(verifier, token, stranger=None))
    await until_asked(asked, before + 2)
    assert sum(task.done() for task in waiting) == 300
    asked.issuer.held = False
    assert Counter(await asyncio.gather(*waiting)) == {"believed": MOST_WAITING, "busy": 300}
    assert await client == "believed"
    assert await outcome(verifier, token) == "believed"


@pytest.mark.parametrize("fault", [500, 429, "drop"])
async def test_an_issuer_that_is_away_is_not_called_a_limit(asked: Asked, fault: int | str) -> None:
    verifier = asked.verifier()
    asked.issuer.fault = fault
    token = asked.believe()
    for number in range(2 * EACH.burst):
        assert await outcome(verifier, f"user-{number}") == "issuer_unreachable"
    assert len(asked.issuer.asked) == EACH.burst, "an issuer in trouble is not asked more than one that is well"
    asked.issuer.fault = None
    asked.clock.move(seconds=1)
    for _ in range(EACH.burst):
        assert await outcome(verifier, token) == "believed"
    for number in range(EACH.burst):
        assert await outcome(verifier, f"made-up-{number}") == "inactive"
    assert await outcome(verifier, "one more") == "introspection_limit"


async def test_a_user_is_asked_about_again_as_soon_as_the_issuer_is_back(asked: Asked) -> None:
    verifier, token = with_few(asked), asked.believe()
    assert await outcome(verifier, token) == "believed"
    asked.issuer.fault = 500
    for _ in range(2 * FEW.burst):
        assert await outcome(verifier, token) == "issuer_unreachable"
    asked.issuer.fault = None
    assert await outcome(verifier, token) == "believed"


async def until_asked(asked: Asked, times: int) -> None:
    async with asyncio.timeout(10):
        while len(asked.issuer.asked) < times:
            await asyncio.sleep(0.01)
