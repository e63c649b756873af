"""Google's security event tokens (RFC 8417): believed by Google's key, for our client, of events that end a grant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import Key, RSAKey

from vaultd.errors import NoticeRefused
from vaultd.jose import JwtRefused
from vaultd.notices import Notice, token_names
from vaultd.notices.google_risc import read_google_risc

ISSUER = "https://accounts.google.com/"
CLIENT = "123456789-abcedfgh.apps.googleusercontent.com"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OAUTH = "https://schemas.openid.net/secevent/oauth/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
KEY = RSAKey.generate_key(2048, {"kid": "risc"})
FOREIGN = RSAKey.generate_key(2048, {"kid": "risc"})
PERSON = {"subject_type": "iss-sub", "iss": ISSUER, "sub": "7375626A656374"}


async def key_for(kid: str | None, alg: str) -> Key:
    if (kid, alg) != ("risc", "RS256"):
        raise JwtRefused("unknown_key")
    return KEY


def claims(events: Any = None, **changes: Any) -> dict[str, Any]:
    """As in developers.google.com/identity/protocols/risc."""
    whole = {
        "iss": ISSUER,
        "aud": CLIENT,
        "iat": int(NOW.timestamp()),
        "jti": "756E69717565206964656E746966696572",
        "events": {f"{OAUTH}tokens-revoked": {"subject": PERSON}} if events is None else events,
    } | changes
    return {name: value for name, value in whole.items() if value is not ...}


def set_of(claims_: dict[str, Any], key: RSAKey = KEY, header: dict[str, Any] | None = None) -> bytes:
    return jwt.encode({"alg": "RS256", "kid": "risc"} | (header or {}), claims_, key).encode()


async def read(body: bytes) -> Notice:
    return await read_google_risc(body, key_for=key_for, issuer=ISSUER, client_ids={CLIENT}, now=NOW)


@pytest.mark.parametrize("kind", [f"{OAUTH}tokens-revoked", f"{RISC}account-disabled", f"{RISC}account-purged"])
@pytest.mark.parametrize("subject_type", ["iss-sub", "id_token_claims"])
async def test_an_event_that_ends_grants_names_the_account(kind: str, subject_type: str) -> None:
    notice = await read(set_of(claims({kind: {"subject": PERSON | {"subject_type": subject_type}}})))
    assert notice.accounts == ("7375626A656374",)
    assert (notice.once, notice.at) == ("756E69717565206964656E746966696572", NOW)
    assert notice.ended == ("disabled" not in kind)


async def test_one_revoked_token_is_named_as_google_names_it() -> None:
    for name in token_names("1//0example-refresh-token"):
        alg, _, token = name.partition(":")
        subject = {"subject_type": "oauth_token", "token_type": "refresh_token"}
        subject |= {"token_identifier_alg": alg, "token": token}
        notice = await read(set_of(claims({f"{OAUTH}token-revoked": {"subject": subject}})))
        assert (notice.accounts, notice.tokens) == ((), (name,))


@pytest.mark.parametrize("kind", ["sessions-revoked", "account-enabled", "account-credential-change-required"])
async def test_other_events_mean_nothing(kind: str) -> None:
    notice = await read(set_of(claims({f"{RISC}{kind}": {"subject": PERSON}})))
    assert (notice.accounts, notice.tokens) == ((), ())


async def test_the_trial_event_is_believed() -> None:
    assert (await read(set_of(claims({f"{RISC}verification": {"state": "hello"}})))).accounts == ()


async def test_a_subject_of_another_issuers_is_nobody() -> None:
    foreign = PERSON | {"iss": "https://accounts.example.com"}
    assert (await read(set_of(claims({f"{OAUTH}tokens-revoked": {"subject": foreign}})))).accounts == ()


async def test_old_news_is_news_and_exp_is_left_alone() -> None:
    long_ago = int((NOW - timedelta(days=3)).timestamp())
    notice = await read(set_of(claims(iat=long_ago, exp=long_ago + 60)))
    assert notice.at == NOW - timedelta(days=3)


@pytest.mark.parametrize("audience", [[CLIENT], ["another", CLIENT]])
async def test_the_audience_may_be_a_list(audience: list[str]) -> None:
    assert (await read(set_of(claims(aud=audience)))).accounts


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"),
        (b"not a token", "malformed"),
        ("ü".encode(), "malformed"),
        (b"a" * 20_000, "too_large"),
        (set_of(claims(), FOREIGN), "bad_signature"),
        (set_of(claims(), header={"kid": "another"}), "unknown_key"),
        (jwt.encode({"alg": "RS384", "kid": "risc"}, claims(), KEY, algorithms=["RS384"]).encode(), "bad_algorithm"),
        (set_of(claims(iss="https://accounts.example.com")), "wrong_issuer"),
        (set_of(claims(iss=...)), "wrong_issuer"),
        (set_of(claims(aud="another")), "wrong_audience"),
        (set_of(claims(aud=...)), "missing_claim"),
        (set_of(claims(jti=...)), "missing_claim"),
        (set_of(claims(iat=...)), "missing_claim"),
        (set_of(claims(iat=int(NOW.timestamp()) + 61)), "not_yet_valid"),
        # An ID token for the same client, signed with the same keys.
        (set_of(claims(..., sub="7375626A656374", exp=int(NOW.timestamp()) + 60)), "missing_claim"),
        # A logout token for it: ended sessions end no grant.
        (set_of(claims({"http://schemas.openid.net/event/backchannel-logout": {}})), "wrong_claim"),
        (set_of(claims(nonce="n")), "wrong_claim"),
        (set_of(claims(), header={"typ": "logout+jwt"}), "wrong_type"),
        (set_of(claims(), header={"typ": "at+jwt"}), "wrong_type"),
        (set_of(claims([])), "missing_claim"),
        (set_of(claims({})), "missing_claim"),
        (set_of(claims({f"{OAUTH}tokens-revoked": []})), "malformed"),
        (set_of(claims({f"{OAUTH}tokens-revoked": {"subject": "me"}})), "malformed"),
    ],
)
async def test_what_google_did_not_say_to_us_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(NoticeRefused) as refused:
        await read(body)
    assert refused.value.reason == reason
