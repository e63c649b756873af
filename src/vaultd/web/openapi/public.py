"""What anyone may ask: metadata and health (api.md §5)."""

from __future__ import annotations

from vaultd.web.openapi.answers import NO_STORE, carrying, failing
from vaultd.web.openapi.parts import Json, schema


def _public(operation_id: str, tag: str, summary: str, description: str, responses: Json) -> Json:
    return {
        "get": {
            "operationId": operation_id,
            "tags": [tag],
            "summary": summary,
            "description": description,
            "security": [],
            "responses": {**responses, **failing({500: "Bug"})},
        }
    }


def _metadata(operation_id: str, summary: str, description: str) -> Json:
    answered = carrying("The metadata.", schema("ServerMetadata"), "Shared")
    return _public(operation_id, "Metadata", summary, description, {"200": answered})


PATHS: dict[str, Json] = {
    "/.well-known/oauth-authorization-server": _metadata(
        "getServerMetadata", "Authorization server metadata", "RFC 8414."
    ),
    "/.well-known/openid-configuration": _metadata(
        "getOpenidConfiguration", "The same, where SDKs look for it", "vaultd is no OpenID provider."
    ),
    "/.well-known/jwks.json": _public(
        "getKeySet",
        "Metadata",
        "The keys of vaultd's own tokens",
        "RFC 7517. They sign operators' tokens; a provider's tokens are the provider's.",
        {"200": carrying("The key set.", schema("KeySet"), "Shared")},
    ),
    "/health/live": _public(
        "getLiveness",
        "Health",
        "Is the process there?",
        "Asks nothing else.",
        {"200": carrying("It is.", schema("Healthy"), *NO_STORE)},
    ),
    "/health/ready": _public(
        "getReadiness",
        "Health",
        "Can it serve?",
        "Whether the database answers and is migrated.",
        {
            "200": carrying("It can.", schema("Healthy"), *NO_STORE),
            "503": carrying("It cannot, for this reason.", schema("Unhealthy"), *NO_STORE),
        },
    ),
}
