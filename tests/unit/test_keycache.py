"""An issuer's keys over real HTTP on loopback: rotation, sharing, outages (security A3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, RSAKey

from tests.unit.loopback_issuer import DISCOVERY, HOST, JWKS, LoopbackIssuer, SetClock
from vaultd.errors import TemporarilyUnavailable
from vaultd.jose import FixedKeys, JwtRefused, KeyCache
from vaultd.jose.jwks import read_keys
from vaultd.outbound import Outbound
from vaultd.sandbox.loopback import authorities


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[LoopbackIssuer]:
    async with LoopbackIssuer() as running:
        yield running


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(ssl_context=authorities())
    yield client
    await client.aclose()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest_asyncio.fixture
async def cache(issuer: LoopbackIssuer, outbound: Outbound, clock: SetClock) -> AsyncIterator[KeyCache]:
    built = KeyCache(outbound=outbound, clock=clock, issuer=issuer.url, allow_private=(HOST,))
    yield built
    await built.aclose()


async def _refused(cache: KeyCache | FixedKeys, kid: str | None, alg: str = "ES256") -> str:
    with pytest.raises(JwtRefused) as caught:
        await cache.find(kid, alg)
    return caught.value.reason


async def _settled(cache: KeyCache) -> None:
    """Let a background fetch end."""
    fetching = cache._fetching  # noqa: SLF001 - nothing outside shows it, which is the point of it
    if fetching is not None:
        await fetching


async def test_discovery_leads_to_the_keys_once(cache: KeyCache, issuer: LoopbackIssuer) -> None:
    for _ in range(3):
        assert (await cache.find("first", "ES256")).kid == "first"
    assert issuer.asked == {DISCOVERY: 1, JWKS: 1}
    assert cache.version == 1


async def test_a_given_address_needs_no_discovery(issuer: LoopbackIssuer, outbound: Outbound, clock: SetClock) -> None:
    cache = KeyCache(
        outbound=outbound, clock=clock, issuer="https://x.example", jwks_uri=issuer.url + JWKS, allow_private=(HOST,)
    )
    assert (await cache.find("first", "ES256")).kid == "first"
    assert issuer.asked == {JWKS: 1}


async def test_a_file_is_read_again_when_a_kid_is_new(outbound: Outbound, clock: SetClock, tmp_path: Path) -> None:
    one, two = (ECKey.generate_key("P-256", parameters={"kid": kid}) for kid in ("one", "two"))
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [one.as_dict()]}))
    cache = KeyCache(outbound=outbound, clock=clock, issuer="https://x.example", jwks_file=path)
    await cache.find("one", "ES256")
    path.write_text(json.dumps({"keys": [two.as_dict()]}))
    clock.move(seconds=30)
    await cache.find("two", "ES256")
    path.unlink()
    clock.move(seconds=30)
    assert await _refused(cache, "three") == "issuer_unreachable"
    await cache.find("two", "ES256")


async def test_rotation_needs_no_restart(cache: KeyCache, issuer: LoopbackIssuer, clock: SetClock) -> None:
    await cache.find("first", "ES256")
    issuer.rotate("second")
    clock.move(seconds=30)
    assert (await cache.find("second", "ES256")).kid == "second"
    assert cache.version == 2
    assert await _refused(cache, "first") == "unknown_key"


async def test_unknown_kids_cause_one_fetch_in_thirty_seconds(
    cache: KeyCache, issuer: LoopbackIssuer, clock: SetClock
) -> None:
    await cache.find("first", "ES256")
    for second in range(60):
        assert await _refused(cache, f"forged-{second}") == "unknown_key"
        clock.move(seconds=1)
    assert issuer.asked[JWKS] == 2
    assert cache.version == 1


async def test_lookups_at_the_same_time_share_a_fetch(cache: KeyCache, issuer: LoopbackIssuer) -> None:
    issuer.open.clear()
    lookups = [asyncio.create_task(cache.find("first", "ES256")) for _ in range(100)]
    await asyncio.sleep(0.05)
    lookups[0].cancel()
    issuer.open.set()
    done = await asyncio.gather(*lookups, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert {getattr(key, "kid", None) for key in done[1:]} == {"first"}
    assert issuer.asked[JWKS] == 1


async def test_keys_are_renewed_in_the_background_and_then_before_use(
    cache: KeyCache, issuer: LoopbackIssuer, clock: SetClock
) -> None:
    await cache.find("first", "ES256")
    issuer.rotate("second")
    clock.move(minutes=5)
    issuer.open.clear()
    await cache.find("first", "ES256")  # does not wait for the issuer, which holds its answer back
    issuer.open.set()
    await _settled(cache)
    assert await _refused(cache, "first") == "unknown_key"
    issuer.rotate("third")
    clock.move(minutes=10)
    assert await _refused(cache, "second") == "unknown_key"
    await cache.find("third", "ES256")


async def test_old_keys_serve_for_an_hour_of_outage(cache: KeyCache, issuer: LoopbackIssuer, clock: SetClock) -> None:
    await cache.find("first", "ES256")
    issuer.status = 503
    for _ in range(59):
        clock.move(minutes=1)
        await cache.find("first", "ES256")
        await _settled(cache)
    assert await _refused(cache, "second") == "issuer_unreachable"
    clock.move(minutes=1)
    with pytest.raises(TemporarilyUnavailable) as caught:
        await cache.find("first", "ES256")
    assert caught.value.reason == "issuer_unreachable"
    issuer.status = 200
    clock.move(seconds=5)
    await cache.find("first", "ES256")


async def test_an_issuer_that_was_never_reached_is_tried_every_five_seconds(
    cache: KeyCache, issuer: LoopbackIssuer, clock: SetClock
) -> None:
    issuer.status = 500
    for _ in range(10):
        with pytest.raises(TemporarilyUnavailable) as caught:
            await cache.find("first", "ES256")
        assert caught.value.retry_after == 5
        clock.move(seconds=1)
    assert issuer.asked[DISCOVERY] == 2
    issuer.status = 200
    await cache.find("first", "ES256")


async def test_an_issuer_that_is_not_there(cache: KeyCache, issuer: LoopbackIssuer) -> None:
    await issuer.stop()
    with pytest.raises(TemporarilyUnavailable):
        await cache.find("first", "ES256")


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[]", b'{"keys":7}', b"[" * 100_000, b"\xff"])
async def test_nonsense_in_place_of_keys(body: bytes, cache: KeyCache, issuer: LoopbackIssuer) -> None:
    issuer.jwks_body = body
    with pytest.raises(TemporarilyUnavailable):
        await cache.find("first", "ES256")


async def test_discovery_in_another_name_is_not_believed(cache: KeyCache, issuer: LoopbackIssuer) -> None:
    """OpenID Connect Discovery 1.0 §4.3."""
    issuer.named_issuer = issuer.url + "/"
    with pytest.raises(TemporarilyUnavailable):
        await cache.find("first", "ES256")
    assert JWKS not in issuer.asked


async def test_plain_http_only_for_a_loopback_host_named_in_the_settings(
    issuer: LoopbackIssuer, outbound: Outbound, clock: SetClock
) -> None:
    for url, allowed in ((issuer.url, ()), ("http://login.example.com", ("login.example.com",))):
        cache = KeyCache(outbound=outbound, clock=clock, issuer=url, allow_private=allowed)
        with pytest.raises(TemporarilyUnavailable) as caught:
            await cache.find("first", "ES256")
        assert "https" in caught.value.detail
    assert not issuer.asked


async def test_without_a_kid_exactly_one_key_must_fit(cache: KeyCache, issuer: LoopbackIssuer, clock: SetClock) -> None:
    issuer.published.append(RSAKey.generate_key(2048, parameters={"kid": "rsa"}).as_dict())
    assert (await cache.find(None, "ES256")).kid == "first"
    assert (await cache.find(None, "RS256")).kid == "rsa"
    issuer.published.append(ECKey.generate_key("P-256", parameters={"kid": "other"}).as_dict())
    clock.move(minutes=10)
    assert await _refused(cache, None) == "unknown_key"
    assert await _refused(cache, None, "EdDSA") == "unknown_key"


async def test_a_kid_names_a_key_for_its_own_algorithm_only(cache: KeyCache, issuer: LoopbackIssuer) -> None:
    for alg in ("RS256", "ES384", "EdDSA", "HS256"):
        assert await _refused(cache, "first", alg) == "bad_algorithm"
    assert issuer.asked[JWKS] == 1


async def test_one_kid_on_keys_of_two_types_is_told_apart_by_the_algorithm(
    cache: KeyCache, issuer: LoopbackIssuer
) -> None:
    issuer.published.append(RSAKey.generate_key(2048, parameters={"kid": "first"}).as_dict())
    assert (await cache.find("first", "ES256")).key_type == "EC"
    assert (await cache.find("first", "RS256")).key_type == "RSA"


@pytest.mark.parametrize("named", [7, ["x"], "http://login.example.com/jwks", "file:///etc/passwd", "//[", "https://"])
async def test_discovery_cannot_lead_just_anywhere(named: object, cache: KeyCache, issuer: LoopbackIssuer) -> None:
    issuer.named_jwks = named
    with pytest.raises(TemporarilyUnavailable):
        await cache.find("first", "ES256")
    assert set(issuer.asked) == {DISCOVERY}


async def test_closing_stops_a_fetch_in_the_background(
    cache: KeyCache, issuer: LoopbackIssuer, clock: SetClock
) -> None:
    await cache.find("first", "ES256")
    issuer.open.clear()
    clock.move(minutes=5)
    await cache.find("first", "ES256")
    await asyncio.sleep(0.05)
    await cache.aclose()
    issuer.open.set()
    assert cache.version == 1


async def test_keys_of_the_configuration_are_found_by_the_same_rules() -> None:
    one, two = (ECKey.generate_key("P-256", parameters={"kid": kid}) for kid in ("one", "two"))
    keys = FixedKeys(read_keys({"keys": [one.as_dict(private=False), two.as_dict(private=False)]}))
    assert (await keys.find("two", "ES256")).thumbprint() == two.thumbprint()
    assert await _refused(keys, "three") == "unknown_key"
    assert await _refused(keys, None) == "unknown_key"
    assert await _refused(keys, "one", "RS256") == "bad_algorithm"
    assert await _refused(FixedKeys(()), None) == "unknown_key"
    await keys.aclose()


async def test_without_an_issuer_nothing_is_discovered(outbound: Outbound, clock: SetClock) -> None:
    cache = KeyCache(outbound=outbound, clock=clock)
    with pytest.raises(TemporarilyUnavailable) as caught:
        await cache.find("first", "ES256")
    assert "no issuer" in caught.value.detail
