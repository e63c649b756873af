"""What a logout token must say before sessions are ended by it (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vaultd.jose import JwtRefused, KeyFor, read_audience, verify_jwt
from vaultd.jose.purposes import LOGOUT_EVENT, LOGOUT_TOKEN, check_claims, check_type
from vaultd.jose.verify import read_time
from vaultd.terms import Secret

EVENT = LOGOUT_EVENT
RECENT = timedelta(minutes=10)
"""How old one may be, and how long its `jti` is remembered: §2.4 asks issuers for two minutes."""
_LEEWAY = 60


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """Whose sessions end: those of `sid`, or all of `sub`'s where there is none. One of the two is there."""

    sub: str | None
    sid: str | None
    jti: str
    remember_until: datetime


async def verify_logout_token(
    unverified_token: Secret,
    *,
    key_for: KeyFor,
    algorithms: Collection[str],
    issuer: str,
    client_id: str,
    now: datetime,
) -> LoggedOut:
    """Believe a logout token, except that it may have come before. Raises `JwtRefused`, or what `key_for` raises."""
    jwt = await verify_jwt(unverified_token, key_for=key_for, algorithms=algorithms, now=now, leeway=_LEEWAY)
    check_type(jwt.typ, LOGOUT_TOKEN)
    claims = jwt.claims
    if claims.get("iss") != issuer:
        raise JwtRefused("wrong_issuer")
    if client_id not in read_audience(claims):
        raise JwtRefused("wrong_audience")
    issued_at = _recent(claims, now)
    # §2.4: with the event, and without a nonce, neither this nor an ID token could pass for the other.
    check_claims(claims, LOGOUT_TOKEN)
    sub, sid, jti = (_text(claims, name) for name in ("sub", "sid", "jti"))
    if jti is None:
        raise JwtRefused("missing_claim", "jti")
    if sub is None and sid is None:
        raise JwtRefused("missing_claim", "sub and sid")
    return LoggedOut(sub, sid, jti, issued_at + RECENT + timedelta(seconds=_LEEWAY))


def _recent(claims: Mapping[str, Any], now: datetime) -> datetime:
    issued_at = read_time(claims, "iat")
    if issued_at is None:
        raise JwtRefused("missing_claim", "iat")
    if now.timestamp() - issued_at > RECENT.total_seconds() + _LEEWAY:
        raise JwtRefused("expired", "iat")
    return datetime.fromtimestamp(issued_at, UTC)


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise JwtRefused("malformed", name)
    return value
