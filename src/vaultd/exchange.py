"""Token exchange (RFC 8693): the recipe from a user's session token to a provider's access token."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.audit.refusals import Refusals
from vaultd.clients.credentials import PresentedCredentials
from vaultd.clients.registry import Client, Clients
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.connections.uses import Uses
from vaultd.errors import InteractionRequired, InvalidRequest, InvalidTarget, RequestRefused, SlowDown, VaultdError
from vaultd.keys.data_keys import DataKeys
from vaultd.limits import Buckets, Rate, address_prefix
from vaultd.policy import allowed_scopes, check_may_act, check_presenter
from vaultd.providers.registry import Provider, Providers
from vaultd.refresh import Refresher
from vaultd.release.decide import Allowed, Ask, Refused, Stale, Verdict
from vaultd.release.queue import Counter
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.subjects.verify import SubjectVerifier, VerifiedSubject
from vaultd.terms import ClientId, Clock, Scopes, Secret

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """The parameters of RFC 8693 §2.1, parsed and not yet believed."""

    credentials: PresentedCredentials | None
    subject_token: Secret
    subject_token_type: str
    requested_token_type: str = ACCESS_TOKEN
    audience: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()
    scope: Scopes | None = None
    actor_token: Secret | None = None
    actor_token_type: str | None = None
    login_hint: str | None = None
    ip: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeAnswer:
    """What leaves the vault. `expires_in` is in whole seconds."""

    access_token: Secret
    issued_token_type: str
    expires_in: int
    scope: Scopes
    connection: str
    account: str
    connection_metadata: dict[str, Any]


@dataclass(slots=True)
class _Attempt:
    """What is known of a request so far, for the event if it is refused now."""

    request: ExchangeRequest
    client: Client | None = None
    provider: Provider | None = None
    subject: KnownSubject | None = None
    actor: dict[str, Any] | None = field(default=None)

    def draft(self) -> Draft:
        return Draft(
            type=EventType.TOKEN_EXCHANGED,
            client_id=self.client.id if self.client else None,
            connection=self.provider.name if self.provider else None,
            requested_scopes=self.request.scope,
            subject_presence="present" if self.subject else None,
            request_id=self.request.request_id,
            subject=self.subject.key if self.subject else None,
            actor=self.actor,
            ip=self.request.ip,
        )


class Exchange:
    """The use case. Every answer, good or bad, has its event committed before it is given."""

    def __init__(
        self,
        *,
        public_url: str,
        clients: Clients,
        verifier: SubjectVerifier,
        subjects: SubjectStore,
        providers: Providers,
        counter: Counter,
        refresher: Refresher,
        data_keys: DataKeys,
        uses: Uses,
        log: AuditLog,
        refusals: Refusals,
        limits: Buckets,
        clock: Clock,
    ) -> None:
        self._public_url = public_url
        self._clients = clients
        self._verifier = verifier
        self._subjects = subjects
        self._providers = providers
        self._counter = counter
        self._refresher = refresher
        self._data_keys = data_keys
        self._uses = uses
        self._log = log
        self._refusals = refusals
        self._limits = limits
        self._clock = clock

    async def __call__(self, request: ExchangeRequest) -> ExchangeAnswer:
        """Exchange a token.

        Raises:
            RequestRefused: one of its kinds, for every reason not to; the event is committed already.
        """
        attempt = _Attempt(request)
        # 1.-4. who asks, for whom, where, and may they
        try:
            ask = await self._admit(attempt)
        except RequestRefused as refusal:
            await self._record(attempt, refusal)
            raise
        # 5. release: look at the connection, decide, record
        verdict = await self._counter.release(ask)
        # 6. refresh what is stale, then release again
        if isinstance(verdict, Stale):
            verdict = await self._release_refreshed(ask, verdict)
        if isinstance(verdict, Refused):
            raise self._with_uri(verdict.error, attempt)
        # 7. open the token  8. answer
        return await self._answer(verdict, attempt)

    async def _admit(self, attempt: _Attempt) -> Ask:
        request = attempt.request
        if request.requested_token_type != ACCESS_TOKEN:
            raise InvalidRequest("This requested_token_type is not supported.", reason="unsupported_token_type")
        # 1. the client, unless the subject token is to name it
        if request.credentials is not None:
            attempt.client = self._clients.authenticate(request.credentials, ip=request.ip)
        # 2. the subject, and the actor
        verified = await self._verifier.verify(request.subject_token, request.subject_token_type)
        if attempt.client is None:
            attempt.client = self._clients.implicit_for(verified.presenter, ip=request.ip)
        client = attempt.client
        self._check_limit(client.id, client)
        check_presenter(
            presenter=verified.presenter,
            accepted=client.subject_azp,
            client_id=client.id,
            trusted_clients=verified.trusted_clients,
            only_trusted=verified.only_trusted,
        )
        attempt.subject = await self._subjects.ensure(verified.subject)
        attempt.actor = await self._actor(request, verified, client)
        # 3. the target
        attempt.provider = self._target(request, client)
        # 4. policy
        grant = client.config.providers[attempt.provider.name]
        allowed_scopes(grant.scopes, request.scope)
        return Ask(
            subject_id=attempt.subject.id,
            subject=attempt.subject.key,
            provider=attempt.provider.name,
            display_name=attempt.provider.display_name,
            allowed=Scopes(grant.scopes),
            requested=request.scope,
            on_wider_grant=grant.on_wider_grant,
            refresh_margin=timedelta(seconds=attempt.provider.config.refresh_margin),
            login_hint=request.login_hint,
            event=attempt.draft(),
        )

    def _check_limit(self, key: str, client: Client) -> None:
        limits = client.config.limits
        if limits is not None:
            self._limits.take(key, Rate(per_second=limits.per_second, burst=limits.burst))

    async def _actor(
        self, request: ExchangeRequest, verified: VerifiedSubject, client: Client
    ) -> dict[str, Any] | None:
        actor = None
        if request.actor_token is not None:
            actor = await self._verifier.verify(request.actor_token, request.actor_token_type or "")
        names = {str(client.id), *client.subject_azp}
        check_may_act(  # RFC 8693 §4.4
            may_act=verified.may_act,
            subject_issuer=verified.subject.issuer,
            actor=actor.subject if actor else None,
            client_names=names,
        )
        chain = dict(verified.act) if verified.act is not None else None
        if actor is None:
            return chain
        newest: dict[str, Any] = {"iss": actor.subject.issuer, "sub": actor.subject.sub}
        return newest | {"act": chain} if chain else newest  # RFC 8693 §4.1

    def _target(self, request: ExchangeRequest, client: Client) -> Provider:
        # RFC 8693 §2.1: audience and resource may come together; here they must mean one provider.
        found = [self._providers.get(name) for name in request.audience]
        found += [self._providers.by_resource(url) for url in request.resource]
        if not found:
            raise InvalidRequest("Name the provider in `audience` or its API in `resource`.", reason="missing_target")
        # An unknown provider and a forbidden one get the same answer (A8).
        if len({provider.name for provider in found}) > 1 or found[0].name not in client.config.providers:
            raise InvalidTarget
        return found[0]

    async def _release_refreshed(self, ask: Ask, verdict: Stale) -> Allowed | Refused:
        failure = await self._refresher.refresh(verdict.row)
        second = await self._counter.release(replace(ask, refresh_failed=failure))
        if isinstance(second, Stale):
            # It was refreshed and is stale again: the provider's tokens live shorter than our margin.
            last = self._refresher.gave_too_little()
            second = await self._counter.release(replace(ask, refresh_failed=last))
        return _decided(second)

    async def _answer(self, verdict: Allowed, attempt: _Attempt) -> ExchangeAnswer:
        row = verdict.row
        opened = open_connection(data_key_of(row, self._data_keys), row)
        now = self._clock()
        await self._uses.note(row, now)
        assumed = attempt.provider.config.assumed_ttl if attempt.provider else 0
        return ExchangeAnswer(
            access_token=opened.access_token,
            issued_token_type=attempt.request.requested_token_type,
            expires_in=seconds_left(row.expires_at, now, assumed),
            scope=row.granted_scopes,
            connection=row.provider,
            account=verdict.label,
            connection_metadata=opened.metadata,
        )

    def _with_uri(self, error: VaultdError, attempt: _Attempt) -> VaultdError:
        if isinstance(error, InteractionRequired) and attempt.client is not None:
            query = {"client_id": str(attempt.client.id)}
            if attempt.request.scope:
                query["scope"] = str(attempt.request.scope)
            error.connect_uri = f"{self._public_url}/auth/connect/{quote(error.connection)}?{urlencode(query)}"
        return error

    async def _record(self, attempt: _Attempt, refusal: RequestRefused) -> None:
        draft = replace(attempt.draft(), type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason=refusal.reason)
        if attempt.client is not None and not isinstance(refusal, SlowDown):
            await self._log.record(draft)
            return
        if attempt.request.credentials is not None:
            draft = replace(draft, client_id=ClientId(attempt.request.credentials.client_id[:128]))
        await self._refusals.record(draft, address_prefix=address_prefix(attempt.request.ip))


def seconds_left(expires_at: datetime | None, now: datetime, assumed: int) -> int:
    """Whole seconds until the token ends; where the provider names no end, what the catalogue assumes."""
    if expires_at is None:
        return assumed
    return max(int((expires_at - now).total_seconds()), 0)


def _decided(verdict: Verdict) -> Allowed | Refused:
    if isinstance(verdict, Stale):
        raise TypeError("a second release must decide")
    return verdict
