"""Take a compact JWS apart, check it with a key of the issuer's, and only then call its claims verified.

The order is fixed: size, shape, header, key, signature, times. The key comes from the caller's `key_for`,
never from the token: `jwk`, `jku`, `x5u` and `x5c` headers (RFC 7515 §4.1.2-6) are not even read.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from vaultd.jose.refused import JwtRefused
from vaultd.sizes import LONGEST_TOKEN
from vaultd.terms import Secret

MAX_TOKEN_BYTES = LONGEST_TOKEN
MAX_LEEWAY = 60
_LAST_TIME = 253_402_300_799  # the end of the year 9999, beyond which Python has no date
_SEGMENTS = 3

KeyFor = Callable[[str | None, str], Awaitable[Key]]
"""Finds the issuer's key for a `kid` (or None) and an `alg`; raises `JwtRefused` when there is none."""


@dataclass(frozen=True, slots=True, repr=False)
class UnverifiedJwt:
    """A token taken apart and not yet believed. Without a `repr`, since it holds the whole token."""

    unverified_header: Mapping[str, Any]
    unverified_claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    @property
    def unverified_typ(self) -> str:
        """What the header says it is, in the form of `VerifiedJwt.typ`."""
        return _media_type(self.unverified_header)


@dataclass(frozen=True, slots=True)
class VerifiedJwt:
    """Header and claims whose signature and times were checked. `expires_at` is in seconds of the epoch."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    expires_at: float

    @property
    def typ(self) -> str:
        """The media type in its short lower-case form, or an empty string (RFC 7515 §4.1.9)."""
        return _media_type(self.header)


def parse_jwt(token: Secret) -> UnverifiedJwt:
    """Take a compact JWS apart. Raises `JwtRefused`: `too_large` or `malformed`."""
    text = token.reveal()
    if len(text) > MAX_TOKEN_BYTES:
        raise JwtRefused("too_large")
    try:
        segments = text.encode("ascii").split(b".")
    except UnicodeEncodeError:
        raise JwtRefused("malformed", "not ASCII") from None
    if len(segments) != _SEGMENTS:
        # RFC 7515 §7.1; five would be an encrypted token (RFC 7516 §7.1), which nobody here has a key for.
        raise JwtRefused("malformed", f"{len(segments)} segments")
    header, claims, signature = segments
    return UnverifiedJwt(
        unverified_header=read_json_object(_decode(header)),
        unverified_claims=read_json_object(_decode(claims)),
        signing_input=header + b"." + claims,
        signature=_decode(signature),
    )


async def verify_jwt(
    token: Secret, *, key_for: KeyFor, algorithms: Collection[str], now: datetime, leeway: int = 30
) -> VerifiedJwt:
    """Parse and verify. `leeway` is in seconds, at most 60. Raises `JwtRefused`, or what `key_for` raises."""
    return await verify_parsed(parse_jwt(token), key_for=key_for, algorithms=algorithms, now=now, leeway=leeway)


async def verify_parsed(
    unverified: UnverifiedJwt,
    *,
    key_for: KeyFor,
    algorithms: Collection[str],
    now: datetime,
    leeway: int = 30,
    oldest: float | None = None,
) -> VerifiedJwt:
    """`verify_jwt` for a token that the caller has parsed already, to learn whose it claims to be.

    With `oldest` its age counts, as `check_age` has it.
    """
    kid, alg = check_header(unverified.unverified_header, algorithms)
    check_signature(unverified, alg, await key_for(kid, alg))
    claims = unverified.unverified_claims
    if oldest is None:
        expires_at = check_times(claims, now=now, leeway=leeway)
    else:
        expires_at = check_age(claims, oldest=oldest, now=now, leeway=leeway)
    return VerifiedJwt(unverified.unverified_header, unverified.unverified_claims, expires_at)


def check_header(unverified_header: Mapping[str, Any], algorithms: Collection[str]) -> tuple[str | None, str]:
    """Return `kid` and an allowed `alg`. Raises `JwtRefused`."""
    alg = unverified_header.get("alg")
    if not isinstance(alg, str) or alg not in algorithms or alg not in JWSRegistry.algorithms or alg == "none":
        raise JwtRefused("bad_algorithm")  # RFC 8725 §3.1
    if "crit" in unverified_header:
        raise JwtRefused("critical_header")  # RFC 7515 §4.1.11: no extension is understood here
    kid = unverified_header.get("kid")
    if not isinstance(kid, str | None) or not isinstance(unverified_header.get("typ", ""), str):
        raise JwtRefused("malformed", "kid or typ is not a string")
    return kid, alg


def check_signature(unverified: UnverifiedJwt, alg: str, key: Key) -> None:
    """Check the signature under an algorithm that the caller has allowed. Raises `JwtRefused`."""
    # Not through joserfc's `get_alg`: it warns about EdDSA's name (RFC 9864), which most issuers still use.
    algorithm = JWSRegistry.algorithms[alg]
    try:
        algorithm.check_key(key)
        genuine = algorithm.verify(unverified.signing_input, unverified.signature, key)
    except (JoseError, ValueError):
        genuine = False
    if not genuine:
        raise JwtRefused("bad_signature")


def check_times(claims: Mapping[str, Any], *, now: datetime, leeway: int) -> float:
    """Check `exp` (required), `nbf` and `iat`; return `exp`. Raises `JwtRefused`."""
    if "exp" not in claims:
        raise JwtRefused("missing_claim", "exp")
    check_given_times(claims, now=now, leeway=leeway)
    return float(claims["exp"])


def check_age(claims: Mapping[str, Any], *, oldest: float, now: datetime, leeway: int) -> float:
    """Check `iat` (required), `exp` and `nbf`; return when it ends: `oldest` seconds after `iat`, or before at `exp`.

    The leeway is for the times that the signer wrote, and not for the age. Raises `JwtRefused`.
    """
    expires_at = check_given_times(claims, now=now, leeway=leeway)
    issued_at = read_time(claims, "iat")
    if issued_at is None:
        raise JwtRefused("missing_claim", "iat")
    if now.timestamp() > issued_at + oldest:
        raise JwtRefused("expired", f"older than {oldest:.0f} s")
    return issued_at + oldest if expires_at is None else min(expires_at, issued_at + oldest)


def check_given_times(claims: Mapping[str, Any], *, now: datetime, leeway: int) -> float | None:
    """Check `exp`, `nbf` and `iat` as far as they are there; return `exp`. Raises `JwtRefused`."""
    if not 0 <= leeway <= MAX_LEEWAY:
        raise ValueError("leeway is between 0 and 60 seconds")
    moment = now.timestamp()
    expires_at = read_time(claims, "exp")
    if expires_at is not None and moment >= expires_at + leeway:
        raise JwtRefused("expired")  # RFC 7519 §4.1.4
    for name in ("nbf", "iat"):
        begins = read_time(claims, name)
        if begins is not None and begins > moment + leeway:
            raise JwtRefused("not_yet_valid", name)  # RFC 7519 §4.1.5
    return expires_at


def read_audience(claims: Mapping[str, Any]) -> frozenset[str]:
    """`aud` as a set, whether it came as one string or as a list (RFC 7519 §4.1.3). Raises `JwtRefused`."""
    if "aud" not in claims:
        raise JwtRefused("missing_claim", "aud")
    value = claims["aud"]
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise JwtRefused("malformed", "aud")
    return frozenset(names)


def read_time(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2), or None when absent. Raises `JwtRefused`."""
    if name not in claims:
        return None
    value = claims[name]
    # A JSON true is no number, and nor is a string.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LAST_TIME <= value <= _LAST_TIME:
        raise JwtRefused("malformed", name)
    return float(value)


def read_json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object that no two readers could read differently, and that is text throughout. Raises `JwtRefused`."""
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite_float
        )
        if "\\" in text:
            # An escaped lone surrogate is legal JSON and no legal text; it must not get as far as the database.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise JwtRefused("malformed", "JSON") from None
    if not isinstance(value, dict):
        raise JwtRefused("malformed", "not a JSON object")
    return value


def _media_type(header: Mapping[str, Any]) -> str:
    return str(header.get("typ", "")).lower().removeprefix("application/")


def _decode(segment: bytes) -> bytes:
    try:
        # Strict: no padding, no foreign letters, no spare bits, so that a token has one spelling only.
        return urlsafe_b64decode(segment)
    except binascii.Error:
        raise JwtRefused("malformed", "base64url") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")  # RFC 7519 §4 lets us refuse; two readers could see two tokens
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("out of range")
    return value
