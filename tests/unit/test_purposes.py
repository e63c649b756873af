"""The table of purposes: what excludes what (RFC 8725 §3.12), and that the documentation shows this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from joserfc.util import urlsafe_b64encode

from tests.support.guides import DOCS
from tests.support.kinds import KINDS, VARIANTS, Facts, Variant
from tests.support.signing import segment
from vaultd.jose import JwtRefused, SigningKey, purposes, verify_access_token
from vaultd.jose.marks import Mark
from vaultd.jose.purposes import PURPOSES, Purpose, check_claims, check_forbidden, check_type
from vaultd.terms import Secret, system_clock

PAGE = DOCS / "decisions" / "0008-token-purposes.md"
US = "https://vault.example.com"
OWN: Mapping[str, frozenset[str]] = {
    "access token": frozenset({"access token"}),
    "ID token": frozenset({"ID token"}),
    # Its form is its issuer's own affair, who is asked about each: here is only what cannot be one.
    "refresh token": frozenset({"refresh token", "access token", "userinfo response"}),
    "ID token at sign-in": frozenset({"ID token"}),
    "logout token": frozenset({"logout token"}),
    "security event of Google's": frozenset({"security event"}),
    "client assertion": frozenset({"client assertion"}),
    "subject assertion": frozenset({"subject assertion", "worker's assertion"}),
    "subject assertion of a worker": frozenset({"worker's assertion"}),
    "DPoP proof": frozenset({"DPoP proof"}),
    # Signed by the vault itself, so that nobody else's access token is one.
    "operators' token": frozenset({"access token"}),
}


def facts() -> Facts:
    return Facts(
        iss="https://login.example.com",
        aud=[US, "web-app"],
        user="ada",
        own="ada",
        client="web-app",
        url=f"{US}/oauth/token",
        now=int(system_clock().timestamp()),
        subject_issuer="https://login.example.com",
    )


def fits(purpose: Purpose, typ: str, claims: Mapping[str, Any]) -> bool:
    try:
        check_type(typ.lower(), purpose)
        check_claims(claims, purpose)
    except JwtRefused:
        return False
    return True


@pytest.mark.parametrize("purpose", PURPOSES, ids=lambda purpose: purpose.name)
def test_a_purpose_fits_its_own_kind_and_no_other(purpose: Purpose) -> None:
    fitting = {v.kind for v in VARIANTS if fits(purpose, v.header.get("typ", ""), v.claims(facts()))}
    assert fitting == OWN[purpose.name]


@pytest.mark.parametrize("purpose", PURPOSES, ids=lambda purpose: purpose.name)
def test_what_is_required_is_missed(purpose: Purpose) -> None:
    """Of the kind that fits, whichever claim is left out."""
    kind, *_ = sorted(OWN[purpose.name], key=lambda name: name != purpose.name)
    whole = {"iss": facts().iss, "aud": US, **KINDS[kind].claims(facts())}
    check_claims(whole, purpose)
    for name in purpose.required:
        with pytest.raises(JwtRefused) as caught:
            check_claims({other: value for other, value in whole.items() if other != name}, purpose)
        assert caught.value.reason in {"missing_claim", "wrong_claim"}


@pytest.mark.parametrize("purpose", PURPOSES, ids=lambda purpose: purpose.name)
def test_what_is_forbidden_is_refused_by_its_name(purpose: Purpose) -> None:
    for mark in purpose.forbidden:
        with pytest.raises(JwtRefused) as caught:
            check_forbidden({"sub": "ada", **dict.fromkeys(mark.present)}, purpose)
        assert caught.value.reason == "wrong_claim"
        assert all(name in caught.value.detail for name in mark.present)
    for word in purpose.words:
        with pytest.raises(JwtRefused):
            check_forbidden({"token_use": word.upper()}, purpose)


def test_no_two_purposes_of_one_signer_allow_the_same_token() -> None:
    """Of an issuer's, but for what may be an access token and a refresh token, and the two uses of an ID token."""
    issuers = [purposes.ACCESS_TOKEN, purposes.ID_TOKEN, purposes.LOGOUT_TOKEN, purposes.SECURITY_EVENT]
    clients = [purposes.CLIENT_ASSERTION, purposes.SUBJECT_ASSERTION, purposes.PROOF]
    for several in (issuers, clients):
        for variant in VARIANTS:
            typ, claims = variant.header.get("typ", ""), variant.claims(facts())
            assert len([purpose for purpose in several if fits(purpose, typ, claims)]) <= 1, str(variant)


