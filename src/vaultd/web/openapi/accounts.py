"""`/me/v1/connected-accounts` (api.md §2)."""

from __future__ import annotations

from collections.abc import Sequence

from vaultd.web.accounts.asked import PREFIX, AccountsQuery, CompleteBody, ConnectBody, PageQuery
from vaultd.web.openapi.answers import NO_STORE, carrying, failing
from vaultd.web.openapi.parts import Json, body, header, query_parameters, schema

_TAG = "Connected accounts"
_READING = {401: "NoToken", 403: "NoScope", 429: "TooMany", 500: "Bug", 503: "Unavailable"}
_SENDING = {400: "Malformed", **_READING, 413: "TooLarge", 415: "NotJson"}
_TAKE = "How many, at most."
_FROM = "What the page before gave as `next`; absent for the first page."
_CONNECTION = "The provider's name here, such as `github`."


def _operation(
    operation_id: str, verb: str, summary: str, description: str, parameters: Sequence[Json] = (), **more: Json
) -> Json:
    return {
        "operationId": operation_id,
        "tags": [_TAG],
        "summary": summary,
        "description": description,
        "security": [{scheme: [f"{verb}:me:connected_accounts"]} for scheme in ("userToken", "boundUserToken")],
        "parameters": [*parameters, header("DPoP", "With a bound token: the proof of its key (RFC 9449 §7.1).")],
        **more,
    }


_CONNECT = _operation(
    "beginConnection",
    "create",
    "Begin to connect an account",
    "The app sends the browser to `connect_uri` with the ticket in the query. It comes back to `redirect_uri` with "
    "`connect_code` and the app's `state`, or with `error` and `error_description`.",
    requestBody=body(
        ConnectBody,
        {
            "connection": _CONNECTION,
            "redirect_uri": "Where the browser comes back to: one that is registered for the client, exactly.",
            "state": "Comes back with the browser.",
            "scopes": "What to ask the user for, within what the client may have; absent for the provider's default.",
            "code_challenge": "RFC 7636: `complete` then needs the verifier.",
            "code_challenge_method": "Never `plain`.",
            "authorization_params": "Parameters of the provider's authorization request that its entry allows, and the"
            " connection settings that it asks for, such as `shop`.",
        },
    ),
    responses={
        "201": carrying(
            "The consent has begun, and ends after `expires_in` seconds.", schema("ConsentBegun"), *NO_STORE
        ),
        **failing(_SENDING),
    },
)

_COMPLETE = _operation(
    "completeConnection",
    "create",
    "Complete it",
    "Only by the user and the app that began, with the `auth_session` of then; one try. The connection is there "
    "from here on.",
    requestBody=body(
        CompleteBody,
        {
            "auth_session": "From `beginConnection`.",
            "connect_code": "What the browser brought.",
            "redirect_uri": "The same as then.",
            "code_verifier": "When there was a `code_challenge`.",
        },
    ),
    responses={"201": carrying("Connected.", schema("NewAccount"), *NO_STORE), **failing({**_SENDING, 403: "Foreign"})},
)

_LIST = _operation(
    "listAccounts",
    "read",
    "The user's accounts",
    "Oldest first. Disconnected ones are not in it. The `ETag` stays as long as the answer does, through every use and "
    "renewal of a token but the first use of a day: an app can keep the list, and ask with `If-None-Match` whether it "
    "is still so.",
    parameters=[
        *query_parameters(AccountsQuery, {"from": _FROM, "take": _TAKE, "connection": _CONNECTION}),
        header("If-None-Match", "The `ETag` of the list that the caller has (RFC 9110 §13.1.2)."),
    ],
    responses={
        "200": carrying("The accounts.", schema("AccountsPage"), "Validated", "Vary", "ETag")
        | {
            "links": {
                "disconnect": {
                    "operationId": "deleteAccount",
                    "parameters": {"account_id": "$response.body#/accounts/0/id"},
                },
                "next": {"operationId": "listAccounts", "parameters": {"from": "$response.body#/next"}},
            }
        },
        "304": carrying("Nothing has changed.", None, "Validated", "Vary", "ETag"),
        **failing({400: "Malformed", **_READING}),
    },
)

_DELETE = _operation(
    "deleteAccount",
    "delete",
    "Disconnect an account",
    "The stored tokens are gone and no exchange succeeds any more once this is answered. Revocation at the provider "
    "starts at once and is retried until it is done. A second time is well too; another user's account is not found.",
    parameters=[{"name": "account_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}],
    responses={"204": carrying("Disconnected.", None, *NO_STORE), **failing({**_READING, 404: "NotFound"})},
)

_AVAILABLE = _operation(
    "listConnections",
    "read",
    "What the user can connect",
    "The providers that this app may use, by name, and the scopes that it may ask for.",
    parameters=query_parameters(PageQuery, {"from": _FROM, "take": _TAKE}),
    responses={
        "200": carrying("The connections.", schema("ConnectionsPage"), *NO_STORE)
        | {
            "links": {"next": {"operationId": "listConnections", "parameters": {"from": "$response.body#/next"}}},
        },
        **failing({400: "Malformed", **_READING}),
    },
)

_ACTIVITY = _operation(
    "listActivity",
    "read",
    "What happened with the user's accounts",
    "The user's own audit events, newest first, refusals included. What operators see besides is about the vault: the "
    "number of an event in the log, and addresses.",
    parameters=query_parameters(PageQuery, {"from": _FROM, "take": _TAKE}),
    responses={
        "200": carrying("The events.", schema("OwnEventsPage"), *NO_STORE)
        | {"links": {"next": {"operationId": "listActivity", "parameters": {"from": "$response.body#/next"}}}},
        **failing({400: "Malformed", **_READING}),
    },
)

PATHS: dict[str, Json] = {
    f"{PREFIX}/connect": {"post": _CONNECT},
    f"{PREFIX}/complete": {"post": _COMPLETE},
    f"{PREFIX}/accounts": {"get": _LIST},
    f"{PREFIX}/accounts/{{account_id}}": {"delete": _DELETE},
    f"{PREFIX}/connections": {"get": _AVAILABLE},
    f"{PREFIX}/activity": {"get": _ACTIVITY},
}
