"""The whole document."""

from __future__ import annotations

from vaultd.web.cookies import Cookies
from vaultd.web.openapi import accounts, browser, operators, public, tokens
from vaultd.web.openapi.answers import HEADERS, RESPONSES
from vaultd.web.openapi.parts import Json
from vaultd.web.openapi.schemas import SCHEMAS

_DESCRIPTION = """\
A vault for the OAuth tokens that agents use on behalf of people: an agent's backend exchanges the user's session token
for the access token of a provider that the user has connected.

Errors of the token endpoint are OAuth's (RFC 6749 §5.2), those of the JSON APIs are problem objects, and a browser gets
a page. Every answer carries `X-Request-Id`, the vault's own name for the request, which its audit events carry too. A
caller's `X-Request-Id` of at most 64 letters, digits, dots, underscores and hyphens stands beside it in the log.

Every refusal is in the audit log, with the reason that its answer may not tell: one event each once the caller is
known, counted by the minute before that and where somebody asks too often. Where it cannot be written, the answer is
503.
"""
_TAGS = {
    "Tokens": "For agents' backends, and operators' programs.",
    "Connected accounts": "For the user's app, by the user's own token.",
    "Browser": "Where an app sends the user's browser.",
    "Operators": "For operators' programs, by a token of this vault's.",
    "Metadata": "What the vault says of itself.",
    "Health": "For load balancers and orchestrators.",
}


def document(*, public_url: str, version: str) -> Json:
    """What `/openapi.json` serves: OpenAPI 3.1."""
    paths = tokens.PATHS | accounts.PATHS | browser.PATHS | operators.PATHS | public.PATHS
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vaultd",
            "version": version,
            "summary": "A self-hosted token vault.",
            "description": _DESCRIPTION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS | tokens.SCHEMAS,
            "headers": HEADERS,
            "responses": RESPONSES,
            "securitySchemes": _security_schemes(public_url),
        },
    }


def _security_schemes(public_url: str) -> Json:
    scopes = {
        "audit:read": "Read the audit log.",
        "connections:read": "See who has connected what.",
        "connections:revoke": "Disconnect, and offboard users.",
        "keys:read": "See which keys are in use; never a key.",
    }
    token_url = f"{public_url}/oauth/token"
    return {
        "clientBasic": {
            "type": "http",
            "scheme": "basic",
            "description": "`client_secret_basic`: id and secret, each form-encoded first (RFC 6749 §2.3.1).",
        },
        "userToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The user's own token, of an issuer that this vault believes, with the scope of the call.",
        },
        "boundUserToken": {
            "type": "http",
            "scheme": "DPoP",
            "description": "The same, bound to a key (`cnf.jkt`): with a proof of it in the `DPoP` header (RFC 9449).",
        },
        "operatorClient": {
            "type": "oauth2",
            "description": "How an operators' program gets its token.",
            "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": scopes}},
        },
        "operatorToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The token that it got (RFC 6750).",
        },
        "browserSession": {
            "type": "apiKey",
            "in": "cookie",
            "name": Cookies(https=public_url.startswith("https:")).session_name,
            "description": "The browser's session, from signing in.",
        },
    }
