"""What the routes that parse their own bodies say of themselves in the OpenAPI document."""

from __future__ import annotations

from typing import Any

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "error_description": {"type": "string"},
        "reason": {"type": "string"},
        "connection": {"type": "string"},
        "connect_uri": {"type": "string", "format": "uri"},
        "accounts": {"type": "array", "items": {"type": "string"}},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in", "scope"],
    "properties": {
        "access_token": {"type": "string"},
        "issued_token_type": {"type": "string"},
        "token_type": {"type": "string", "enum": ["Bearer"]},
        "expires_in": {"type": "integer", "minimum": 0},
        "scope": {"type": "string"},
        "connection": {"type": "string"},
        "account": {"type": "string"},
        "connection_metadata": {"type": "object"},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        name: {"type": "string"}
        for name in (
            "grant_type",
            "subject_token",
            "subject_token_type",
            "requested_token_type",
            "audience",
            "resource",
            "scope",
            "actor_token",
            "actor_token_type",
            "login_hint",
            "client_id",
            "client_secret",
            "client_assertion",
            "client_assertion_type",
        )
    },
}


def _json_answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


TOKEN_ENDPOINT: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: _json_answer("A token", _ANSWER),
        400: _json_answer("Refused (RFC 6749 §5.2, RFC 8693 §2.2.2)", _ERROR),
        401: _json_answer("Client authentication failed", _ERROR),
        413: _json_answer("The body is larger than 64 KiB", _ERROR),
        429: _json_answer("Too many requests", _ERROR),
        503: _json_answer("Not available right now", _ERROR),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": _REQUEST},
                "application/json": {"schema": _REQUEST},
            },
        }
    },
}
