"""The bodies of answers. A reader must ignore members that it does not know: later versions add some."""

from __future__ import annotations

from typing import Any

from vaultd.audit.events import Decision, EventType, Report
from vaultd.audit.read import UNVERIFIED
from vaultd.keys.keyring import PURPOSES
from vaultd.sizes import LONGEST_CONTEXT
from vaultd.web.openapi.parts import Json, schema

_TEXT: Json = {"type": "string"}
_ID: Json = {"type": "string", "format": "uuid"}
_MOMENT: Json = {"type": "string", "format": "date-time"}
_URI: Json = {"type": "string", "format": "uri"}
_SECONDS: Json = {"type": "integer", "minimum": 0}


def _list_of(items: Json) -> Json:
    return {"type": "array", "items": items}


def _object(required: dict[str, Json], optional: dict[str, Json] | None = None, description: str = "") -> Json:
    described: Json = {"type": "object", "required": list(required), "properties": required | (optional or {})}
    return described | ({"description": description} if description else {})


def _said(member: Json, description: str) -> Json:
    return member | {"description": description}


_NEXT = {"next": _said(_TEXT, "There is more: what to send as `from` for the page behind this one.")}
_TEXTS = _list_of(_TEXT)

_TOKEN_ANSWERS: dict[str, Json] = {
    "ExchangedToken": _object(
        {
            "access_token": _said(_TEXT, "The provider's own access token."),
            "issued_token_type": _said(_TEXT, "What `requested_token_type` asked for (RFC 8693 §2.2.1)."),
            "token_type": {"const": "Bearer"},
            "expires_in": _said(_SECONDS, "Whole seconds left; never more than the provider said."),
            "scope": _said(_TEXT, "What the token really carries, space-separated."),
            "connection": _said(_TEXT, "The provider's name here."),
            "account": _said(_TEXT, "The label of the user's account there."),
        },
        {
            "connection_metadata": _said(
                {"type": "object"}, "What calls of the provider's API need beside the token, such as an instance's URL."
            )
        },
    ),
    "OperatorToken": _object(
        {
            "access_token": _said(_TEXT, "A JWT of type `at+jwt` (RFC 9068), signed by this vault."),
            "token_type": {"const": "Bearer"},
            "expires_in": _SECONDS,
            "scope": _TEXT,
        }
    ),
    "InteractionRequired": _object(
        {
            "error": {"const": "interaction_required"},
            "error_description": _said(_TEXT, "A sentence to show to the user."),
            "reason": {"enum": ["not_connected", "reconnect_required", "scope_missing", "account_ambiguous"]},
            "connection": _TEXT,
            "connect_uri": _said(_URI, "Where the user goes to act."),
        },
        {"accounts": _said(_TEXTS, "With `account_ambiguous`: the labels to choose from, for `login_hint`.")},
        "The user must act before this token can be given.",
    ),
}


def oauth_error(*codes: str) -> Json:
    """An error of the token endpoint (RFC 6749 §5.2)."""
    # RFC 6749 §5.2
    described: Json = {"type": "string", "pattern": r"^[\x20-\x21\x23-\x5b\x5d-\x7e]*$"}
    return _object({"error": {"enum": list(codes)}, "error_description": described})


_PROBLEMS: dict[str, Json] = {
    "Problem": _object(
        {
            "type": _said({"type": "string", "format": "uri-reference"}, "Names the kind of problem (RFC 9457)."),
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _said(_TEXT, "A sentence for a person."),
        },
        {"validation_errors": _list_of(schema("ValidationError"))},
    ),
    "ValidationError": _object(
        {"detail": _TEXT, "source": {"enum": ["body", "query"]}},
        {
            "field": _said(_TEXT, "The parameter, or the body's member."),
            "pointer": _said(_TEXT, "The way to it within a JSON body (RFC 6901)."),
        },
    ),
}

_CONNECTED: dict[str, Json] = {
    "id": _ID,
    "connection": _said(_TEXT, "The provider's name here."),
    "access_type": {"const": "offline"},
    "scopes": _said(_TEXTS, "What the user granted."),
    "created_at": _MOMENT,
}
_ENDS = {
    "expires_at": _said(
        _MOMENT,
        "When the account must be connected again. Absent where the provider named no end, and where vaultd renews the "
        "token by itself.",
    )
}

_ACCOUNTS: dict[str, Json] = {
    "ConsentBegun": _object(
        {
            "auth_session": _said(_TEXT, "For `complete`; the app keeps it from the browser."),
            "connect_uri": _said(_URI, "Where the app sends the browser, with `ticket` in the query."),
            "connect_params": _object({"ticket": _TEXT}),
            "expires_in": _SECONDS,
        }
    ),
    "NewAccount": _object(_CONNECTED, _ENDS),
    "Account": _object(
        _CONNECTED
        | {
            "status": {"enum": ["connected", "reconnect_required"]},
            "account": _said(_TEXT, "The account's label at the provider."),
        },
        _ENDS | {"last_used_at": _said(_MOMENT, "The day of the last use.")},
    ),
    "AccountsPage": _object({"accounts": _list_of(schema("Account"))}, _NEXT),
    "Connection": _object(
        {
            "name": _said(_TEXT, "What `beginConnection` calls it."),
            "strategy": _said(_TEXT, "What kind of provider it is: of several apps at one provider, that provider."),
            "scopes": _said(_TEXTS, "What this app may ask the user for."),
        }
    ),
    "ConnectionsPage": _object({"connections": _list_of(schema("Connection"))}, _NEXT),
}

