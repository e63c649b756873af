"""`/v1` (api.md §4)."""

from __future__ import annotations

from vaultd.web.audit import EventsQuery
from vaultd.web.openapi.answers import NO_STORE, carrying, failing
from vaultd.web.openapi.parts import Json, query_parameters, schema
from vaultd.web.operators import ConnectionsQuery, SubjectQuery

_WITHOUT_INPUT = {401: "NoToken", 403: "NoScope", 500: "Bug", 503: "Unavailable"}
_REFUSED = {400: "Malformed", **_WITHOUT_INPUT}


def _needing(scope: str) -> list[Json]:
    """Either way of saying it: where the token comes from, and how it is presented."""
    return [{"operatorClient": [scope]}, {"operatorToken": [scope]}]


PATHS: dict[str, Json] = {
    "/v1/audit/events": {
        "get": {
            "operationId": "listAuditEvents",
            "tags": ["Operators"],
            "summary": "Read the audit log",
            "description": "Newest first. Reading is an event too. A parameter that is not known here, or that comes "
            "twice, is refused: a misspelt filter must not look like a log without events.",
            "security": _needing("audit:read"),
            "parameters": query_parameters(
                EventsQuery,
                {
                    "subject_issuer": "With `subject`: the user's issuer.",
                    "subject": "With `subject_issuer`: the user's `sub` there.",
                    "client_id": "The app that asked.",
                    "connection": "The provider's name here.",
                    "connection_id": "One connected account.",
                    "type": "The kind of event.",
                    "decision": "Whether it was allowed.",
                    "since": "From this moment on (RFC 3339).",
                    "until": "Up to this moment, without it (RFC 3339).",
                    "cursor": "What the page before gave as `next`; new events do not disturb it.",
                    "limit": "How many, at most.",
                },
            ),
            "responses": {
                "200": carrying("The events.", schema("EventsPage"), *NO_STORE)
                | {
                    "links": {
                        "next": {"operationId": "listAuditEvents", "parameters": {"cursor": "$response.body#/next"}}
                    }
                },
                **failing(_REFUSED),
            },
        }
    },
    "/v1/connections": {
        "get": {
            "operationId": "listUsersConnections",
            "tags": ["Operators"],
            "summary": "See who has connected what",
            "description": "Newest first, disconnected ones too. Reading is an event. A parameter that is not known "
            "here, or that comes twice, is refused.",
            "security": _needing("connections:read"),
            "parameters": query_parameters(
                ConnectionsQuery,
                {
                    "subject_issuer": "With `subject`: the user's issuer.",
                    "subject": "With `subject_issuer`: the user's `sub` there.",
                    "connection": "The provider's name here.",
                    "status": "How they stand.",
                    "cursor": "What the page before gave as `next`.",
                    "limit": "How many, at most.",
                },
            ),
            "responses": {
                "200": carrying("The connections.", schema("UsersConnectionsPage"), *NO_STORE)
                | {
                    "links": {
                        "next": {
                            "operationId": "listUsersConnections",
                            "parameters": {"cursor": "$response.body#/next"},
                        },
                        "disconnect": {
                            "operationId": "deleteUsersConnection",
                            "parameters": {"connection_id": "$response.body#/connections/0/id"},
                        },
                    }
                },
                **failing(_REFUSED),
            },
        }
    },
    "/v1/connections/{connection_id}": {
        "delete": {
            "operationId": "deleteUsersConnection",
            "tags": ["Operators"],
            "summary": "Disconnect a user's account",
            "description": "No exchange succeeds once this is answered; the tokens are revoked at the provider "
            "at once, and again until that is done. A second time is well too.",
            "security": _needing("connections:revoke"),
            "parameters": [
                {
                    "name": "connection_id",
                    "in": "path",
                    "required": True,
                    "description": "The connection.",
                    "schema": {"type": "string", "format": "uuid"},
                }
            ],
            "responses": {
                "204": carrying("Disconnected.", None, *NO_STORE),
                **failing({**_WITHOUT_INPUT, 404: "NotFound"}),
            },
        }
    },
    "/v1/subjects": {
        "delete": {
            "operationId": "eraseSubject",
            "tags": ["Operators"],
            "summary": "Offboard a user",
            "description": "Everything of theirs is revoked, and they are erased: from then on their events cannot be "
            "read or linked to anybody. This cannot be undone.",
            "security": _needing("connections:revoke"),
            "parameters": query_parameters(
                SubjectQuery, {"issuer": "The user's issuer.", "subject": "The user's `sub` there."}
            ),
            "responses": {
                "204": carrying("Erased.", None, *NO_STORE),
                **failing({**_REFUSED, 404: "NotFound"}),
            },
        }
    },
    "/v1/keys": {
        "get": {
            "operationId": "listKeys",
            "tags": ["Operators"],
            "summary": "See which keys are in use",
            "description": "Never a key. Reading is an event.",
            "security": _needing("keys:read"),
            "responses": {
                "200": carrying("The keys, oldest first.", schema("KeysList"), *NO_STORE),
                **failing(_WITHOUT_INPUT),
            },
        }
    },
}
