"""`POST /oauth/token` (api.md §1). The route parses its body itself, and strictly: this says what it takes."""

from __future__ import annotations

from vaultd.exchange import ACCESS_TOKEN, FEDERATED_TOKEN, TOKEN_VAULT_TOKEN
from vaultd.sizes import LONGEST_TOKEN
from vaultd.web.openapi.answers import NO_STORE, carrying, failing
from vaultd.web.openapi.parts import JSON, Json, header, schema
from vaultd.web.token.grants import CLIENT_CREDENTIALS, FEDERATED_CONNECTION, TOKEN_EXCHANGE
from vaultd.web.token.parameters import FORM

_TYPE = "urn:ietf:params:oauth:token-type:"
# Control characters are refused in every value.
_TEXT: Json = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]*$"}
_REQUIRED_TEXT = _TEXT | {"minLength": 1}

_DESCRIPTION = """\
Exchanges a user's session token for a provider's access token (RFC 8693), or gives an operators' program a token of
its own (RFC 6749 §4.4).

The body is a form, or a flat JSON object of strings with the same members. Parameters in the query, a parameter that
comes twice (`audience` and `resource` aside) and an empty required one are refused; an empty optional one counts as
absent, and an unknown one is ignored. A body ends at 64 KiB.

A client authenticates as it is configured, by one method only: `client_secret_basic` (the scheme below),
`client_secret_post` (`client_id` and `client_secret` in the body), `private_key_jwt` (`client_assertion` and
`client_assertion_type` in the body, RFC 7523) or `none` (`client_id` alone). A client configured as implicit may be
left out: then the subject token names it.

For a user who is away, a client that may assert subjects signs the subject token itself: a JWT of the type
`token-vault-req+jwt` that names the user in `sub_id` (RFC 9493), or in `sub` where the client acts for the users of
one issuer only, and is good once. Its claim `audit_context`, a text of 1 to 256 characters without control characters,
says why the client asks, and goes into the audit event. With the `requested_token_type` of Auth0's worker exchange,
`http://auth0.com/oauth/token-type/token-vault-access-token`, the JWT must have `audit_context` and `iat`, is good for
60 seconds from then on, and needs no `exp`. In a user's own token the claim means nothing.

When the provider's API refuses a token with 401 before its end, ask again with that token as `refused_token`. If it is
the one that would be given now, it is renewed first, or the provider is asked whether it is still good; otherwise the
answer is the same as without the parameter. Where the answer has the refused token once more, there is no other: the
API's 401 is to be believed, and is about something else. So that nobody can use up a user's refresh tokens, reports
cause at most six calls to the provider in a quarter of an hour for one connection, and at most three of one client's.
A token that was refused and cannot be renewed at the moment is answered with 503.
"""

_CLIENT: dict[str, Json] = {
    "client_id": _TEXT | {"description": "Beside another method it must be equal to the client that it names."},
    "client_secret": _TEXT | {"description": "For `client_secret_post`.", "format": "password"},
    "client_assertion": _TEXT | {"description": "For `private_key_jwt`: a JWT signed with the client's own key."},
    "client_assertion_type": _TEXT
    | {"description": "`urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with a `client_assertion`."},
}
_SCOPE = _TEXT | {"description": "Space-separated; absent for all that this client may have."}


def _exchange(several: Json) -> Json:
    """A token exchange; `several` is how this encoding says one or more targets."""
    return _asking("Token exchange", TOKEN_EXCHANGE, ACCESS_TOKEN, several, {})


def _federated(several: Json) -> Json:
    """The same in the words of Auth0's SDKs."""
    target = _REQUIRED_TEXT | {"description": "The provider's name here, such as `github`."}
    return _asking("Federated connection", FEDERATED_CONNECTION, FEDERATED_TOKEN, several, {"connection": target})


