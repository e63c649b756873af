"""Security A2 from outside: a token passes as what it is, and as nothing else (RFC 9068 §2.1, RFC 8693 §3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.support.proofs import ProofKey
from tests.wire.issuers import Issuers, shared
from tests.wire.vault import Vault, bearer, fresh
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES

TYPE = "urn:ietf:params:oauth:token-type:"
ACCOUNTS = "/me/v1/connected-accounts/accounts"
Make = Callable[[Issuers, str], str]


def _access(issuers: Issuers, user: str) -> str:
    """Typed `at+jwt`."""
    return issuers.second.mint(user, azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES)


def _id_token(issuers: Issuers, user: str) -> str:
    return issuers.second.mint_id_token(user, client_id=SAMPLE_AGENT, nonce="n", scope=ACCOUNT_SCOPES)


def _id_token_for_the_vault(issuers: Issuers, user: str) -> str:
    """An ID token of an app that has the vault's own name."""
    return issuers.second.mint_id_token(user, client_id=issuers.world.places.vault)


def _access_for_the_app(issuers: Issuers, user: str) -> str:
    return issuers.second.mint(user, azp=SAMPLE_AGENT, aud=SAMPLE_AGENT)


def _proof(issuers: Issuers, _user: str) -> str:
    return ProofKey().proof(f"{issuers.world.places.vault}/oauth/token", iss=issuers.second.issuer)


AS: Mapping[str, tuple[Make, dict[str, str | None]]] = {
    "an access token": (_access, {"access_token": None, "jwt": None, "id_token": "wrong_type"}),
    "an ID token": (_id_token, {"id_token": None, "jwt": None, "access_token": "wrong_audience"}),
    "an ID token for another app": (
        lambda i, user: i.second.mint_id_token(user, client_id="web-app"),
        dict.fromkeys(("id_token", "jwt", "access_token"), "wrong_audience"),
    ),
    "an ID token for several, issued to another": (
        lambda i, user: i.second.mint_id_token(user, client_id=SAMPLE_AGENT, azp="web-app"),
        {"id_token": "wrong_presenter", "jwt": "wrong_presenter"},
    ),
    "an ID token for the vault": (_id_token_for_the_vault, {"id_token": "wrong_audience"}),
    "an access token for the app": (
        _access_for_the_app,
        {"access_token": "wrong_audience", "jwt": "wrong_audience", "id_token": "wrong_type"},
    ),
    "a DPoP proof": (_proof, dict.fromkeys(("access_token", "jwt", "id_token"), "bad_signature")),
    "an opaque token": (
        lambda i, user: i.opaque(user),
        {"access_token": None, "jwt": "malformed", "id_token": "wrong_type", "refresh_token": "wrong_type"},
    ),
    "a refresh token": (lambda i, user: i.refresh_token(user), {"access_token": "missing_claim", "jwt": "malformed"}),
    "a token by a shared secret": (
        lambda _, user: shared(user),
        {"access_token": None, "jwt": None, "id_token": "wrong_audience", "refresh_token": "wrong_type"},
    ),
}


@pytest.mark.parametrize("case", AS)
async def test_a2_a_token_is_what_it_is(issuers: Issuers, believer: Vault, case: str) -> None:
    make, expected = AS[case]
    for token_type, reason in expected.items():
        answer = await believer.exchange(make(issuers, fresh("user")), subject_token_type=TYPE + token_type)
        error = "interaction_required" if reason is None else "invalid_request"
        assert (answer.status_code, answer.json()["error"]) == (400, error), token_type
        (event,) = await believer.events_of(answer)
        assert event["reason"] == (reason or "not_connected"), token_type


async def test_a2_the_accounts_api_takes_access_tokens_only(issuers: Issuers, believer: Vault) -> None:
    user = fresh("user")
    assert (await believer.http.get(ACCOUNTS, headers=bearer(_access(issuers, user)))).status_code == 200
    for token in (_id_token(issuers, user), issuers.refresh_token(user), _access_for_the_app(issuers, user)):
        assert (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code == 401


@pytest.mark.parametrize("token_type", ["saml2", "saml1", "nonsense", ""])
async def test_token_types_that_are_not_offered(issuers: Issuers, believer: Vault, token_type: str) -> None:
    """api.md §1.1."""
    answer = await believer.exchange(_access(issuers, fresh("user")), subject_token_type=TYPE + token_type)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert [event["reason"] for event in await believer.events_of(answer)] == ["unsupported_token_type"]
