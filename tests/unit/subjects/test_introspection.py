"""RFC 7662: which tokens are believed on their issuer's word, and whom that word is asked of (issue 4, item 1; A2)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.support.proofs import ProofKey
from tests.unit.subjects.asked import OTHER, REFRESH, Asked, jwt, refused
from tests.unit.subjects.world import ACCESS, ID, JWT, US
from vaultd.errors import ConfigurationError, InvalidRequest
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Scopes, Secret, Subject

JKT = ProofKey().jkt
REFRESHABLE: dict[str, Any] = {"trusted_clients": ("agent",), "required_claims": {"tenant": "acme"}}


async def test_an_opaque_access_token(asked: Asked) -> None:
    token = asked.believe(may_act={"sub": "agent"}, act={"sub": "relay"}, cnf={"jkt": JKT}, token_type="DPoP")
    verified = await asked.verifier(trusted_clients=("nightly",)).verify(Secret(token), ACCESS)
    assert verified == VerifiedSubject(
        subject=Subject(asked.issuer.issuer, "alice"),
        issuer_name="asked",
        presenter="web-app",
        scopes=Scopes({"read:me:connected_accounts", "openid"}),
        may_act={"sub": "agent"},
        act={"sub": "relay"},
        account_scopes="required",
        trusted_clients=("nightly",),
        only_trusted=False,
        jkt=JKT,
        expires_at=asked.clock() + timedelta(seconds=300),
    )
    assert asked.issuer.asked == [{"token": token, "token_type_hint": "access_token"}]
    assert asked.issuer.schemes == ["Basic"]


async def test_a_jwt_of_the_issuer_is_asked_about_too_and_only_the_answer_counts(asked: Asked) -> None:
    token = asked.believe(jwt(asked.issuer.issuer))
    for token_type, hint in ((ACCESS, "access_token"), (JWT, None)):
        assert (await asked.verifier().verify(Secret(token), token_type)).subject.sub == "alice"
        assert asked.issuer.asked[-1].get("token_type_hint") == hint


async def test_the_secret_can_go_in_the_body(asked: Asked) -> None:
    verifier = asked.verifier({"introspection_endpoint_auth_method": "client_secret_post"})
    await verifier.verify(Secret(asked.believe()), ACCESS)
    assert asked.issuer.schemes == ["post"]


async def test_what_an_answer_may_leave_out(asked: Asked) -> None:
    """RFC 7662 §2.2: everything but `active`; of the rest, only what says that it is for us is asked for."""
    token = asked.issuer.believe("opaque", sub="alice", aud=[US, "x"], iss=None, exp=None, cnf=None)
    verified = await asked.verifier().verify(Secret(token), ACCESS)
    assert (verified.presenter, verified.expires_at, verified.scopes) == (None, None, Scopes())


async def test_the_presenter_is_the_configured_claim_or_client_id(asked: Asked) -> None:
    token = asked.believe(azp="phone-app", cid="tv-app")
    for claim, presenter in (("azp", "phone-app"), ("cid", "tv-app"), ("appid", "web-app")):
        assert (await asked.verifier(client_claim=claim).verify(Secret(token), ACCESS)).presenter == presenter


@pytest.mark.parametrize(
    "said", [{}, {"token_type": "Bearer"}, {"token_use": "refresh_token"}, {"token_type": "Refresh"}]
)
async def test_a_refresh_token_without_audience_is_believed_from_trusted_clients_only(
    asked: Asked, said: dict[str, str]
) -> None:
    """A2: a token that names no audience needs `required_claims` and `trusted_clients`; `aud` is the issuer's own."""
    token = asked.believe(aud=..., tenant="acme", **{"token_type": ..., **said})
    verified = await asked.verifier(**REFRESHABLE).verify(Secret(token), REFRESH)
    assert (verified.only_trusted, verified.presenter) == (True, "web-app")
    assert asked.issuer.asked[-1]["token_type_hint"] == "refresh_token"
    assert await refused(asked.verifier(), token, REFRESH) == "wrong_audience"


