"""RFC 7662: the calls that are made to an issuer, how few they are, and what comes of bad answers (issue 4, item 1)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.subjects.asked import Asked, jwt, refused
from tests.unit.subjects.world import ACCESS, JWT
from vaultd.errors import TemporarilyUnavailable
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Secret


async def _unavailable(verifier: SubjectVerifier, token: str) -> str:
    with pytest.raises(TemporarilyUnavailable) as caught:
        await verifier.verify(Secret(token), ACCESS)
    assert caught.value.reason == "issuer_unreachable"
    assert token not in str(caught.value)
    return caught.value.detail


class TestTheIssuerIsAway:
    """Whatever is wrong at the issuer is no fault of the token: 503, and nothing is decided."""

    @pytest.mark.parametrize("fault", [500, 503, 429, 404, 302, 204, 400, "drop"])
    async def test_no_answer(self, asked: Asked, fault: int | str) -> None:
        asked.issuer.fault = fault
        await _unavailable(asked.verifier(), asked.believe())

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"true",
            b'{"sub":"alice"}',
            b'{"active":"true","sub":"alice"}',
            b'{"active":1}',
            b'{"active":null}',
            b'{"active":true,"active":false}',
            b'{"active":true,"exp":NaN}',
            b'{"active":tr',
            b'{"active":true,"act":{"sub":"\\ud800"}}',
            b'{"active":true,"sub":"\xff"}',
            b"[" * 100_000,
        ],
    )
    async def test_nonsense(self, asked: Asked, body: bytes) -> None:
        asked.issuer.fault = body
        await _unavailable(asked.verifier(), asked.believe())

    @pytest.mark.parametrize("status", [401, 403])
    async def test_our_own_credentials_are_wrong(self, asked: Asked, status: int) -> None:
        asked.issuer.fault = status
        detail = await _unavailable(asked.verifier(), asked.believe())
        assert "[issuers.asked]" in detail
        assert "does not accept our client_id and client_secret" in detail
        asked.issuer.fault = None
        wrong = asked.verifier({"client_secret": Secret("another")})
        assert "does not accept our client_id" in await _unavailable(wrong, asked.believe())

    async def test_a_form_of_token_that_it_does_not_look_at(self, asked: Asked) -> None:
        """Some servers refuse JWTs so (RFC 7009 §2.2.1); that is the token's fault, and no outage."""
        token = asked.believe(jwt(asked.issuer.issuer))
        asked.issuer.fault = (400, b'{"error":"unsupported_token_type"}')
        assert await refused(asked.verifier(), token) == "wrong_type"
        asked.issuer.fault = (400, b'{"error":"invalid_request"}')
        await _unavailable(asked.verifier(), token)

    async def test_discovery(self, asked: Asked) -> None:
        verifier = asked.verifier()
        for _ in range(3):
            await verifier.verify(Secret(asked.believe()), ACCESS)
        assert asked.issuer.discovered == 1
        asked.clock.move(hours=1)
        await verifier.verify(Secret(asked.believe()), ACCESS)
        assert asked.issuer.discovered == 2
        # A wrong address is not kept.
        asked.issuer.fault = 404
        await _unavailable(verifier, asked.believe())
        asked.issuer.fault, asked.issuer.endpoint = None, f"{asked.issuer.issuer}/elsewhere"
        await verifier.verify(Secret(asked.believe()), ACCESS)

    @pytest.mark.parametrize("endpoint", [None, 7, "http://login.example.com/introspect", "file:///x", "//["])
    async def test_discovery_cannot_lead_just_anywhere(self, asked: Asked, endpoint: Any) -> None:
        asked.issuer.endpoint = endpoint
        await _unavailable(asked.verifier(), asked.believe())
        assert not asked.issuer.asked

    async def test_a_given_address_needs_no_discovery(self, asked: Asked) -> None:
        verifier = asked.verifier({"introspection_endpoint": f"{asked.issuer.issuer}/introspect"}, issuer="a-name")
        await verifier.verify(Secret(asked.believe(iss="a-name")), ACCESS)
        assert asked.issuer.discovered == 0


