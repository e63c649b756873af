"""The doors that an app sends a browser to (api.md §3). What vaultd's own pages call is between it and the browser."""

from __future__ import annotations

from vaultd.web.consent import DoorQuery
from vaultd.web.openapi.answers import NO_STORE, carrying, failing
from vaultd.web.openapi.parts import HTML, Json, query_parameters
from vaultd.web.page import PartQuery
from vaultd.web.tickets import TicketQuery

_TAG = "Browser"
_REFUSED = {400: "PageRefused", 500: "PageBug", 503: "PageUnavailable"}


def _note(name: str, description: str) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"}}


_LANG = _note("lang", "The language of the page, such as `de`; kept for later visits. Absent: the browser's.")


def _elsewhere(description: str) -> Json:
    return carrying(description, None, "No-Store", "Location", "Cookie")


_TICKET: Json = {
    "operationId": "openTicket",
    "tags": [_TAG],
    "summary": "Go to the provider, with a ticket",
    "description": "Where an app sends the browser after `beginConnection`. A ticket is good once. A person is shown "
    "whose vault it leads into before they leave, and their click uses it up: for a request that reads HTML (`Accept`) "
    "and a client that has not set `confirm_connect = false`, the answer is a page. A program that only looks where a "
    "link leads gets that page too. Any other request uses the ticket up and is redirected at once.",
    "security": [],
    "parameters": query_parameters(
        TicketQuery,
        {
            "ticket": "From `connect_params`.",
            "confirmed": "Put there by the page, for the browser that it was shown to.",
        },
    ),
    "responses": {
        "200": carrying("A page that asks the person.", {"type": "string"}, *NO_STORE, "Cookie", media_type=HTML),
        "303": _elsewhere("To the provider's consent."),
        **failing(_REFUSED),
    },
}

_DOOR: Json = {
    "operationId": "openDoor",
    "tags": [_TAG],
    "summary": "Go to the provider, by a plain link",
    "description": "A link that an app may show to its user, such as `connect_uri` of an `interaction_required`. Signs "
    "the user in first where need be. A person is asked before they leave: for a request that reads HTML (`Accept`) "
    "and a client that has not set `confirm_connect = false`, the answer is a page with the provider's link; any other "
    "is redirected at once. Ends at `return_to` with `connection` and `status` in the query: `connected`, or "
    "`error` with `error` and `error_description`.",
    "security": [{"browserSession": []}, {}],
    "parameters": [
        {
            "name": "provider",
            "in": "path",
            "required": True,
            "description": "The provider's name here, such as `github`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\x00/]+$"},
        },
        *query_parameters(
            DoorQuery,
            {
                "client_id": "The app; absent for the configured default.",
                "return_to": "Where it ends: one that is registered, exactly; absent for `/connections`.",
                "scope": "Space-separated, within what the app may have; absent for the provider's default.",
                "login_hint": "Handed to the provider.",
            },
        ),
    ],
    "responses": {
        "200": carrying(
            "A page that asks the person: where their account is, if the provider is elsewhere for each user, or "
            "whether to go on.",
            {"type": "string"},
            *NO_STORE,
            media_type=HTML,
        ),
        "303": _elsewhere("To the provider's consent, or to sign in first."),
        **failing({**_REFUSED, 404: "PageNotFound"}),
    },
}

_PAGE: Json = {
    "operationId": "openConnections",
    "tags": [_TAG],
    "summary": "The user's page",
    "description": "What is connected, and the way to stop it, for a signed-in browser.",
    "security": [{"browserSession": []}, {}],
    "parameters": [
        _note("status", "What happened on the way here: `connected`, `disconnected` or `error`."),
        _note("connection", "To which provider it happened."),
        _note("error", "The error's OAuth code."),
        *query_parameters(PartQuery, {"cursor": "Where there are many accounts, what the page links to as more."}),
        _LANG,
    ],
    "responses": {
        "200": carrying("The page.", {"type": "string"}, *NO_STORE, media_type=HTML),
        "303": _elsewhere("To sign in first."),
        **failing(_REFUSED),
    },
}

_ACTIVITY: Json = {
    "operationId": "openActivity",
    "tags": [_TAG],
    "summary": "The user's activity, as a page",
    "description": "What agents did for the user, what was refused and what the user changed, newest first.",
    "security": [{"browserSession": []}, {}],
    "parameters": [
        *query_parameters(PartQuery, {"cursor": "What the page before links to as its next."}),
        _LANG,
    ],
    "responses": {
        "200": carrying("The page.", {"type": "string"}, *NO_STORE, media_type=HTML),
        "303": _elsewhere("To sign in first."),
        **failing(_REFUSED),
    },
}

_LOGGED_OUT: Json = {
    "operationId": "receiveLogoutToken",
    "tags": [_TAG],
    "summary": "Somebody signed out at the issuer",
    "description": "The `backchannel_logout_uri` of vaultd at its `[login]` issuer (OpenID Connect Back-Channel Logout "
    "1.0): the sessions that the token names end. A token is good once.",
    "security": [],
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["logout_token"],
                    "properties": {"logout_token": {"type": "string", "description": "Signed by the issuer."}},
                }
            }
        },
    },
    "responses": {
        "200": carrying("Done; also where nobody was signed in.", None, *NO_STORE),
        **failing({400: "LogoutRefused", 413: "TooLarge", 500: "OAuthBug", 503: "OAuthUnavailable"}),
    },
}

PATHS: dict[str, Json] = {
    "/auth/connect": {"get": _TICKET},
    "/auth/connect/{provider}": {"get": _DOOR},
    "/connections": {"get": _PAGE},
    "/connections/activity": {"get": _ACTIVITY},
    "/auth/login/backchannel": {"post": _LOGGED_OUT},
}