async def test_a_refresh_token_that_says_so_may_have_an_audience(asked: Asked) -> None:
    """Some issuers name in it what its access tokens will be for."""
    token = asked.believe(tenant="acme", token_use="refresh_token")
    assert not (await asked.verifier(**REFRESHABLE).verify(Secret(token), REFRESH)).only_trusted


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": ...}, "missing_claim"),
        ({"tenant": "other"}, "wrong_claim"),
        ({"tenant": ...}, "missing_claim"),
        ({"aud": "https://else.example"}, "wrong_audience"),
        ({"aud": []}, "malformed"),
        ({"token_use": "access_token"}, "wrong_type"),
        ({"token_type": "access_token"}, "wrong_type"),
        ({"aud": US, "token_type": "Bearer"}, "wrong_type"),
        ({"aud": US}, "wrong_type"),
    ],
)
async def test_what_is_no_refresh_token_for_us(asked: Asked, changes: dict[str, object], reason: str) -> None:
    token = asked.believe(**{"aud": ..., "token_type": ..., "tenant": "acme", **changes})
    assert await refused(asked.verifier(**REFRESHABLE), token, REFRESH) == reason


@pytest.mark.parametrize(
    ("audience", "said", "reason"),
    [
        ((US,), {}, "missing_claim"),
        ((US,), {"aud": US, "token_type": "refresh_token"}, "wrong_type"),
        ((US,), {"aud": US, "token_use": "refresh_token"}, "wrong_type"),
        ((US,), {"aud": US, "token_type": "Bearer", "token_use": "refresh_token"}, "wrong_type"),
        # Without a word on its kind or its audience, nothing would tell it from an access token.
        ((), {}, "wrong_type"),
        ((), {"token_type": "refresh"}, "wrong_type"),
    ],
)
async def test_a_refresh_token_is_no_access_token(
    asked: Asked, audience: tuple[str, ...], said: dict[str, str], reason: str
) -> None:
    """RFC 7662 §2.1: the server finds it whatever the hint, so that its answer must tell it apart."""
    token = asked.believe(**{"aud": ..., "token_type": ..., "tenant": "acme", **said})
    assert await refused(asked.verifier(audience=audience, **REFRESHABLE), token) == reason
    assert asked.issuer.asked[-1]["token_type_hint"] == "access_token"


@pytest.mark.parametrize("token_type", [ACCESS, ID, JWT, REFRESH])
async def test_refresh_tokens_only_where_issuers_are_asked(asked: Asked, token_type: str) -> None:
    jwts = SubjectVerifier(
        issuers={"jwts": IssuerConfig(issuer=OTHER, audience=(US,))}, outbound=asked.outbound, clock=asked.clock
    )
    if token_type == REFRESH:
        with pytest.raises(InvalidRequest) as caught:
            await jwts.verify(Secret("opaque"), token_type)
        assert caught.value.reason == "unsupported_token_type"
    else:
        assert await refused(jwts, "opaque", token_type) == "malformed"


