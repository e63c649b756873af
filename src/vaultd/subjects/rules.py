"""What a verified JWT must say beside its signature and times to stand for a user here (security A2). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import rfc8785

from vaultd.errors import InvalidRequest
from vaultd.jose import JwtRefused, VerifiedJwt, read_audience
from vaultd.subjects.config import IssuerConfig
from vaultd.terms import Scopes

TokenKind: TypeAlias = Literal["access_token", "id_token", "jwt"]
Party: TypeAlias = Mapping[str, Any]

_PREFIX = "urn:ietf:params:oauth:token-type:"
_KINDS: Mapping[str, TokenKind] = MappingProxyType(
    {_PREFIX + "access_token": "access_token", _PREFIX + "id_token": "id_token", _PREFIX + "jwt": "jwt"}
)

# RFC 8725 §3.11: a JWT typed for another purpose (logout+jwt, dpop+jwt, secevent+jwt, ...) is no session token.
# Many issuers type nothing, or everything as JWT, so that those two say nothing about the purpose.
_TYPES: Mapping[TokenKind, frozenset[str]] = MappingProxyType(
    {
        "access_token": frozenset({"", "jwt", "at+jwt"}),  # RFC 9068 §2.1
        "id_token": frozenset({"", "jwt"}),  # RFC 9068 §2.1: at+jwt tells it from an ID token
        "jwt": frozenset({"", "jwt", "at+jwt"}),  # RFC 8693 §3: any JWT, whatever it is used for
    }
)


@dataclass(frozen=True, slots=True)
class Audience:
    """How the audience was accepted: as an ID token's or not, and whether by nobody's name at all."""

    as_id_token: bool
    only_trusted: bool


def token_kind(token_type: str) -> TokenKind:
    """The kind that a token type identifier names (RFC 8693 §3). Raises `InvalidRequest`."""
    kind = _KINDS.get(token_type)
    if kind is None:
        raise InvalidRequest("This token type is not supported.", reason="unsupported_token_type")
    return kind


def check_type(jwt: VerifiedJwt, kind: TokenKind) -> None:
    """The `typ` header must fit the token type that the request names. Raises `JwtRefused`."""
    if jwt.typ not in _TYPES[kind]:
        raise JwtRefused("wrong_type")


def check_audience(jwt: VerifiedJwt, kind: TokenKind, config: IssuerConfig) -> Audience:
    """The token must have been meant for us (RFC 7519 §4.1.3; OpenID Connect Core §3.1.3.7). Raises `JwtRefused`."""
    if config.names_no_audience:
        # Nothing in the token can say that it is for us: then other claims must, and a trusted client vouches.
        if not config.required_claims:
            raise JwtRefused("wrong_audience", "the issuer has no audience, id_token_client_ids or required_claims")
        return Audience(as_id_token=kind == "id_token", only_trusted=True)
    named = read_audience(jwt.claims)
    # An ID token is for the app that signed the user in. As an access token it passes only where the operator
    # has listed that app under `audience` too.
    if kind != "id_token" and not named.isdisjoint(config.audience):
        return Audience(as_id_token=False, only_trusted=False)
    may_be_id_token = kind == "id_token" or (kind == "jwt" and jwt.typ != "at+jwt")
    if may_be_id_token and not named.isdisjoint(config.id_token_client_ids):
        return Audience(as_id_token=True, only_trusted=False)
    raise JwtRefused("wrong_audience")


def check_required_claims(claims: Mapping[str, Any], required: Mapping[str, str | int | bool]) -> None:
    """Each configured claim must be there with exactly this value and JSON type. Raises `JwtRefused`."""
    for name, wanted in required.items():
        if name not in claims:
            raise JwtRefused("missing_claim", name)
        # The type too: in Python, and in no JSON, 1 equals true.
        if type(claims[name]) is not type(wanted) or claims[name] != wanted:
            raise JwtRefused("wrong_claim", name)


def read_sub(claims: Mapping[str, Any]) -> str:
    """The issuer's name for the user (RFC 7519 §4.1.2). Raises `JwtRefused`."""
    if "sub" not in claims:
        raise JwtRefused("missing_claim", "sub")
    return _text(claims["sub"], "sub")


def read_presenter(claims: Mapping[str, Any], audience: Audience, client_claim: str) -> str | None:
    """The client that the token was issued to, or None where it names none. Raises `JwtRefused`."""
    if not audience.as_id_token:
        return _text(claims[client_claim], client_claim) if client_claim in claims else None
    # OpenID Connect Core §2: an ID token names its client in `azp`, and where it has a single audience, by that.
    if "azp" in claims:
        return _text(claims["azp"], "azp")
    named = read_audience(claims) if "aud" in claims else frozenset[str]()
    return next(iter(named)) if len(named) == 1 else None


def read_scopes(claims: Mapping[str, Any], audience: Audience) -> Scopes:
    """The scopes of an access token: `scope` (RFC 9068 §2.2.3), or `scp` where an issuer calls it so.

    Both come as one string or as a list. An ID token carries none. Raises `JwtRefused`.
    """
    if audience.as_id_token:
        return Scopes()
    name = "scope" if "scope" in claims else "scp"
    value = claims.get(name, "")
    if isinstance(value, str):
        return Scopes.parse(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return Scopes.parse(" ".join(value))
    raise JwtRefused("malformed", name)


def read_party(claims: Mapping[str, Any], name: Literal["may_act", "act"]) -> Party | None:
    """The object under `may_act` or `act` (RFC 8693 §4.1, §4.4). Raises `JwtRefused`."""
    if name not in claims:
        return None
    value = claims[name]
    try:
        # What is recorded in an event must have canonical bytes; RFC 8785 has none for an integer beyond 2^53.
        rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        raise JwtRefused("malformed", name) from None
    if not isinstance(value, dict):
        raise JwtRefused("malformed", name)
    return MappingProxyType(value)


def _text(value: object, name: str) -> str:
    # `isprintable` also keeps out NUL, line breaks and characters that reverse or hide text in a log.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise JwtRefused("malformed", name)
    return value
