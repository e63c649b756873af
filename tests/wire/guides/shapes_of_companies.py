"""Tokens of servers that a company runs or rents for its people: Keycloak, Entra, Okta, its own, and opaque ones."""

from __future__ import annotations

from collections.abc import Mapping

from tests.wire.guides.shapes import APP, VAULT, Refused, Shape
from vaultd.sandbox.person import ACCOUNT_SCOPES

TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
GRAPH = "00000003-0000-0000-c000-000000000000"

_ENTRA = {
    "aio": "AXQAi/8IAAAA",
    "name": "Abe Lincoln",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "rh": "I",
    "scp": ACCOUNT_SCOPES,
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
}
_ENTRA_PAGES = (
    "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference",
    "https://learn.microsoft.com/entra/identity-platform/access-tokens",
)
_ENTRA_JWK = {
    "use": "sig",
    "x5t": "jS1Xo1OWDj_52vbwGNgvQO2VzMc",
    "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
}
_ENTRA_OTHER_TENANT = "https://login.microsoftonline.com/82229342-1101-4ab6-817b-70c0747630f3/v2.0"

OF_COMPANIES: Mapping[str, Shape] = {
    "keycloak": Shape(
        pages=(
            "https://www.keycloak.org/docs/latest/server_admin/index.html#audience-support",
            # The guide shows no token whole; the rest is from a public example of one.
            "https://gist.github.com/phacman/bd288c7abac1d3fc1694b7e191e27e4c",
        ),
        header={"alg": "RS256", "typ": "JWT"},
        claims={
            "jti": "d58f5dc8-fd8f-462b-8a19-716f8f83985b",
            "aud": [VAULT, "account"],
            "sub": "36fa0f91-f94d-4a0c-afed-6b7d952e47da",
            "typ": "Bearer",
            "azp": "web-app",
            "acr": "1",
            "allowed-origins": [APP],
            "realm_access": {"roles": ["offline_access", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
            "scope": f"email profile {ACCOUNT_SCOPES}",
            "sid": "2a88c258-f73a-4103-b862-e1fbd8f4e04e",
            "email_verified": True,
            "preferred_username": "username",
        },
        client="azp",
        refused=(
            Refused("without the audience mapper", {"aud": "account"}, "wrong_audience"),
            Refused("another client's", {"azp": "another-app"}, "wrong_presenter"),
            Refused("an ID token", {"aud": "web-app", "typ": "ID", "scope": ...}, "wrong_audience"),
            Refused("an ID token with the mapper on it", {"typ": "ID", "scope": ...}, "wrong_claim"),
        ),
    ),
    "entra": Shape(
        pages=_ENTRA_PAGES,
        header={"alg": "RS256", "typ": "JWT"},
        claims={
            **_ENTRA,
            "aud": "00001111-aaaa-2222-bbbb-3333cccc4444",
            "azp": "11112222-bbbb-3333-cccc-4444dddd5555",
            "azpacr": "1",
            "preferred_username": "abeli@microsoft.com",
            "ver": "2.0",
        },
        client="azp",
        jwk=_ENTRA_JWK,
        refused=(
            Refused("for Microsoft Graph", {"aud": GRAPH}, "wrong_audience"),
            Refused("another app's", {"azp": "22223333-cccc-4444-dddd-5555eeee6666"}, "wrong_presenter"),
            Refused("of another tenant", {"iss": _ENTRA_OTHER_TENANT}, "wrong_issuer"),
        ),
    ),
    "entra-v1": Shape(
        pages=_ENTRA_PAGES,
        header={"alg": "RS256", "typ": "JWT", "x5t": "i6lGk3FZzxRcUb2C3nEQ7syHJlY"},
        claims={
            **_ENTRA,
            "aud": "api://vaultd",
            "acr": "1",
            "amr": ["wia"],
            "appid": "11112222-bbbb-3333-cccc-4444dddd5555",
            "appidacr": "1",
            "unique_name": "abeli@microsoft.com",
            "ver": "1.0",
        },
        client="appid",
        jwk=_ENTRA_JWK,
        refused=(
            Refused("for Microsoft Graph", {"aud": "https://graph.microsoft.com"}, "wrong_audience"),
            Refused("another app's", {"appid": "22223333-cccc-4444-dddd-5555eeee6666"}, "wrong_presenter"),
        ),
    ),
    "okta": Shape(
        pages=("https://developer.okta.com/docs/reference/api/oidc/#access-token",),
        header={"alg": "RS256"},
        claims={
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "aud": VAULT,
            "sub": "00ujmkLgagxeRrAg20g3",
            "cid": "nmdP1fcyvdVO11AL7ECm",
            "uid": "00ujmkLgagxeRrAg20g3",
            "scp": ["openid", "email", *ACCOUNT_SCOPES.split()],
        },
        client="cid",
        refused=(
            Refused("another API's", {"aud": "https://api.example.com"}, "wrong_audience"),
            Refused("another app's", {"cid": "0oabucvyc38HLL1ef0h7"}, "wrong_presenter"),
            Refused("of the org's own server", {"iss": "https://dev-123456.okta.com"}, "wrong_issuer"),
        ),
    ),
    "own": Shape(
        pages=("https://www.rfc-editor.org/rfc/rfc9068#section-2.2",),
        header={"alg": "ES256", "typ": "at+jwt"},
        claims={
            "sub": "5ba552d67",
            "aud": VAULT,
            "client_id": "web-app",
            "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
            "scope": f"openid profile reademail {ACCOUNT_SCOPES}",
        },
        client="client_id",
        refused=(
            Refused("another API's", {"aud": "https://rs.example.com/"}, "wrong_audience"),
            Refused("another app's", {"client_id": "s6BhdRkqt3"}, "wrong_presenter"),
            Refused("a logout token", {}, "wrong_type", header={"typ": "logout+jwt"}),
            Refused("of an algorithm that was not agreed", {}, "bad_algorithm", header={"alg": "RS256"}),
        ),
    ),
    "opaque": Shape(
        pages=("https://www.rfc-editor.org/rfc/rfc7662#section-2.2",),
        header={},
        claims={
            "client_id": "web-app",
            "username": "jdoe",
            "scope": f"read write dolphin {ACCOUNT_SCOPES}",
            "sub": "Z5O3upPC88QrAjx00dis",
            "aud": VAULT,
            "extension_field": "twenty-seven",
        },
        client="client_id",
        refused=(
            Refused("another API's", {"aud": "https://protected.example.net/resource"}, "wrong_audience"),
            Refused("another app's", {"client_id": "l238j323ds-23ij4"}, "wrong_presenter"),
            Refused("that was revoked", {"active": False}, "inactive"),
        ),
    ),
}