async def test_a_signature_speaks_for_no_refresh_token(asked: Asked) -> None:
    """Only its issuer knows whether it was revoked; so it is not even verified where no issuer is asked."""
    assert await refused(asked.verifier(), jwt(OTHER, "JWT"), REFRESH) == "wrong_type"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"iss": OTHER}, "wrong_issuer"),
    ({"iss": 7}, "wrong_issuer"),
    ({"sub": ...}, "missing_claim"),
    ({"sub": ""}, "malformed"),
    ({"sub": 7}, "malformed"),
    ({"sub": "alice\0"}, "malformed"),
    ({"exp": 0}, "expired"),
    ({"exp": "2030"}, "malformed"),
    ({"exp": True}, "malformed"),
    ({"exp": 10**20}, "malformed"),
    ({"nbf": 10**10}, "not_yet_valid"),
    ({"iat": 10**10}, "not_yet_valid"),
    ({"aud": OTHER}, "wrong_audience"),
    ({"aud": US + "/"}, "wrong_audience"),
    ({"aud": ...}, "missing_claim"),
    ({"aud": [US, 7]}, "malformed"),
    ({"token_type": "mac"}, "wrong_type"),
    ({"token_type": "id_token"}, "wrong_type"),
    ({"token_type": "refresh_token"}, "wrong_type"),
    ({"token_use": "refresh_token"}, "wrong_type"),
    ({"token_type": 7}, "malformed"),
    ({"client_id": 7}, "malformed"),
    ({"client_id": ""}, "malformed"),
    ({"azp": ["web-app"]}, "malformed"),
    ({"scope": 7}, "malformed"),
    ({"may_act": "agent"}, "malformed"),
    ({"act": [1]}, "malformed"),
    ({"cnf": "x"}, "unsupported_cnf"),
    ({"cnf": {}}, "unsupported_cnf"),
    ({"cnf": {"x5t#S256": "x"}}, "unsupported_cnf"),
    ({"cnf": {"jkt": JKT, "x5t#S256": "x"}}, "unsupported_cnf"),
    ({"cnf": {"jkt": "short"}}, "malformed"),
    ({"cnf": {"jkt": 7}}, "malformed"),
    ({"token_type": "DPoP"}, "dpop_unbound"),
    # What its claims show it to be (RFC 8725 §3.12).
    ({"typ": "Refresh"}, "wrong_claim"),
    ({"typ": "ID"}, "wrong_claim"),
    ({"events": {}}, "wrong_claim"),
    ({"at_hash": "x"}, "wrong_claim"),
    ({"nonce": "x", "scope": ...}, "wrong_claim"),
    ({"token_introspection": {}}, "wrong_claim"),
]


@pytest.mark.parametrize(("changes", "reason"), WRONG)
async def test_an_answer_that_does_not_fit(asked: Asked, changes: dict[str, Any], reason: str) -> None:
    assert await refused(asked.verifier(), asked.believe(**changes)) == reason


async def test_inactive(asked: Asked) -> None:
    assert await refused(asked.verifier(), "nobody's") == "inactive"
    asked.issuer.answers["odd"] = {"active": False, "sub": "alice", "aud": US, "token_type": "Bearer"}
    assert await refused(asked.verifier(), "odd") == "inactive"


async def test_dpop_required_refuses_an_unbound_token(asked: Asked) -> None:
    verifier = asked.verifier(dpop="required")
    assert await refused(verifier, asked.believe()) == "dpop_unbound"
    assert (await verifier.verify(Secret(asked.believe("bound", cnf={"jkt": JKT})), ACCESS)).jkt == JKT