def _asking(title: str, grant: str, issued: str, several: Json, required: dict[str, Json]) -> Json:
    return {
        "title": title,
        "type": "object",
        "required": ["grant_type", "subject_token", "subject_token_type", *required],
        "properties": {
            "grant_type": {"const": grant},
            "subject_token": _REQUIRED_TEXT | {"maxLength": 16_384, "description": "The user's session token."},
            "subject_token_type": {
                "enum": [_TYPE + kind for kind in ("access_token", "id_token", "jwt", "refresh_token")],
                "description": "`refresh_token` only for an issuer that is asked by introspection (RFC 7662).",
            },
            **required,
            "requested_token_type": {
                "enum": ["", ACCESS_TOKEN, FEDERATED_TOKEN, TOKEN_VAULT_TOKEN],
                "default": issued,
                "description": "Names for one thing, the provider's access token; the answer repeats this one.",
            },
            "audience": several | {"description": "The provider's name here, such as `github`."},
            "resource": several | {"description": "Or the URL of the API to be called, resolved to its provider."},
            "scope": _SCOPE,
            "actor_token": _TEXT | {"description": "The agent's own token, issued to this client; see `may_act`."},
            "actor_token_type": _TEXT | {"description": "Comes with `actor_token`, and only then."},
            "login_hint": _TEXT | {"description": "Which account, of several: its id, login or e-mail address."},
            "refused_token": _TEXT
            | {
                "maxLength": LONGEST_TOKEN,
                "format": "password",
                "description": "A token from an earlier answer that the provider's API refused with 401.",
            },
            **_CLIENT,
        },
        "additionalProperties": _TEXT,
    }


_CLIENT_CREDENTIALS: Json = {
    "title": "Client credentials",
    "type": "object",
    "required": ["grant_type"],
    "properties": {"grant_type": {"const": CLIENT_CREDENTIALS}, "scope": _SCOPE, **_CLIENT},
    "additionalProperties": _TEXT,
}

_SEVERAL_IN_A_FORM: Json = {"type": "array", "items": _TEXT}
SCHEMAS: dict[str, Json] = {
    "TokenExchangeForm": _exchange(_SEVERAL_IN_A_FORM),
    "TokenExchangeJson": _exchange(_TEXT),
    "FederatedConnectionForm": _federated(_SEVERAL_IN_A_FORM),
    "FederatedConnectionJson": _federated(_TEXT),
    "ClientCredentials": _CLIENT_CREDENTIALS,
}


def _one_of(encoding: str) -> Json:
    grants = {
        TOKEN_EXCHANGE: schema(f"TokenExchange{encoding}"),
        FEDERATED_CONNECTION: schema(f"FederatedConnection{encoding}"),
        CLIENT_CREDENTIALS: schema("ClientCredentials"),
    }
    mapping = {grant: reference["$ref"] for grant, reference in grants.items()}
    return {
        "oneOf": list(grants.values()),
        "discriminator": {"propertyName": "grant_type", "mapping": mapping},
    }


PATHS: dict[str, Json] = {
    "/oauth/token": {
        "post": {
            "operationId": "issueToken",
            "tags": ["Tokens"],
            "summary": "Exchange a token",
            "description": _DESCRIPTION,
            # The empty one stands for what goes into the body, or is left out.
            "security": [{"clientBasic": []}, {}],
            "parameters": [header("DPoP", "With a bound subject or actor token: the proof of its key (RFC 9449 §5).")],
            "requestBody": {
                "required": True,
                "content": {
                    FORM: {
                        "schema": _one_of("Form"),
                        "encoding": {name: {"style": "form", "explode": True} for name in ("audience", "resource")},
                    },
                    JSON: {"schema": _one_of("Json")},
                },
            },
            "responses": {
                "200": carrying(
                    "The token.", {"anyOf": [schema("ExchangedToken"), schema("OperatorToken")]}, *NO_STORE
                ),
                **failing(
                    {
                        400: "OAuthRefused",
                        401: "OAuthUnknownClient",
                        413: "OAuthTooLarge",
                        429: "OAuthSlowDown",
                        500: "OAuthBug",
                        503: "OAuthUnavailable",
                    }
                ),
            },
        }
    }
}