@pytest.mark.parametrize(
    ("claims", "purpose", "allowed"),
    [
        # Older Keycloaks write the nonce into access tokens, beside their scopes.
        ({"nonce": "n", "scope": "openid"}, purposes.ACCESS_TOKEN, True),
        ({"nonce": "n", "scp": ["openid"]}, purposes.ACCESS_TOKEN, True),
        ({"nonce": "n"}, purposes.ACCESS_TOKEN, False),
        ({"at_hash": "h", "scope": "openid"}, purposes.ACCESS_TOKEN, False),
        ({"sid": "s", "auth_time": 1, "acr": "1", "amr": ["pwd"], "azp": "a"}, purposes.ACCESS_TOKEN, True),
        ({"firebase": {}, "user_id": "u", "auth_time": 1}, purposes.ACCESS_TOKEN, True),
        ({"metadata": {}, "state": "CA", "code": 7}, purposes.ACCESS_TOKEN, False),
        ({"metadata": {}, "state": "CA", "active": True, "txn": "1"}, purposes.ACCESS_TOKEN, True),
        ({"code": "org"}, purposes.ACCESS_TOKEN, True),
        ({"typ": "Bearer"}, purposes.ACCESS_TOKEN, True),
        ({"typ": "ID"}, purposes.ACCESS_TOKEN, False),
        ({"type": "user", "purpose": "support"}, purposes.ACCESS_TOKEN, True),
        ({"type": ["refresh"], "typ": 7}, purposes.ACCESS_TOKEN, True),
        ({"typ": "ID", "sid": "s", "auth_time": 1, "acr": "1"}, purposes.ID_TOKEN, True),
        ({"typ": "Bearer"}, purposes.ID_TOKEN, False),
        ({"client_id": "a", "at_hash": "h"}, purposes.ID_TOKEN, True),
        ({"client_id": "a"}, purposes.ID_TOKEN, False),
        ({"txn": "1"}, purposes.ID_TOKEN, True),
        ({"iss": "a", "sub": "a"}, purposes.ID_TOKEN, False),
    ],
    ids=str,
)
def test_what_issuers_write_beside_is_no_mark(claims: dict[str, Any], purpose: Purpose, *, allowed: bool) -> None:
    try:
        check_forbidden(claims, purpose)
    except JwtRefused:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_of_all_that_the_vault_could_sign_only_an_access_token_is_an_operators(variant: Variant) -> None:
    key, claims = SigningKey(kid="k", seed=b"s" * 32), {**variant.claims(facts()), "iss": US}
    signing_input = segment({"alg": "EdDSA", "kid": "k", **variant.header}) + b"." + segment(claims)
    token = Secret((signing_input + b"." + urlsafe_b64encode(key.sign(signing_input))).decode())
    if variant.header == {"typ": "at+jwt"}:
        verify_access_token(token, keys=[key], issuer=US, now=system_clock())
        return
    with pytest.raises(JwtRefused):
        verify_access_token(token, keys=[key], issuer=US, now=system_clock())


def _row(purpose: Purpose) -> str:
    types = ", ".join(f"`{typ}`" if typ else "none" for typ in purpose.types)
    required = ", ".join(f"`{name}`" for name in purpose.required)
    besides = [f"calls itself none of {', '.join(f'`{word}`' for word in purpose.words)}"] if purpose.words else []
    if purpose.logout is not None:
        besides.append("has the logout event" if purpose.logout else "has no logout event")
    if purpose.own_subject is not None:
        besides.append("`sub` is `iss`" if purpose.own_subject else "`sub` is not `iss`")
    return f"| {purpose.name} | {types} | {required} | {'; '.join(besides)} |"


def _mark_rows() -> list[str]:
    kinds: dict[str, dict[Mark, None]] = {}
    for mark in (mark for purpose in PURPOSES for mark in purpose.forbidden):
        kinds.setdefault(mark.kind, {})[mark] = None
    rows = []
    for kind, several in kinds.items():
        carried = [purpose.name for purpose in PURPOSES if not several.keys() & {*purpose.forbidden}]
        rows.append(f"| {kind} | {'; '.join(str(mark) for mark in several)} | {', '.join(carried) or 'nothing here'} |")
    return rows


def test_the_page_shows_this_table_and_no_other() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| purpose ", "| kind "))]
    assert rows == [*(_row(purpose) for purpose in PURPOSES), *_mark_rows()]
