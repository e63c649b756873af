"""Steps 1 to 4 of an exchange: who asks, for whom, where, and may they. What stays is the ask at the counter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from vaultd.clients.registry import Client, Clients
from vaultd.errors import InteractionRequired, InvalidRequest, InvalidTarget
from vaultd.exchange.assertion import Assertions, find_assertion
from vaultd.exchange.request import ACCESS_TOKEN, Attempt, ExchangeRequest
from vaultd.jose import UnverifiedJwt
from vaultd.limits import Buckets, Rate
from vaultd.policy import allowed_scopes, check_may_act, check_presenter
from vaultd.providers.registry import Provider, Providers
from vaultd.release.decide import Ask
from vaultd.subjects.store import SubjectStore
from vaultd.subjects.verify import SubjectVerifier, VerifiedSubject
from vaultd.terms import Scopes


class Admission:
    """Believes nothing that is not proven; fills in the attempt as it goes, so that a refusal's event says enough."""

    def __init__(
        self,
        *,
        clients: Clients,
        verifier: SubjectVerifier,
        assertions: Assertions,
        subjects: SubjectStore,
        providers: Providers,
        limits: Buckets,
    ) -> None:
        self._clients = clients
        self._verifier = verifier
        self._assertions = assertions
        self._subjects = subjects
        self._providers = providers
        self._limits = limits

    async def admit(self, attempt: Attempt) -> Ask:
        """What may be asked at the counter. Raises `RequestRefused`."""
        request = attempt.request
        if request.requested_token_type != ACCESS_TOKEN:
            raise InvalidRequest("This requested_token_type is not supported.", reason="unsupported_token_type")
        # 1. the client, unless the subject token is to name it
        if request.credentials is not None:
            attempt.client = await self._clients.authenticate(request.credentials, ip=request.ip)
        # 2. the subject, and the actor
        unverified = find_assertion(request)
        client = await (self._present(attempt) if unverified is None else self._asserted(attempt, unverified))
        # 3. the target
        attempt.provider = self._target(request, client)
        # 4. policy
        if attempt.presence == "asserted" and attempt.provider.name not in client.config.assert_providers:
            raise InvalidTarget(reason="assert_provider")
        grant = client.config.providers[attempt.provider.name]
        allowed_scopes(grant.scopes, request.scope)
        if attempt.subject is None:
            # The same answer as for a user with a row, and nothing connected.
            name = attempt.provider.display_name
            raise InteractionRequired("not_connected", connection=attempt.provider.name, display_name=name)
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

    async def _present(self, attempt: Attempt) -> Client:
        request = attempt.request
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
        attempt.presence = "present"
        attempt.actor = await self._actor(request, verified, client)
        return client

    async def _asserted(self, attempt: Attempt, unverified: UnverifiedJwt) -> Client:
        attempt.presence = "asserted"
        client = self._assertions.check_client(attempt.client)
        self._check_limit(client.id, client)
        subject = await self._assertions.subject(unverified, client)
        # No row is made for a user who is only spoken of: anyone could be, and whoever has none has no connection.
        attempt.subject = await self._subjects.find(subject)
        if attempt.subject is not None:
            await self._assertions.check_away(attempt.subject, client)
        # `may_act` and `act` are claims of a user's token; here the client has said all there is to say.
        actor = await self._verified_actor(attempt.request)
        attempt.actor = _named(actor) if actor else None
        return client

    def _check_limit(self, key: str, client: Client) -> None:
        limits = client.config.limits
        if limits is not None:
            self._limits.take(key, Rate(per_second=limits.per_second, burst=limits.burst))

    async def _actor(
        self, request: ExchangeRequest, verified: VerifiedSubject, client: Client
    ) -> dict[str, Any] | None:
        if request.actor_token is None and verified.may_act is None and verified.act is None:
            return None
        actor = await self._verified_actor(request)
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
        return _named(actor) | ({"act": chain} if chain else {})  # RFC 8693 §4.1

    async def _verified_actor(self, request: ExchangeRequest) -> VerifiedSubject | None:
        if request.actor_token is None:
            return None
        return await self._verifier.verify(request.actor_token, request.actor_token_type or "")

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


def _named(actor: VerifiedSubject) -> dict[str, Any]:
    return {"iss": actor.subject.issuer, "sub": actor.subject.sub}
