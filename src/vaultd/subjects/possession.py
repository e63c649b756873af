"""A token that is bound to a key is believed only together with a proof that its sender holds that key (RFC 9449)."""

from __future__ import annotations

from dataclasses import dataclass

from vaultd.errors import Replayed, SubjectTokenRefused
from vaultd.jose import JwtRefused
from vaultd.jose.dpop import VerifiedProof, check_key, check_token_hash, verify_proof
from vaultd.replay import ReplayMemory
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.terms import Clock, Secret

PURPOSE = "dpop"


@dataclass(slots=True)
class PresentedProofs:
    """The `DPoP` headers of one request, and the method and URL that a proof must be made for.

    `url` has the scheme and host that the public knows, whatever a proxy makes of them. `verified` is the proof once
    it is used up: it then serves every token of this request that is bound to its key.
    """

    headers: tuple[Secret, ...]
    method: str
    url: str
    verified: VerifiedProof | None = None


class Possession:
    """Checks proofs, and lets each be used once, by all replicas together.

    A proof beside a token that is bound to no key is not looked at: it would prove nothing about that token, and
    clients that use DPoP send one with every request. An issuer with `dpop = "required"` has no such tokens.
    """

    def __init__(self, *, replay: ReplayMemory, clock: Clock) -> None:
        self._replay = replay
        self._clock = clock

    async def check(
        self, verified: VerifiedSubject, token: Secret, presented: PresentedProofs, *, ath_required: bool = False
    ) -> None:
        """Believe a verified token to be its holder's.

        Raises:
            SubjectTokenRefused: `reason` is one of `dpop_*`.
            TemporarilyUnavailable: what was used before cannot be known.
        """
        if verified.jkt is None:
            return
        try:
            if presented.verified is not None:
                check_key(presented.verified, verified.jkt)
            else:
                presented.verified = await self._used_up(verified.jkt, token, presented, ath_required=ath_required)
        except JwtRefused as refused:
            raise SubjectTokenRefused(reason=refused.reason, detail=refused.detail) from None

    async def _used_up(
        self, jkt: str, token: Secret, presented: PresentedProofs, *, ath_required: bool
    ) -> VerifiedProof:
        if not presented.headers:
            raise JwtRefused("dpop_missing")
        if len(presented.headers) > 1:
            raise JwtRefused("dpop_malformed", "several DPoP headers")  # RFC 9449 §4.3, item 1
        proof = verify_proof(
            presented.headers[0], method=presented.method, url=presented.url, now=self._clock(), bound_to=jkt
        )
        check_token_hash(proof, token, required=ath_required)
        try:
            # Last, and under the key: nobody uses up a proof with less than that proof itself.
            await self._replay.use(PURPOSE, proof.jkt, proof.jti, until=proof.good_until)
        except Replayed:
            raise JwtRefused("dpop_replayed") from None
        return proof
