"""What a JWT must and must not carry for each purpose: rules that exclude each other (RFC 8725 §3.11, §3.12). Pure.

One key signs tokens of several kinds, and most issuers type none of them, so that a token for one purpose must be told
from those for others by its claims. docs/decisions/0008-token-purposes.md shows this table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from vaultd.jose import marks
from vaultd.jose.marks import Mark
from vaultd.jose.refused import JwtRefused

TokenKind: TypeAlias = Literal["access_token", "id_token", "jwt", "refresh_token"]
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """One use of a JWT. `types` are media types in short lower-case form, and empty for none.

    `words` are those that it must not call itself in a claim. `logout` is whether the logout event must, or must not,
    be among its `events`; `own_subject` whether `sub` must, or must not, be `iss`; None: either.
    """

    name: str
    types: tuple[str, ...]
    required: tuple[str, ...]
    forbidden: tuple[Mark, ...]
    words: tuple[str, ...] = ()
    logout: bool | None = None
    own_subject: bool | None = False


_UNTYPED = ("", "jwt")
_NEITHER = (*marks.PROOF, *marks.NO_TOKEN)
_OTHERS = (*marks.EVENTS, *marks.NAMED_SUBJECT, *_NEITHER)
_NOT_ID_WORDS = (*marks.WORDS_OF_ACCESS, *marks.WORDS_OF_REFRESH, *marks.WORDS_OF_LOGOUT)

ACCESS_TOKEN = Purpose(
    name="access token",
    types=(*_UNTYPED, "at+jwt"),  # RFC 9068 §2.1; most issuers write the others
    required=("iss", "sub", "exp"),
    forbidden=(*marks.ID_TOKEN, *_OTHERS),
    words=(*marks.WORDS_OF_ID, *marks.WORDS_OF_REFRESH, *marks.WORDS_OF_LOGOUT),
)
ID_TOKEN = Purpose(
    name="ID token",
    types=_UNTYPED,
    required=("iss", "sub", "aud", "exp", "iat"),  # OpenID Connect Core §2
    forbidden=(*marks.ACCESS_TOKEN, *_OTHERS),
    words=_NOT_ID_WORDS,
)
REFRESH_TOKEN = Purpose(
    name="refresh token",
    types=_UNTYPED,  # RFC 6749 §1.5: its form is its issuer's own affair
    required=("sub",),
    forbidden=(*marks.ID_TOKEN, *_OTHERS),
    words=("access", "access_token", *marks.WORDS_OF_ID, *marks.WORDS_OF_LOGOUT),
)
SIGN_IN = Purpose(
    name="ID token at sign-in",
    types=_UNTYPED,
    required=(*ID_TOKEN.required, "nonce"),
    forbidden=ID_TOKEN.forbidden,
    words=_NOT_ID_WORDS,
)
LOGOUT_TOKEN = Purpose(
    name="logout token",
    types=(*_UNTYPED, "logout+jwt"),  # OpenID Connect Back-Channel Logout §2.4 recommends the last
    required=("iss", "aud", "iat", "exp", "jti", "events"),
    forbidden=(*marks.NONCE, *_NEITHER),
    words=(*marks.WORDS_OF_ACCESS, *marks.WORDS_OF_ID, *marks.WORDS_OF_REFRESH),
    logout=True,
)
SECURITY_EVENT = Purpose(
    name="security event of Google's",
    types=(*_UNTYPED, "secevent+jwt"),  # RFC 8417 §2.3; Google writes none
    required=("iss", "aud", "iat", "jti", "events"),
    forbidden=(*marks.NONCE, *_NEITHER),
    words=(*marks.WORDS_OF_ACCESS, *marks.WORDS_OF_ID, *marks.WORDS_OF_REFRESH, *marks.WORDS_OF_LOGOUT),
    logout=False,
)
CLIENT_ASSERTION = Purpose(
    name="client assertion",
    types=(*_UNTYPED, "client-authentication+jwt"),  # draft-ietf-oauth-rfc7523bis §3 has the last
    required=("iss", "sub", "aud", "exp", "jti"),
    forbidden=_OTHERS,
    own_subject=True,  # RFC 7523 §3 item 2B
)
SUBJECT_ASSERTION = Purpose(
    name="subject assertion",
    types=("token-vault-req+jwt",),
    required=("iss", "aud", "exp", "jti"),
    forbidden=(*marks.EVENTS, *_NEITHER),
)
WORKER_ASSERTION = Purpose(
    name="subject assertion of a worker",
    types=SUBJECT_ASSERTION.types,
    required=("iss", "aud", "iat", "jti", "audit_context"),  # Auth0's, which needs no `exp`
    forbidden=SUBJECT_ASSERTION.forbidden,
)
PROOF = Purpose(
    name="DPoP proof",
    types=("dpop+jwt",),  # RFC 9449 §4.2
    required=("jti", "htm", "htu", "iat"),
    forbidden=(*marks.EVENTS, *marks.NAMED_SUBJECT, *marks.NO_TOKEN),
    own_subject=None,
)
OPERATORS_TOKEN = Purpose(
    name="operators' token",
    types=("at+jwt",),  # RFC 9068 §4
    required=("iss", "sub", "aud", "exp", "iat", "jti", "client_id"),
    forbidden=(*marks.ID_TOKEN, *_OTHERS),
)

PURPOSES = (
    ACCESS_TOKEN,
    ID_TOKEN,
    REFRESH_TOKEN,
    SIGN_IN,
    LOGOUT_TOKEN,
    SECURITY_EVENT,
    CLIENT_ASSERTION,
    SUBJECT_ASSERTION,
    WORKER_ASSERTION,
    PROOF,
    OPERATORS_TOKEN,
)
PRESENTED: Mapping[TokenKind, tuple[Purpose, ...]] = MappingProxyType(
    {
        "access_token": (ACCESS_TOKEN,),
        "id_token": (ID_TOKEN,),
        "jwt": (ACCESS_TOKEN, ID_TOKEN),
        "refresh_token": (REFRESH_TOKEN,),
    }
)
"""What a subject or actor token may be for each token type that a request names (RFC 8693 §3)."""


def check_type(typ: str, *purposes: Purpose) -> None:
    """The `typ` header must be that of one of these purposes. Raises `JwtRefused`."""
    if not any(typ in purpose.types for purpose in purposes):
        raise JwtRefused("wrong_type", f"its typ is that of no {' or '.join(purpose.name for purpose in purposes)}")


def check_claims(claims: Mapping[str, Any], purpose: Purpose) -> None:
    """What the purpose requires must be there, and nothing that it forbids. Raises `JwtRefused`."""
    for name in purpose.required:
        if name not in claims:
            raise JwtRefused("missing_claim", name)
    _check_logout(claims, purpose)
    check_forbidden(claims, purpose)


def check_forbidden(claims: Mapping[str, Any], purpose: Purpose) -> None:
    """Nothing that the purpose forbids may be there. Raises `JwtRefused`."""
    for mark in purpose.forbidden:
        if mark.is_in(claims):
            raise JwtRefused("wrong_claim", f"{mark} is for {mark.kind}, which is no {purpose.name}")
    for name in marks.SAYS:
        said = claims.get(name)
        if isinstance(said, str) and said.lower() in purpose.words:
            raise JwtRefused("wrong_claim", f"its claim {name} says {said.lower()}, which is no {purpose.name}")
    _check_own_subject(claims, purpose)


def _check_own_subject(claims: Mapping[str, Any], purpose: Purpose) -> None:
    # Who speaks of itself names no user; only a client that proves itself does so.
    if purpose.own_subject is None or "sub" not in claims or "iss" not in claims:
        return
    if (claims["sub"] == claims["iss"]) is not purpose.own_subject:
        raise JwtRefused("wrong_claim", f"sub {'differs from' if purpose.own_subject else 'is'} iss")


def _check_logout(claims: Mapping[str, Any], purpose: Purpose) -> None:
    if purpose.logout is None:
        return
    # OpenID Connect Back-Channel Logout §2.4: its value is an object.
    events = claims["events"] if isinstance(claims["events"], dict) else {}
    if purpose.logout and not isinstance(events.get(LOGOUT_EVENT), dict):
        raise JwtRefused("missing_claim", "the logout event")
    if LOGOUT_EVENT in events and not purpose.logout:
        raise JwtRefused("wrong_claim", "the logout event")
