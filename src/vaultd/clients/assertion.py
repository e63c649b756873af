"""`private_key_jwt`: a client proves itself by a JWT that it has signed for this one request (RFC 7523 §2.2, §3)."""

from __future__ import annotations

from datetime import timedelta

from vaultd.clients.signed import Kind, SignedByClients
from vaultd.errors import InvalidClient
from vaultd.jose import JwtRefused, UnverifiedJwt, VerifiedJwt
from vaultd.terms import ClientId

LONGEST = timedelta(minutes=10)
KEYS_AWAY = "client_keys_unreachable"
"""The reason in the log and the event; the answer is that of any other refusal (A8)."""
# Most clients type nothing, or JWT; the third is what draft-ietf-oauth-rfc7523bis §3 has them write.
TYPES = frozenset({"", "jwt", "client-authentication+jwt"})


class ClientAssertions:
    """Believes client assertions whose audience is this vault: its issuer identifier or its token endpoint."""

    def __init__(self, *, public_url: str, signed: SignedByClients) -> None:
        endpoint = f"{public_url}/oauth/token"
        self._signed = signed
        self._kind = Kind(
            name="client_assertion",
            types=TYPES,
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
            _check_sub(jwt, client_id)
            await self._signed.use_up(jwt, client_id=ClientId(client_id), kind=self._kind)
        except JwtRefused as refused:
            reason = KEYS_AWAY if refused.reason == "issuer_unreachable" else refused.reason
            raise InvalidClient(reason=reason, detail=refused.detail) from None


def _check_sub(jwt: VerifiedJwt, client_id: str) -> None:
    # RFC 7523 §3 item 2B
    if "sub" not in jwt.claims:
        raise JwtRefused("missing_claim", "sub")
    if jwt.claims["sub"] != client_id:
        raise JwtRefused("wrong_claim", "sub")
