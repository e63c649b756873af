"""`private_key_jwt`: a client proves itself by a JWT that it has signed for this one request (RFC 7523 §2.2, §3)."""

from __future__ import annotations

from datetime import timedelta

from vaultd.clients.signed import Kind, SignedByClients
from vaultd.errors import InvalidClient
from vaultd.jose import JwtRefused, UnverifiedJwt
from vaultd.jose.purposes import CLIENT_ASSERTION
from vaultd.terms import ClientId

LONGEST = timedelta(minutes=10)
KEYS_AWAY = "client_keys_unreachable"
"""The reason in the log and the event; the answer is that of any other refusal (A8)."""


class ClientAssertions:
    """Believes client assertions whose audience is this vault: its issuer identifier or its token endpoint."""

    def __init__(self, *, public_url: str, signed: SignedByClients) -> None:
        endpoint = f"{public_url}/oauth/token"
        self._signed = signed
        self._kind = Kind(
            name="client_assertion",
            purpose=CLIENT_ASSERTION,
            audiences=frozenset({public_url, f"{public_url}/", endpoint, f"{endpoint}/"}),
            longest=LONGEST,
        )

    async def verify(self, unverified: UnverifiedJwt, *, client_id: str) -> None:
        """Verify the assertion of the client that it is presented for, and use it up.

        Raises:
            InvalidClient: `reason` is one of `jose.REASONS`, or `client_keys_unreachable`.
            TemporarilyUnavailable: the replay memory cannot be asked.
        """
        try:
            jwt = await self._signed.verify(unverified, client_id=client_id, kind=self._kind)
            await self._signed.use_up(jwt, client_id=ClientId(client_id), kind=self._kind)
        except JwtRefused as refused:
            reason = KEYS_AWAY if refused.reason == "issuer_unreachable" else refused.reason
            raise InvalidClient(reason=reason, detail=refused.detail) from None