class TestNobodyIsAsked:
    """What a token says against itself, and whose it is, is decided before any call."""

    @pytest.mark.parametrize(
        ("token", "token_type", "reason"),
        [
            ("x" * 16_385, ACCESS, "too_large"),
            ("a\nb", ACCESS, "malformed"),
            ("a\0b", ACCESS, "malformed"),
            ("é", ACCESS, "malformed"),
            ("\ud800", ACCESS, "malformed"),
            ("", ACCESS, "malformed"),
            ("opaque", ID, "wrong_type"),
            ("opaque", JWT, "malformed"),
        ],
    )
    async def test_of_no_use(self, asked: Asked, token: str, token_type: str, reason: str) -> None:
        asked.believe(token)
        assert await refused(asked.verifier(), token, token_type) == reason
        assert not asked.issuer.asked

    @pytest.mark.parametrize("token_type", [ACCESS, JWT, REFRESH])
    async def test_jwts_of_another_purpose(self, asked: Asked, token_type: str) -> None:
        """RFC 8725 §3.11."""
        for typ in ("logout+jwt", "dpop+jwt", "token-vault-req+jwt", "secevent+jwt"):
            assert await refused(asked.verifier(), jwt(asked.issuer.issuer, typ), token_type) == "wrong_type"
        marks: list[dict[str, object]] = [{"events": {}}, {"htm": "POST"}, {"response_type": "code"}, {"vc": {}}]
        for mark in marks:
            marked = jwt(asked.issuer.issuer, "JWT", **mark)
            assert await refused(asked.verifier(), marked, token_type) == "wrong_claim"
        assert await refused(asked.verifier(), jwt(asked.issuer.issuer), ID) == "wrong_type"
        assert await refused(asked.verifier(), jwt(asked.issuer.issuer), REFRESH) == "wrong_type"
        assert not asked.issuer.asked

    async def test_a_jwt_of_another_issuer_is_never_shown_to_this_one(self, asked: Asked) -> None:
        token = jwt("https://nobody.example")
        assert await refused(asked.verifier(), token) == "wrong_issuer"
        head, claims, signature = token.split(".")
        for spoilt in (
            f'"{token}"',
            f"Bearer {token}",
            f" {token}",
            f"{token}=",
            f"{token}.x",
            f"x{token}",
            f"{head}.{claims}",
            f".{claims}.{signature}",
            f"{head}..{signature}",
            f"{head}.{claims}.{signature}.a.b",
            f"ewogICJh.{claims}.{signature}",
        ):
            assert await refused(asked.verifier(), spoilt) == "malformed"
        assert not asked.issuer.asked

    async def test_an_opaque_token_where_no_issuer_takes_them(self, asked: Asked) -> None:
        assert await refused(asked.verifier({"opaque": False}), asked.believe()) == "malformed"
        assert not asked.issuer.asked
        token = asked.believe(jwt(asked.issuer.issuer))
        await asked.verifier({"opaque": False}).verify(Secret(token), ACCESS)

    @pytest.mark.parametrize("token", ["ya29.a0Af_x", "ory_at_x.y", "a.b.c", "v2.local.QAxI", "a~b+c/d=", "a b"])
    async def test_opaque_tokens_with_dots(self, asked: Asked, token: str) -> None:
        await asked.verifier().verify(Secret(asked.believe(token)), ACCESS)


class TestWhoTakesOpaqueTokens:
    """One issuer at most, so that no issuer's tokens are shown to another."""

    def _pool(self, asked: Asked, first: bool | None, second: bool | None) -> SubjectVerifier:  # noqa: FBT001
        other = asked.config({"opaque": second, "introspection_endpoint": OTHER}, issuer=OTHER)
        configs = {"asked": asked.config({"opaque": first}), "other": other}
        return SubjectVerifier(issuers=configs, outbound=asked.outbound, clock=asked.clock)

    @pytest.mark.parametrize("second", [None, False])
    async def test_the_one_that_says_so(self, asked: Asked, *, second: bool | None) -> None:
        verified = await self._pool(asked, True, second).verify(Secret(asked.believe()), ACCESS)  # noqa: FBT003
        assert verified.subject.issuer == asked.issuer.issuer

    @pytest.mark.parametrize(("first", "second"), [(None, None), (True, True), (None, False)])
    async def test_what_is_not_decided_is_a_mistake(
        self, asked: Asked, *, first: bool | None, second: bool | None
    ) -> None:
        with pytest.raises(ConfigurationError):
            self._pool(asked, first, second)

    async def test_nobody(self, asked: Asked) -> None:
        assert await refused(self._pool(asked, False, False), asked.believe()) == "malformed"  # noqa: FBT003


async def test_nothing_secret_is_shown(asked: Asked) -> None:
    assert "a secret" not in repr(asked.config())
    verified = await asked.verifier().verify(Secret(asked.believe("opaque-and-secret")), ACCESS)
    assert "opaque-and-secret" not in repr(verified)
    assert "opaque-and-secret" not in json.dumps(str(verified))