_HAPPENED: dict[str, Json] = {
    "id": _ID,
    "at": _MOMENT,
    "type": _said({"enum": [*map(str, EventType), UNVERIFIED]}, f"`{UNVERIFIED}`: not an event of this vault."),
    "decision": {"enum": [str(decision) for decision in Decision]},
}
_ABOUT: dict[str, Json] = {
    "reason": _TEXT,
    "reported": _said(
        {"enum": [str(report) for report in Report]},
        "The client said that the provider's API refused a token (`refused_token`): what came of it.",
    ),
    "subject": _said(_object({"issuer": _TEXT, "sub": _TEXT}), "The user."),
    "actor": _said({"type": "object"}, "Who acted for the user (RFC 8693 §4.1)."),
    "client_id": _TEXT,
    "connection": _said(_TEXT, "The provider's name here."),
    "connection_id": _ID,
    "account": _TEXT,
    "scopes": _TEXTS,
    "requested_scopes": _TEXTS,
    "subject_presence": _TEXT,
    "request_id": _TEXT,
    "cut": _said(_TEXTS, "Members that were too long for an event, of which only the beginning is there."),
    "private": _said({"const": "unreadable"}, "What was private can no longer be opened."),
}

_EVENTS: dict[str, Json] = {
    "Event": _object(
        _HAPPENED
        | {
            "writer": _said(_ID, "The lane that wrote it."),
            "seq": _said({"type": "integer", "minimum": 1}, "Its number within the lane; the order of events."),
        },
        _ABOUT
        | {
            "generation": {"type": "integer"},
            "revision": {"type": "integer"},
            "count": _said({"type": "integer", "minimum": 1}, "How many refusals of one kind this event stands for."),
            "window": _said(_MOMENT, "The minute in which they came."),
            "ip": _TEXT,
            "audit_context": _said(
                _TEXT | {"minLength": 1, "maxLength": LONGEST_CONTEXT},
                "Why a client asked on behalf of a user who was away, in its own words. They are not to be trusted.",
            ),
        },
        "What happened. Members that say who the user was are missing once the user's key is erased.",
    ),
    "EventsPage": _object({"events": _list_of(schema("Event"))}, _NEXT),
    "OwnEvent": _object(_HAPPENED, _ABOUT, "What happened to the user's accounts, what was refused included."),
    "OwnEventsPage": _object({"events": _list_of(schema("OwnEvent"))}, _NEXT),
}

_OPERATORS: dict[str, Json] = {
    "UsersConnection": _object(
        {
            "id": _ID,
            "connection": _said(_TEXT, "The provider's name here."),
            "status": {"enum": ["connected", "reconnect_required", "revoked"]},
            "scopes": _said(_TEXTS, "What the user granted."),
            "created_at": _MOMENT,
            "generation": _said({"type": "integer", "minimum": 1}, "Which consent of the account's this is."),
        },
        {
            "subject": _said(_object({"issuer": _TEXT, "sub": _TEXT}), "The user."),
            "account": _said(_TEXT, "The account's label at the provider."),
            "reason": _said(_TEXT, "Why it is not connected any more."),
            "last_used_at": _MOMENT,
        }
        | {"expires_at": _said(_MOMENT, "When the provider's present token ends; it is refreshed before.")},
    ),
    "UsersConnectionsPage": _object(
        {"connections": _list_of(schema("UsersConnection"))},
        {"next": _said(_TEXT, "There is more: what to send as `cursor` for the page behind this one.")},
    ),
    "Key": _object(
        {
            "id": _ID,
            "purpose": {"enum": list(PURPOSES)},
            "state": {"enum": ["active", "decrypt-only", "retired"]},
            "created_at": _MOMENT,
        },
        {"rows": _said({"type": "integer", "minimum": 0}, "How many data keys a `kek` wraps.")},
    ),
    "KeysList": _object({"keys": _list_of(schema("Key"))}),
}

_METADATA: dict[str, Json] = {
    "ServerMetadata": _object(
        {
            "issuer": _URI,
            "token_endpoint": _URI,
            "jwks_uri": _URI,
            "grant_types_supported": _TEXTS,
            "token_endpoint_auth_methods_supported": _TEXTS,
            "token_endpoint_auth_signing_alg_values_supported": _TEXTS,
            "dpop_signing_alg_values_supported": _TEXTS,
            "response_types_supported": _TEXTS,
            "scopes_supported": _TEXTS,
            "service_documentation": _URI,
        }
    ),
    "KeySet": _object({"keys": _list_of(schema("PublicKey"))}),
    "PublicKey": _object(
        {
            "kty": {"const": "OKP"},
            "crv": {"const": "Ed25519"},
            "x": _TEXT,
            "kid": _TEXT,
            "use": {"const": "sig"},
            "alg": {"const": "EdDSA"},
        }
    ),
    "Healthy": _object({"status": {"const": "ok"}}),
    "Unhealthy": _object({"status": {"const": "unavailable"}, "reason": _TEXT}),
}

SCHEMAS: dict[str, Any] = _TOKEN_ANSWERS | _PROBLEMS | _ACCOUNTS | _EVENTS | _OPERATORS | _METADATA
