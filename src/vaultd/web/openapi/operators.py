"""`/v1` (api.md §4)."""

from __future__ import annotations

from vaultd.web.audit import EventsQuery
from vaultd.web.openapi.answers import NO_STORE, carrying, failing
from vaultd.web.openapi.parts import Json, query_parameters, schema

_REFUSED = {400: "Malformed", 401: "NoToken", 403: "NoScope", 500: "Bug", 503: "Unavailable"}


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
    }
}
