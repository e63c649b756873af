"""What can go wrong on any route, and the headers that answers carry."""

from __future__ import annotations

from vaultd.web.openapi.parts import HTML, JSON, Json, answer, ref, schema
from vaultd.web.openapi.schemas import oauth_error

_TEXT: Json = {"type": "string"}


def _header(description: str, described: Json, *, required: bool = True) -> Json:
    return {"description": description, "required": required, "schema": described}


HEADERS: dict[str, Json] = {
    "X-Request-Id": _header(
        "The name under which the log and the audit events know this request.",
        {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    ),
    "No-Store": _header("Nothing of this may be kept.", {"const": "no-store"}),
    "No-Cache": _header("The same, for old caches.", {"const": "no-cache"}),
    "Validated": _header("May be kept by the caller alone, and is asked for again.", {"const": "private, no-cache"}),
    "Shared": _header("May be kept for five minutes.", {"const": "public, max-age=300"}),
    "Vary": _header("By what the answer differs: whose it is, and which page may read it.", _TEXT),
    "ETag": _header("Names this state of the list.", {"type": "string", "pattern": '^"[0-9a-f]{32}"$'}),
    "Retry-After": _header("Seconds to wait.", {"type": "integer", "minimum": 1}),
    "Bearer-Challenge": _header(
        "RFC 6750 §3, RFC 9449 §7.1: with `error` and `error_description`, unless the request had no token at all. The "
        "accounts API names both schemes that it takes.",
        {"type": "string", "pattern": '^(Bearer|DPoP) realm="vaultd"'},
    ),
    "Scope-Challenge": _header(
        "When it is the scope that is missing.",
        {"type": "string", "pattern": '^(Bearer|DPoP) realm="vaultd", error="insufficient_scope"'},
        required=False,
    ),
    "Basic-Challenge": _header(
        "Only when the request carried `Authorization` (RFC 6749 §5.2).",
        {"const": 'Basic realm="vaultd"'},
        required=False,
    ),
    "Accepted": _header("What this route reads.", {"const": JSON}),
    "Location": _header("Where the browser goes.", {"type": "string", "format": "uri"}),
    "Cookie": _header(
        "Ties the flow to this browser, or is its session. `__Host-`, `Secure`, `HttpOnly`, `SameSite=Lax`.",
        _TEXT,
        required=False,
    ),
}

# The header's own name, for each of the descriptions above that has another.
_NAMES = {
    "No-Store": "Cache-Control",
    "No-Cache": "Pragma",
    "Validated": "Cache-Control",
    "Shared": "Cache-Control",
    "Bearer-Challenge": "WWW-Authenticate",
    "Scope-Challenge": "WWW-Authenticate",
    "Basic-Challenge": "WWW-Authenticate",
    "Accepted": "Accept",
    "Cookie": "Set-Cookie",
}
NO_STORE = ("No-Store", "No-Cache")


def carrying(description: str, body: Json | None = None, *described: str, media_type: str = JSON) -> Json:
    """A response with these of `HEADERS`, each under its own name."""
    made = answer(description, body, media_type=media_type)
    made["headers"] |= {_NAMES.get(name, name): ref("headers", name) for name in described}
    return made


def _problem(description: str, *described: str) -> Json:
    return carrying(description, schema("Problem"), *NO_STORE, *described)


def _page(description: str, *described: str) -> Json:
    return carrying(description, _TEXT, *NO_STORE, *described, media_type=HTML)


def _oauth(description: str, body: Json, *described: str) -> Json:
    return carrying(description, body, *NO_STORE, *described)


RESPONSES: dict[str, Json] = {
    "Malformed": _problem("The body or the query is not what is described here; `validation_errors` say where."),
    "NoToken": _problem(
        "The access token is missing, expired or not accepted here, or the proof of its key is not good.",
        "Bearer-Challenge",
    ),
    "NoScope": _problem("The access token lacks the scope for this call.", "Bearer-Challenge"),
    "Foreign": _problem(
        "The access token lacks the scope for this call, or somebody else began: what the provider granted is then "
        "revoked there.",
        "Scope-Challenge",
    ),
    "NotFound": _problem("There is no such thing here."),
    "TooLarge": _problem("The body is larger than 64 KiB."),
    "NotJson": _problem("The body is not `application/json`.", "Accepted"),
    "TooMany": _problem("This app asks too often for this user.", "Retry-After"),
    "Unavailable": _problem(
        "This cannot be answered right now, or what was decided could not be written to the audit log.", "Retry-After"
    ),
    "Bug": _problem("Something is wrong on our side. The log knows more, under the request's id."),
    "PageRefused": _page("A page that says in words why this link does not work."),
    "PageNotFound": _page("A page: there is no such thing here."),
    "PageUnavailable": _page("A page: this cannot be answered right now.", "Retry-After"),
    "PageBug": _page("A page: something is wrong on our side."),
    "OAuthRefused": _oauth(
        "Refused (RFC 6749 §5.2, RFC 8693 §2.2.2). A bad subject or actor token is `invalid_request`; why is in the "
        "audit event, not in the answer. An unknown provider and one that this client may not use are both "
        "`invalid_target`, in the same bytes.",
        {
            "anyOf": [
                oauth_error(
                    "invalid_request",
                    "unsupported_grant_type",
                    "unauthorized_client",
                    "invalid_target",
                    "invalid_scope",
                ),
                schema("InteractionRequired"),
            ]
        },
    ),
    "LogoutRefused": _oauth(
        "The logout token is missing or not accepted; why is in the audit event.", oauth_error("invalid_request")
    ),
    "OAuthUnknownClient": _oauth(
        "The client is unknown or failed to authenticate; which of them is not told.",
        oauth_error("invalid_client"),
        "Basic-Challenge",
    ),
    "OAuthTooLarge": _oauth("The body is larger than 64 KiB.", oauth_error("invalid_request")),
    "OAuthSlowDown": _oauth("Too many requests.", oauth_error("slow_down"), "Retry-After"),
    "OAuthUnavailable": _oauth(
        "The provider is down and no valid token is left, or the decision could not be written to the audit log.",
        oauth_error("temporarily_unavailable"),
        "Retry-After",
    ),
    "OAuthBug": _oauth(
        "Something is wrong on our side. The log knows more, under the request's id.",
        {"type": "object", "required": ["error"], "properties": {"error": {"const": "server_error"}}},
    ),
}


def failing(statuses: dict[int, str]) -> Json:
    """The failures of an operation, by the names of `RESPONSES`."""
    return {str(status): ref("responses", name) for status, name in statuses.items()}
