"""What vaultd says of itself (RFC 8414), and the keys of its own tokens (RFC 7517)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from vaultd.config_types import ASYMMETRIC
from vaultd.jose import SigningKey
from vaultd.jose.dpop import PROOF_ALGORITHMS
from vaultd.web.token.grants import GRANT_TYPES
from vaultd.web.wire import READ


def router(*, public_url: str, keys: Sequence[SigningKey]) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/.well-known", tags=["metadata"])
    document: dict[str, Any] = {
        "issuer": public_url,
        "token_endpoint": f"{public_url}/oauth/token",
        "jwks_uri": f"{public_url}/.well-known/jwks.json",
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": list(ASYMMETRIC),
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        "response_types_supported": [],
        "scopes_supported": ["audit:read", "connections:read", "connections:revoke", "keys:read"],
        "service_documentation": f"{public_url}/docs",
    }
    jwks = {"keys": [key.public_jwk() for key in keys]}
    headers = {"cache-control": "public, max-age=300"}

    @routes.api_route("/oauth-authorization-server", methods=READ, response_model=None)
    @routes.api_route("/openid-configuration", methods=READ, response_model=None)
    async def metadata() -> Response:
        return JSONResponse(document, 200, headers)

    @routes.api_route("/jwks.json", methods=READ, response_model=None)
    async def key_set() -> Response:
        return JSONResponse(jwks, 200, headers)

    return routes