class TestOneCall:
    """The same token asked about by many at a time is one call (issue 4, item 1)."""

    async def _waiting(self, asked: Asked, calls: int) -> None:
        async with asyncio.timeout(5):
            while len(asked.issuer.asked) < calls:
                await asyncio.sleep(0.01)

    async def test_shared(self, asked: Asked) -> None:
        verifier, token = asked.verifier(), Secret(asked.believe())
        asked.issuer.held = True
        askers = [asyncio.create_task(verifier.verify(token, ACCESS)) for _ in range(50)]
        await self._waiting(asked, 1)
        askers[0].cancel()
        asked.issuer.held = False
        done = await asyncio.gather(*askers, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert {one.subject.sub for one in done[1:] if isinstance(one, VerifiedSubject)} == {"alice"}
        assert len(asked.issuer.asked) == 1
        # And no longer than that: revocation is the point of asking.
        asked.issuer.answers.clear()
        assert await refused(verifier, token.reveal()) == "inactive"

    async def test_a_failure_is_shared_too_and_then_forgotten(self, asked: Asked) -> None:
        verifier, token = asked.verifier(), Secret(asked.believe())
        asked.issuer.held, asked.issuer.fault = True, 500
        askers = [asyncio.create_task(verifier.verify(token, ACCESS)) for _ in range(10)]
        await self._waiting(asked, 1)
        asked.issuer.held = False
        done = await asyncio.gather(*askers, return_exceptions=True)
        assert {type(one) for one in done} == {TemporarilyUnavailable}
        assert len(asked.issuer.asked) == 1
        asked.issuer.fault = None
        await verifier.verify(token, ACCESS)

    async def test_other_tokens_and_other_questions_are_other_calls(self, asked: Asked) -> None:
        verifier, one_jwt = asked.verifier(), asked.believe(jwt(asked.issuer.issuer))
        asked.believe("one")
        asked.believe("two")
        await asyncio.gather(
            verifier.verify(Secret("one"), ACCESS),
            verifier.verify(Secret("two"), ACCESS),
            verifier.verify(Secret(one_jwt), ACCESS),
            verifier.verify(Secret(one_jwt), JWT),
        )
        assert len(asked.issuer.asked) == 4
        assert asked.issuer.discovered == 1

    async def test_closing_ends_what_is_under_way(self, asked: Asked) -> None:
        verifier = asked.verifier()
        asked.issuer.held = True
        asker = asyncio.create_task(verifier.verify(Secret(asked.believe()), ACCESS))
        await self._waiting(asked, 1)
        await verifier.aclose()
        with pytest.raises(asyncio.CancelledError):
            await asker
        asked.issuer.held = False


class TestRemembered:
    """`cache_seconds`: not at all unless it is asked for, and a minute at most."""

    @pytest.mark.parametrize("seconds", [0, 1, 60])
    async def test_for_as_long_as_configured(self, asked: Asked, seconds: int) -> None:
        verifier, token = asked.verifier({"cache_seconds": seconds}), asked.believe()
        await verifier.verify(Secret(token), ACCESS)
        asked.issuer.answers.clear()
        if seconds:
            asked.clock.move(seconds=seconds - 0.001)
            await verifier.verify(Secret(token), ACCESS)
            asked.clock.move(seconds=0.001)
        assert await refused(verifier, token) == "inactive"

    async def test_no_longer_than_the_token(self, asked: Asked) -> None:
        verifier = asked.verifier({"cache_seconds": 60})
        token = asked.believe(exp=asked.clock.seconds() + 10)
        await verifier.verify(Secret(token), ACCESS)
        asked.clock.move(seconds=10)
        asked.issuer.answers.clear()
        assert await refused(verifier, token) == "inactive"

    async def test_more_than_a_minute_is_a_mistake(self, asked: Asked) -> None:
        with pytest.raises(ValidationError):
            asked.config({"cache_seconds": 61})
