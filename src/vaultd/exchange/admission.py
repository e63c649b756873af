"""Steps 1 to 4 of an exchange: who asks, for whom, where, and may they. What stays is the ask at the counter."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from vaultd.clients.registry import Client
from vaultd.errors import InteractionRequired, InvalidRequest, InvalidTarget
from vaultd.exchange.parties import Parties
from vaultd.exchange.request import REQUESTABLE, Attempt, ExchangeRequest
from vaultd.policy import allowed_scopes, entry_at
from vaultd.providers.registry import Provider, Providers
from vaultd.release.decide import Ask
from vaultd.terms import Scopes


class Admission:
    """Believes nothing that is not proven; fills in the attempt as it goes, so that a refusal's event says enough."""

    def __init__(self, *, parties: Parties, providers: Providers) -> None:
        self._parties = parties
        self._providers = providers

    async def admit(self, attempt: Attempt) -> Ask:
        """What may be asked at the counter. Raises `RequestRefused`."""
        request = attempt.request
        if request.requested_token_type not in REQUESTABLE:
            raise InvalidRequest("This requested_token_type is not supported.", reason="unsupported_token_type")
        # 1. the client  2. the subject, and the actor
        client = await self._parties.identify(attempt)
        # 3. the target
        provider = attempt.provider = self._target(request, client)
        # 4. policy
        if attempt.presence == "asserted" and provider.name not in client.config.assert_providers:
            raise InvalidTarget(reason="assert_provider")
        grant = client.config.providers[provider.name]
        allowed_scopes(grant.scopes, request.scope, provider.config.scope_rules)
        if attempt.subject is None:
            # The same answer as for a user with a row, and nothing connected.
            raise InteractionRequired("not_connected", connection=provider.name, display_name=provider.display_name)
        return Ask(
            subject_id=attempt.subject.id,
            subject=attempt.subject.key,
            provider=provider.name,
            display_name=provider.display_name,
            allowed=Scopes(grant.scopes),
            requested=request.scope,
            on_wider_grant=grant.on_wider_grant,
            refresh_margin=timedelta(seconds=provider.config.refresh_margin),
            login_hint=request.login_hint,
            event=attempt.draft(),
            refused_token=request.refused_token,
            rules=provider.config.scope_rules,
            narrows=provider.config.narrows,
            narrowing=grant.narrow.narrowing(request.scope) if grant.narrow else None,
        )

    async def admit_again(self, attempt: Attempt, ask: Ask) -> Ask:
        """The same ask, of a subject that was erased since. Raises `RequestRefused`."""
        await self.look_again(attempt)
        if attempt.subject is None:
            raise InteractionRequired("not_connected", connection=ask.provider, display_name=ask.display_name)
        subject = attempt.subject
        return replace(ask, subject_id=subject.id, subject=subject.key, event=attempt.draft())

    async def look_again(self, attempt: Attempt) -> None:
        """Look up once more a subject that was erased since."""
        await self._parties.look_again(attempt)

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
