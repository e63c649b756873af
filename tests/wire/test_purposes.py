"""RFC 8725 §3.12 from outside: a token of every kind at every place that takes a JWT, and only its own takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from tests.support.kinds import KINDS, VARIANTS
from tests.wire.crosswise import Crosswise, open_crosswise
from tests.wire.vault import Vault, bearer
from vaultd.sandbox.world import World

ACCEPTED: Mapping[str, frozenset[str]] = {
    "subject token as access_token": frozenset({"access token"}),
    "subject token as id_token": frozenset({"ID token"}),
    "subject token as jwt": frozenset({"access token", "ID token"}),
    "actor token as access_token": frozenset({"access token"}),
    "actor token as id_token": frozenset({"ID token"}),
    "actor token as jwt": frozenset({"access token", "ID token"}),
    "accounts API": frozenset({"access token"}),
    "sign-in": frozenset({"ID token"}),
    "back-channel logout": frozenset({"logout token"}),
    "notice of Google's": frozenset({"security event"}),
    "client assertion": frozenset({"client assertion"}),
    "subject assertion": frozenset({"subject assertion", "worker's assertion"}),
    "worker's assertion": frozenset({"worker's assertion"}),
    "DPoP proof": frozenset({"DPoP proof"}),
}
EVENTS = "/v1/audit/events"
TYPED = ("subject assertion", "worker's assertion", "DPoP proof")
"""Places that take their own `typ` and no other."""


@pytest_asyncio.fixture(scope="module")
async def crosswise(world: World) -> AsyncIterator[Crosswise]:
    async with open_crosswise(world) as opened:
        yield opened


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a2_each_place_takes_its_own_kind_and_no_other(crosswise: Crosswise, name: str) -> None:
    accepted = set()
    for variant in VARIANTS:
        place = await crosswise.places[name]()
        if await place.present(place.signed(variant.header, variant.claims(place.facts))):
            accepted.add(str(variant))
    own = [variant for variant in VARIANTS if variant.kind in ACCEPTED[name]]
    typed = [variant for variant in own if variant.header.get("typ") == KINDS[variant.kind].typ]
    assert accepted == {str(variant) for variant in (typed if name in TYPED else own)}


async def test_no_place_is_left_out(crosswise: Crosswise) -> None:
    assert crosswise.places.keys() == ACCEPTED.keys()


async def test_a2_an_operators_token_is_taken_by_no_place_but_its_own(crosswise: Crosswise, vault: Vault) -> None:
    """Signed by the vault itself; and no other token is one, whoever signed it."""
    form = {"grant_type": "client_credentials", "scope": "audit:read"}
    issued = await crosswise.http.post("/oauth/token", data=form, auth=vault.operator)
    token = issued.json()["access_token"]
    assert (await crosswise.http.get(EVENTS, headers=bearer(token))).status_code == 200
    for name, make in crosswise.places.items():
        place = await make()
        assert not await place.present(token), name
        for kind, made in KINDS.items():
            claims = {"iss": place.facts.iss, "aud": place.facts.aud, **made.claims(place.facts)}
            other = place.signed({"typ": made.typ}, claims)
            assert (await crosswise.http.get(EVENTS, headers=bearer(other))).status_code == 401, f"{kind} of {name}"
