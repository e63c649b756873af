"""The recipe: every answer, good or bad, has its event committed before it is given."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote, urlencode

from vaultd.audit.events import Decision, EventType
from vaultd.clients.refused import RefusedClients
from vaultd.connections.narrowed import AccessToken
from vaultd.connections.uses import Uses
from vaultd.errors import CannotOpen, InteractionRequired, RequestRefused, SlowDown, SubjectErased, VaultdError
from vaultd.exchange.admission import Admission
from vaultd.exchange.ready import release_ready
from vaultd.exchange.request import Attempt, ExchangeAnswer, ExchangeRequest
from vaultd.refresh import Narrower, Refresher, Renewer, Scoper
from vaultd.release.decide import Allowed, Ask, Refused
from vaultd.release.queue import Counter
from vaultd.sizes import LONGEST_LINK_SCOPE
from vaultd.terms import Clock, Scopes


class Exchange:
    """The use case."""

    def __init__(
        self,
        *,
        public_url: str,
        admission: Admission,
        counter: Counter,
        refresher: Refresher,
        narrower: Narrower,
        scoper: Scoper,
        renewer: Renewer,
        uses: Uses,
        refused: RefusedClients,
        clock: Clock,
    ) -> None:
        self._public_url = public_url
        self._admission = admission
        self._counter = counter
        self._refresher = refresher
        self._narrower = narrower
        self._scoper = scoper
        self._renewer = renewer
        self._uses = uses
        self._refused = refused
        self._clock = clock

    async def __call__(self, request: ExchangeRequest) -> ExchangeAnswer:
        """Exchange a token.

        Raises:
            RequestRefused: one of its kinds, for every reason not to; the event is committed already.
        """
        attempt = Attempt(request)
        # 1.-4. who asks, for whom, where, and may they
        ask = await self._admitted(attempt, self._admission.admit(attempt))
        try:
            verdict = await self._release(ask)
        except SubjectErased:
            # E6: offboarded since we looked. Nothing was written under the erased key, nor will be.
            ask = await self._admitted(attempt, self._admission.admit_again(attempt, ask))
            verdict = await self._release(ask)
        if isinstance(verdict, Refused):
            raise self._with_uri(verdict.error, attempt)
        # 7. the token was opened at the counter  8. answer
        return self._answer(verdict, attempt)

    async def _admitted(self, attempt: Attempt, admission: Coroutine[None, None, Ask]) -> Ask:
        try:
            return await admission
        except (RequestRefused, CannotOpen) as refusal:
            await self._record(attempt, refusal)
            self._with_uri(refusal, attempt)
            raise

    async def _release(self, ask: Ask) -> Allowed | Refused:
        # 5. release: look at the connection, decide, record
        verdict = await self._counter.release(ask)
        # 6. refresh what is stale, narrow what is too wide, then release again
        return await release_ready(
            ask,
            verdict,
            counter=self._counter,
            refresher=self._refresher,
            narrower=self._narrower,
            scoper=self._scoper,
            renewer=self._renewer,
        )

    def _answer(self, verdict: Allowed, attempt: Attempt) -> ExchangeAnswer:
        row = verdict.row
        now = self._clock()
        self._uses.note(row, now)
        assumed = attempt.provider.config.assumed_ttl if attempt.provider else 0
        leaves = verdict.narrowed or AccessToken(verdict.delivery.access_token, row.granted_scopes, row.expires_at)
        return ExchangeAnswer(
            access_token=leaves.token,
            issued_token_type=attempt.request.requested_token_type,
            expires_in=seconds_left(leaves.expires_at, now, assumed),
            scope=leaves.scopes,
            connection=row.provider,
            account=verdict.delivery.account_label,
            connection_metadata=verdict.delivery.metadata,
        )

    def _with_uri(self, error: VaultdError, attempt: Attempt) -> VaultdError:
        if isinstance(error, InteractionRequired) and attempt.client is not None:
            query = {"client_id": str(attempt.client.id)}
            scopes = _to_consent(error, attempt)
            if scopes:
                query["scope"] = str(scopes)
            error.connect_uri = f"{self._public_url}/auth/connect/{quote(error.connection)}?{urlencode(query)}"
        return error

    async def _record(self, attempt: Attempt, refusal: RequestRefused | CannotOpen) -> None:
        draft = replace(attempt.draft(), type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason=refusal.reason)
        if attempt.client is not None and not isinstance(refusal, SlowDown):
            try:
                await self._counter.record(draft)
            except SubjectErased:
                await self._admission.look_again(attempt)
                known = attempt.subject
                await self._counter.record(replace(draft, subject=known.key if known else None))
            return
        unverified = attempt.request.credentials if attempt.client is None else None
        await self._refused.count(draft, refusal, unverified=unverified, ip=attempt.request.ip)


def _to_consent(error: InteractionRequired, attempt: Attempt) -> Scopes | None:
    """The scopes for the link: those requested, and beside them what the consent will ask for as well."""
    requested, client, provider = attempt.request.scope, attempt.client, attempt.provider
    if not requested or client is None or provider is None:
        return requested
    rules, listed = provider.config.scope_rules, client.config.providers[provider.name].scopes
    before = rules.common(error.granted, listed) if provider.config.consent_replaces else Scopes()
    both = Scopes({*requested, *rules.again(requested, before), *rules.outside(rules.own, requested)})
    # A longer one the door would not take; it asks for the rest by itself.
    return both if len(str(both)) <= LONGEST_LINK_SCOPE else requested


def seconds_left(expires_at: datetime | None, now: datetime, assumed: int) -> int:
    """Whole seconds until the token ends; where the provider names no end, what the catalogue assumes."""
    if expires_at is None:
        return assumed
    return max(int((expires_at - now).total_seconds()), 0)
