"""Google's Cross-Account Protection: security event tokens (RFC 8417) of RISC, pushed (RFC 8935).

https://developers.google.com/identity/protocols/risc
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from vaultd.errors import NoticeRefused
from vaultd.jose import JwtRefused, KeyFor, parse_jwt
from vaultd.jose.purposes import SECURITY_EVENT, check_claims, check_type
from vaultd.jose.verify import check_header, check_signature, read_audience, read_time
from vaultd.notices.notice import Notice
from vaultd.terms import Secret

ALGORITHMS = ("RS256",)
_RISC = "https://schemas.openid.net/secevent/risc/event-type/"
_OAUTH = "https://schemas.openid.net/secevent/oauth/event-type/"
SUSPENDING = f"{_RISC}account-disabled"
"""The account may be enabled again, and no page says that what it granted has ended."""
ENDING = frozenset({f"{_OAUTH}tokens-revoked", f"{_OAUTH}token-revoked", f"{_RISC}account-purged"})
"""Events after which what was granted is no longer good. Others are believed and mean nothing here."""
_LEEWAY = 60
_MOST_EVENTS = 20


async def read_google_risc(
    body: bytes, *, key_for: KeyFor, issuer: str, client_ids: Collection[str], now: datetime
) -> Notice:
    """Raises `NoticeRefused`, or `TemporarilyUnavailable` when the keys cannot be had."""
    try:
        claims = await _verified(body, key_for, issuer, client_ids, now)
        events = claims.get("events")
        jti, said = claims.get("jti"), read_time(claims, "iat")
    except JwtRefused as error:
        raise NoticeRefused(reason=error.reason, detail=error.detail) from None
    if not isinstance(events, dict) or not events or not isinstance(jti, str) or said is None:
        raise NoticeRefused(reason="missing_claim")  # RFC 8417 §2.2
    if len(events) > _MOST_EVENTS:
        raise NoticeRefused(reason="malformed")
    subjects = [_subject(payload) for kind, payload in events.items() if kind in ENDING or kind == SUSPENDING]
    named = [_named(subject, issuer) for subject in subjects]
    return Notice(
        accounts=tuple(account for account, _ in named if account is not None),
        tokens=tuple(token for _, token in named if token is not None),
        once=jti,
        at=datetime.fromtimestamp(said, UTC),
        ended=SUSPENDING not in events,
    )


async def _verified(
    body: bytes, key_for: KeyFor, issuer: str, client_ids: Collection[str], now: datetime
) -> Mapping[str, Any]:
    try:
        unverified = parse_jwt(Secret(body.decode("ascii").strip()))
    except UnicodeDecodeError:
        raise JwtRefused("malformed", "not ASCII") from None
    kid, alg = check_header(unverified.unverified_header, ALGORITHMS)
    check_signature(unverified, alg, await key_for(kid, alg))
    check_type(unverified.unverified_typ, SECURITY_EVENT)
    claims = unverified.unverified_claims
    if not _same_issuer(claims.get("iss"), issuer):
        raise JwtRefused("wrong_issuer")
    if not read_audience(claims) & frozenset(client_ids):
        raise JwtRefused("wrong_audience")
    # What is told is past, and does not expire: Google says to leave `exp` alone, and RFC 8417 §2.2 to send none.
    said = read_time(claims, "iat")
    if said is not None and said > now.timestamp() + _LEEWAY:
        raise JwtRefused("not_yet_valid", "iat")
    # An ID token, signed with the same keys, has no events; a logout token has another one.
    check_claims(claims, SECURITY_EVENT)
    return claims


def _same_issuer(unverified: object, issuer: str) -> bool:
    """Google writes its name with a slash in these tokens and without one elsewhere."""
    return isinstance(unverified, str) and unverified.rstrip("/") == issuer.rstrip("/")


def _subject(payload: object) -> Mapping[str, Any]:
    subject = payload.get("subject") if isinstance(payload, dict) else None
    if not isinstance(subject, dict):
        raise NoticeRefused(reason="malformed")
    return subject


def _named(subject: Mapping[str, Any], issuer: str) -> tuple[str | None, str | None]:
    """The account and the token that a subject names; a token of another kind than ours is nothing to us."""
    if subject.get("subject_type") == "oauth_token":
        if subject.get("token_type") != "refresh_token":
            return None, None
        return None, f"{subject.get('token_identifier_alg')}:{subject.get('token')}"
    sub = subject.get("sub")
    if not isinstance(sub, str) or not _same_issuer(subject.get("iss"), issuer):
        return None, None
    return sub, None
