"""Whoever has proven nothing cannot have an issuer asked without end, and is not in the way of those who have."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.unit.subjects.asked import Asked, refused
from tests.unit.subjects.world import ACCESS, JWT
from vaultd.errors import SlowDown, SubjectTokenRefused
from vaultd.limits import Rate
from vaultd.subjects.strangers import EACH, TOTAL, Stranger, Strangers
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Secret

HERE = Stranger("192.0.2.1")


async def outcome(verifier: SubjectVerifier, token: str, stranger: Stranger | None = HERE, kind: str = ACCESS) -> str:
    try:
        await verifier.verify(Secret(token), kind, stranger=stranger)
    except SubjectTokenRefused as error:
        return error.reason
    except SlowDown as error:
        return error.reason if error.retry_after >= 1 else "no time to wait"
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
    for number in range(11_000):
        strangers.remember_inactive(number.to_bytes(32), "access_token")
    assert not strangers.was_inactive((0).to_bytes(32), "access_token")
    assert strangers.was_inactive((10_999).to_bytes(32), "access_token")
