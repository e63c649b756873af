"""What a believed token must say to stand for a user here (security A2). Pure.

The claims are those of a JWT whose signature and times were checked, or an issuer's answer to introspection.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import rfc8785

from vaultd.errors import InvalidRequest
from vaultd.jose import JwtRefused, VerifiedJwt, purposes, read_audience
from vaultd.jose.dpop import is_thumbprint
from vaultd.jose.purposes import PRESENTED, TokenKind, check_claims, check_type
from vaultd.sizes import LONGEST_CLAIM, LONGEST_NAME, PARTY
from vaultd.subjects.config import IssuerConfig
from vaultd.terms import Scopes

Party: TypeAlias = Mapping[str, Any]

_PREFIX = "urn:ietf:params:oauth:token-type:"
_KINDS: Mapping[str, TokenKind] = MappingProxyType(
    {
        _PREFIX + "access_token": "access_token",
        _PREFIX + "id_token": "id_token",
        _PREFIX + "jwt": "jwt",
        _PREFIX + "refresh_token": "refresh_token",
    }
)

# RFC 7662 §2.2: `token_type` is a type of RFC 6749 §7.1. Some issuers say there, or in `token_use`, what it is for.
_FOR_ACCESS = frozenset({"bearer", "dpop", "access_token"})
_REFRESH_ONLY = frozenset({"refresh", "refresh_token"})
_FOR_REFRESH = frozenset({"bearer", "dpop"}) | _REFRESH_ONLY


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


def read_purpose(jwt: VerifiedJwt, kind: TokenKind, config: IssuerConfig) -> Audience:
    """What the token is for must be what the request says, and it must be meant for us.

    RFC 8725 §3.12; RFC 7519 §4.1.3; OpenID Connect Core §3.1.3.7. Of several purposes that its audience allows, one
    must fit its claims. Raises `JwtRefused`.
    """
    check_type(jwt.typ, *PRESENTED[kind])
    meant = [way for way in _ways(jwt.claims, kind, config) if jwt.typ in way[0].types]
    if not meant:
        raise JwtRefused("wrong_audience")
    check_required_claims(jwt.claims, config.required_claims)
    refusals = []
    for purpose, audience in meant:
        try:
            check_claims(jwt.claims, purpose)
        except JwtRefused as refused:
            refusals.append(refused)
        else:
            return audience
    raise refusals[0]


def check_introspected_audience(claims: Mapping[str, Any], kind: TokenKind, config: IssuerConfig) -> Audience:
    """`check_audience` for an issuer's answer about a token (RFC 7662 §2.2). Raises `JwtRefused`."""
    # A refresh token is for its issuer alone (RFC 6749 §1.5), so it has no `aud` that could name us, and the rule for
    # tokens without one holds: a trusted client vouches for it, and the required claims are there. An `aud` that is
    # there all the same must be ours: an access token is not let in by calling it a refresh token.
    if not config.audience or (kind == "refresh_token" and "aud" not in claims):
        return _vouched_for(config, as_id_token=False)
    if read_audience(claims).isdisjoint(config.audience):
        raise JwtRefused("wrong_audience")
    return Audience(as_id_token=False, only_trusted=False)


def check_introspected_type(claims: Mapping[str, Any], kind: TokenKind, audience: Audience) -> None:
    """What the answer says of the token's kind must fit the token type that the request names. Raises `JwtRefused`.

    The request's `token_type_hint` decides nothing: a server looks for other kinds too (RFC 7662 §2.1), so it would
    find a refresh token that was sent as an access token.
    """
    said = {_text(claims[name], name).lower() for name in ("token_type", "token_use") if name in claims}
    if not said <= (_FOR_REFRESH if kind == "refresh_token" else _FOR_ACCESS):
        raise JwtRefused("wrong_type", f"the answer calls it {' '.join(sorted(said))}")
    # Where no word decides, the audience does: an access token has one that is ours, a refresh token has none.
    if kind == "refresh_token":
        if not audience.only_trusted and said.isdisjoint(_REFRESH_ONLY):
            raise JwtRefused("wrong_type", "it has an audience, and nothing calls it a refresh token")
    elif audience.only_trusted and not said:
        raise JwtRefused("wrong_type", "it has no audience of ours, and nothing calls it an access token")


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
    app = _app_of(claims)
    return None if app is None and "azp" not in claims else _text(app, "azp")


def read_introspected_presenter(claims: Mapping[str, Any], kind: TokenKind, client_claim: str) -> str | None:
    """The client that the token was issued to: the configured claim, or `client_id` (RFC 7662 §2.2).

    A refresh token must name it: it is bound to its client (RFC 6749 §6). Raises `JwtRefused`.
    """
    name = client_claim if client_claim in claims else "client_id"
    if name in claims:
        return _text(claims[name], name)
    if kind == "refresh_token":
        raise JwtRefused("missing_claim", "client_id")
    return None


