"""Steps 1 to 4 of an exchange: who asks, for whom, where, and may they. What stays is the ask at the counter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from vaultd.clients.limits import ClientLimits
from vaultd.clients.registry import Client, Clients
from vaultd.errors import InvalidRequest, InvalidTarget
from vaultd.exchange.request import REQUESTABLE, Attempt, ExchangeRequest
from vaultd.policy import allowed_scopes, check_may_act, check_presenter, entry_at
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
        subjects: SubjectStore,
        providers: Providers,
        limits: ClientLimits,
    ) -> None:
        self._clients = clients
        self._verifier = verifier
        self._subjects = subjects
        self._providers = providers
        self._limits = limits

    async def admit(self, attempt: Attempt) -> Ask:
        """What may be asked at the counter. Raises `RequestRefused`."""
        request = attempt.request
        if request.requested_token_type not in REQUESTABLE:
            raise InvalidRequest("This requested_token_type is not supported.", reason="unsupported_token_type")
        # 1. the client, unless the subject token is to name it
        claimed = self._authenticated(attempt)
        # 2. the subject, and the actor
        verified = await self._verifier.verify(request.subject_token, request.subject_token_type)
        client = claimed or self._clients.implicit_for(verified.presenter, ip=request.ip)
        check_presenter(
            presenter=verified.presenter,
            accepted=client.subject_azp,
            client_id=client.id,
            trusted_clients=verified.trusted_clients,
            only_trusted=verified.only_trusted,
        )
        attempt.client = client
        self._limits.take_for(client, verified.subject)
        if client.public:
            self._limits.take(client)
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
            narrows=attempt.provider.config.narrows,
        )

    def _authenticated(self, attempt: Attempt) -> Client | None:
        """The client that the credentials name. It counts as proven, and as asking, only if it has a secret.

        Anyone may name a client without one, with any token: its requests count once its users' tokens are verified,
        so that no stranger can use up its limit or fill the log in its name (A11).
        """
        if attempt.request.credentials is None:
            return None
        client = self._clients.authenticate(attempt.request.credentials, ip=attempt.request.ip)
        if not client.public:
            attempt.client = client
            # Before the subject is looked at, so that a flood of bad tokens is held back too.
            self._limits.take(client)
        return client

    async def _actor(
        self, request: ExchangeRequest, verified: VerifiedSubject, client: Client
    ) -> dict[str, Any] | None:
        if request.actor_token is None and verified.may_act is None and verified.act is None:
            return None
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
        if len({provider.name for provider in found}) > 1:
            raise InvalidTarget(reason="several_targets")
        entry_at(client.config.providers, found[0].name)
        return found[0]
