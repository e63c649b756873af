"""The users of a run: their session tokens, signed as an issuer does, and their connections, stored as consent does."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Iterator
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections.grants import Brought, GrantStore
from vaultd.connections.lookups import NoticeLookups
from vaultd.db import Database
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import make_keys_once, open_keyring
from vaultd.keys.local import LocalBackend
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Scopes, Secret, Subject, system_clock

ISSUER = "https://login.example.com"
APP = "web-app"
"""The client that session tokens are issued to."""
LIFE = timedelta(hours=12)
"""Of session tokens and of stored tokens: longer than any run, so that none is refreshed or refused in it."""
_AT_ONCE = 4


class Issuer:
    """An issuer's key. It signs with the bare primitive, since one run may need a hundred thousand tokens."""

    def __init__(self, *, audience: str) -> None:
        self._audience = audience
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._header = _segment(json.dumps({"alg": "ES256", "kid": "bench", "typ": "at+jwt"}).encode())

    def jwks(self) -> str:
        """Its public key as a JWK Set."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_segment(number.to_bytes(32, "big")).decode() for number in (numbers.x, numbers.y))
        jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "bench", "alg": "ES256", "use": "sig"}
        return json.dumps({"keys": [jwk]})

    def token(self, sub: str) -> str:
        """A session token (RFC 9068) that no one has seen yet."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": sub,
            "aud": self._audience,
            "azp": APP,
            "client_id": APP,
            "iat": now,
            "exp": now + int(LIFE.total_seconds()),
            "jti": secrets.token_urlsafe(16),
            "scope": "openid profile",
        }
        signing_input = self._header + b"." + _segment(json.dumps(claims, separators=(",", ":")).encode())
        r, s = decode_dss_signature(self._key.sign(signing_input, ec.ECDSA(SHA256())))
        # RFC 7518 §3.4: both numbers, 32 bytes each.
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return (signing_input + b"." + _segment(signature)).decode()


def names(users: int) -> Iterator[str]:
    """The users' `sub`."""
    return (f"user-{number:06d}" for number in range(users))


async def settle(database_url: Secret, backend: LocalBackend, *, users: int, provider: str, scopes: str) -> None:
    """Store a subject and a connected, fresh account for each user, by the code that consent uses."""
    database = Database(database_url)
    try:
        async with database.transaction() as connection:
            await make_keys_once(connection, backend, now=system_clock())
            keyring = await open_keyring(connection, backend)
        data_keys = DataKeys(keyring)
        log = AuditLog(database=database, keyring=keyring, clock=system_clock, lanes=_AT_ONCE)
        subjects = SubjectStore(database=database, keyring=keyring, data_keys=data_keys, clock=system_clock)
        grants = GrantStore(
            keyring=keyring,
            data_keys=data_keys,
            lookups=NoticeLookups(keyring=keyring, token_names={}),
            clock=system_clock,
            wake_revoker=lambda: None,
        )
        waiting = names(users)

        async def connect() -> None:
            for sub in waiting:
                known = await subjects.ensure(Subject(ISSUER, sub))
                async with log.transaction() as transaction:
                    await grants.store(
                        transaction,
                        subject_id=known.id,
                        subject=known.key,
                        provider=provider,
                        single=True,
                        brought=_brought(sub, scopes),
                        draft=Draft(type=EventType.CONNECTION_CONNECTED, client_id=APP),
                    )

        await asyncio.gather(*(connect() for _ in range(_AT_ONCE)))
        await log.close()
    finally:
        await database.aclose()


def _brought(sub: str, scopes: str) -> Brought:
    return Brought(
        access_token=Secret(secrets.token_urlsafe(32)),
        refresh_token=Secret(secrets.token_urlsafe(32)),
        expires_at=system_clock() + LIFE,
        scopes=Scopes.parse(scopes),
        account_id=f"account of {sub}",
        account_label=f"{sub}@example.com",
        metadata={},
    )


def _segment(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")
