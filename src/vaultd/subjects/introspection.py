"""Verifies the tokens of one issuer by asking it (RFC 7662)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

from vaultd.errors import TemporarilyUnavailable
from vaultd.flights import Flights
from vaultd.jose import JwtRefused, check_given_times
from vaultd.jose.purposes import ID_TOKEN, PRESENTED, Purpose, TokenKind, check_forbidden, check_type
from vaultd.subjects import rules
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.endpoint import IntrospectionEndpoint
from vaultd.subjects.strangers import Stranger, Strangers
from vaultd.subjects.tokens import PresentedToken, VerifiedSubject
from vaultd.terms import Clock, Subject

_HINTS: Mapping[TokenKind, str | None] = MappingProxyType(
    {"access_token": "access_token", "refresh_token": "refresh_token", "jwt": None}
)
"""What is asked about, and the `token_type_hint` for it (RFC 7662 §2.1). An ID token is none of these."""
MOST_WAITING = 128
"""Strangers who wait for one issuer in one lane, whether for calls of their own or for the same one."""


class IntrospectionVerifier:
    """One issuer that is asked about each token. `leeway` is in seconds, at most 60.

    The same token asked about by many at a time is one call, for clients and for strangers each. Whoever joins a call
    that is under way gets an answer up to that call's own time old; it is never used again.
    """

    version = 0
    """Of the issuer's keys, of which none are used."""

    def __init__(
        self,
        *,
        name: str,
        config: IssuerConfig,
        endpoint: IntrospectionEndpoint,
        strangers: Strangers,
        remembered_for: timedelta,
        clock: Clock,
        leeway: int,
    ) -> None:
        self.name = name
        self.remembered_for = remembered_for
        self._config = config
        self._endpoint = endpoint
        self._strangers = strangers
        self._calls: Flights[tuple[bytes, str, str], Mapping[str, Any]] = Flights()
        self._waiting: Counter[str] = Counter()
        self._clock = clock
        self._leeway = leeway

    async def verify(self, presented: PresentedToken) -> VerifiedSubject:
        """Verify a token of this issuer.

        Raises:
            JwtRefused: it is not to be believed.
            SlowDown: strangers have had the issuer asked too often.
            TemporarilyUnavailable: there is no answer, or too many wait for one.
        """
        kind = presented.kind
        if kind not in _HINTS:
            raise JwtRefused("wrong_type", "ID tokens are not introspected")
        purpose = _purpose(kind)
        if presented.unverified is not None:
            # Not believed, but what it says against itself is reason enough to ask nobody.
            check_type(presented.unverified.unverified_typ, purpose)
            check_forbidden(presented.unverified.unverified_claims, purpose)
        elif kind == "jwt":
            raise JwtRefused("malformed", "not a JWT")
        if presented.stranger is None:
            ask = partial(self._endpoint.ask, presented.token, _HINTS[kind])
            answer = await self._calls.join((presented.digest, kind, ""), ask)
        else:
            answer = await self._ask_for(presented.stranger, presented)
        if answer["active"] is not True:
            raise JwtRefused("inactive")
        return self._read(answer, kind)

    async def aclose(self) -> None:
        """End the calls under way."""
        await self._calls.aclose()
        await self._endpoint.aclose()

    async def _ask_for(self, stranger: Stranger, presented: PresentedToken) -> Mapping[str, Any]:
        token = (presented.digest, presented.kind)
        if self._strangers.was_inactive(token):
            raise JwtRefused("inactive", "as it was a moment ago")
        lane = self._strangers.lane(token)

        async def ask() -> Mapping[str, Any]:
            try:
                answer = await self._endpoint.ask(presented.token, _HINTS[presented.kind], lane=lane)
            except TemporarilyUnavailable:
                self._strangers.failed(stranger, lane)
                raise
            self._strangers.answered(stranger, lane, token, active=answer["active"] is True)
            return answer

        with self._one_more(lane):
            # One call, and counted once, for all who present the token while it is under way.
            if not self._calls.under_way((*token, lane)):
                self._strangers.take(stranger, lane)
            return await self._calls.join((*token, lane), ask)

    @contextmanager
    def _one_more(self, lane: str) -> Iterator[None]:
        if self._waiting[lane] >= MOST_WAITING:
            raise TemporarilyUnavailable(
                retry_after=1, reason="busy", detail=f"too many wait for [issuers.{self.name}]"
            )
        self._waiting[lane] += 1
        try:
            yield
        finally:
            self._waiting[lane] -= 1

    def _read(self, answer: Mapping[str, Any], kind: TokenKind) -> VerifiedSubject:
        config = self._config
        # The issuer was chosen by what the token says, or by configuration; its answer must not be about another's.
        if answer.get("iss", config.issuer) != config.issuer:
            raise JwtRefused("wrong_issuer")
        expires_at = check_given_times(answer, now=self._clock(), leeway=self._leeway)
        audience = rules.check_introspected_audience(answer, kind, config)
        rules.check_introspected_type(answer, kind, audience)
        rules.check_required_claims(answer, config.required_claims)
        # What else the purpose requires an answer may leave out (RFC 7662 §2.2).
        check_forbidden(answer, _purpose(kind))
        return VerifiedSubject(
            subject=Subject(config.issuer, rules.read_sub(answer)),
            issuer_name=self.name,
            presenter=rules.read_introspected_presenter(answer, kind, config.client_claim),
            scopes=rules.read_scopes(answer, audience),
            may_act=rules.read_party(answer, "may_act"),
            act=rules.read_party(answer, "act"),
            account_scopes=config.account_scopes,
            trusted_clients=config.trusted_clients,
            only_trusted=audience.only_trusted,
            jkt=rules.read_key_binding(answer, config),
            expires_at=None if expires_at is None else datetime.fromtimestamp(expires_at, UTC),
        )


def _purpose(kind: TokenKind) -> Purpose:
    # A JWT that is no ID token is an access token.
    return next(purpose for purpose in PRESENTED[kind] if purpose is not ID_TOKEN)