def read_key_binding(claims: Mapping[str, Any], config: IssuerConfig) -> str | None:
    """The thumbprint of the key that the token is bound to (RFC 9449 §6), or None. Raises `JwtRefused`."""
    if "cnf" not in claims:
        # RFC 9449 §6.2: an answer that calls a token DPoP names its key; without one it cannot be checked.
        if config.dpop == "required" or str(claims.get("token_type", "")).lower() == "dpop":
            raise JwtRefused("dpop_unbound")
        return None
    confirmation = claims["cnf"]
    # A binding that is not checked here, like that to a certificate (RFC 8705 §3.1), must not count as none.
    if not isinstance(confirmation, dict) or confirmation.keys() != {"jkt"}:
        raise JwtRefused("unsupported_cnf")
    jkt = confirmation["jkt"]
    if not isinstance(jkt, str) or not is_thumbprint(jkt):
        raise JwtRefused("malformed", "cnf.jkt")
    return jkt


def read_scopes(claims: Mapping[str, Any], audience: Audience) -> Scopes:
    """The scopes of an access token: `scope` (RFC 9068 §2.2.3), or `scp` where an issuer calls it so.

    Both come as one string or as a list. An ID token carries none. Raises `JwtRefused`.
    """
    if audience.as_id_token:
        return Scopes()
    name = "scope" if "scope" in claims else "scp"
    value = claims.get(name, "")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if not isinstance(value, str):
        raise JwtRefused("malformed", name)
    if len(value) > LONGEST_CLAIM:
        raise JwtRefused("malformed", f"{name} is longer than {LONGEST_CLAIM} characters")
    return Scopes.parse(value)


def read_party(claims: Mapping[str, Any], name: Literal["may_act", "act"]) -> Party | None:
    """The object under `may_act` or `act` (RFC 8693 §4.1, §4.4). Raises `JwtRefused`."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, dict):
        raise JwtRefused("malformed", name)
    try:
        # Written as an event keeps it. Who acts for whom is a short list; an event is never deleted.
        if len(json.dumps(value)) > PARTY:
            raise JwtRefused("malformed", f"{name} is longer than {PARTY} bytes")
        # What is recorded in an event must have canonical bytes; RFC 8785 has none for an integer beyond 2^53.
        rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError):
        raise JwtRefused("malformed", name) from None
    return MappingProxyType(value)


def _ways(
    claims: Mapping[str, Any], kind: TokenKind, config: IssuerConfig
) -> Iterator[tuple[purposes.Purpose, Audience]]:
    """The purposes for which the token, presented as this kind, names an audience of ours."""
    for purpose in PRESENTED[kind]:
        is_id_token = purpose is purposes.ID_TOKEN
        if config.names_no_audience:
            yield purpose, _vouched_for(config, as_id_token=is_id_token)
            continue
        ours = config.id_token_client_ids if is_id_token else config.audience
        if not read_audience(claims).isdisjoint(ours):
            yield purpose, Audience(as_id_token=is_id_token, only_trusted=False)
    # An ID token is for the app that signed the user in. As an access token it passes only where the operator has
    # listed that app under `audience` too, and the token is for that app: `azp` alone names who got it, not whom for.
    for_us = not config.names_no_audience and not read_audience(claims).isdisjoint(config.audience)
    if kind != "id_token" and for_us and _app_of(claims) in config.audience:
        yield purposes.ID_TOKEN, Audience(as_id_token=False, only_trusted=False)


def _app_of(claims: Mapping[str, Any]) -> object:
    """The app that an ID token with these claims is for (OpenID Connect Core §2)."""
    if "azp" in claims:
        return claims["azp"]
    named = read_audience(claims) if "aud" in claims else frozenset[str]()
    return next(iter(named)) if len(named) == 1 else None


def _vouched_for(config: IssuerConfig, *, as_id_token: bool) -> Audience:
    # Nothing in the token can say that it is for us: then other claims must, and a trusted client vouches.
    if not config.required_claims:
        raise JwtRefused("wrong_audience", "it names no audience, and the issuer has no required_claims")
    return Audience(as_id_token=as_id_token, only_trusted=True)


def _text(value: object, name: str) -> str:
    # `isprintable` also keeps out NUL, line breaks and characters that reverse or hide text in a log.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise JwtRefused("malformed", name)
    if len(value) > LONGEST_NAME:
        raise JwtRefused("malformed", f"{name} is longer than {LONGEST_NAME} characters")
    return value
