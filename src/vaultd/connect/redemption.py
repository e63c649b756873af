"""Redeeming a consent's code, and finding out whose tokens came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from vaultd.audit.log import AuditLog
from vaultd.connections.grants import Brought, GrantStore
from vaultd.connections.pending import Pending
from vaultd.errors import ProviderError
from vaultd.providers.oauth import Grant, Identity, Issued, OAuthClient
from vaultd.providers.registry import Provider
from vaultd.refresh import expiry
from vaultd.scopes import Received
from vaultd.terms import Clock, Scopes, Secret


class Redemption:
    """Redeems, once. `redirect_uri` gives the callback that was registered at a provider."""

    def __init__(
        self,
        *,
        log: AuditLog,
        oauth: OAuthClient,
        grants: GrantStore,
        clock: Clock,
        redirect_uri: Callable[[str], str],
    ) -> None:
        self._log = log
        self._oauth = oauth
        self._grants = grants
        self._clock = clock
        self._redirect_uri = redirect_uri

    async def __call__(
        self,
        provider: Provider,
        waiting: Pending,
        code: Secret,
        beside_code: Mapping[str, str],
        scopes_beside_code: Scopes | None,
    ) -> Brought:
        """What the provider granted, and to whom. `beside_code` is metadata that came with the code.

        Raises:
            ProviderError: nothing was granted, or nobody can say to whom.
        """
        private, asked = waiting.private, Scopes(waiting.private["scopes"])
        nobody = Identity(None, dict(beside_code))

        async def unwanted(issued: Issued) -> None:
            unusable = Grant(issued.access_token, issued.refresh_token, expires_in=None, scopes=None)
            await self._give_back(waiting, self._brought(unusable, nobody, Received(asked), private))

        grant = await self._oauth.redeem(
            provider,
            code=code,
            code_verifier=Secret(private["verifier"]),
            redirect_uri=self._redirect_uri(provider.name),
            scopes=asked,
            unwanted=unwanted,
        )
        # What comes with the token counts; what comes through the browser, where that is all there is.
        shown = provider.config.scopes_shown(
            renewable=grant.refresh_token is not None, signed=grant.id_token is not None
        )
        received = provider.config.scope_rules.received(asked, grant.scopes or scopes_beside_code, shown=shown)
        if received.unclear:
            text = "the provider names other scopes than those asked for; if they are the same, write scope_aliases"
            _log().warning(text, provider=provider.name, asked=str(asked), answered=str(received.granted))
        try:
            parameters = provider.config.callback_metadata
            redirect = {parameters[name]: value for name, value in beside_code.items()}
            identity = await self._oauth.identify(provider, grant=grant, nonce=private.get("nonce"), redirect=redirect)
        except ProviderError:
            # Nobody can say whose tokens these are, so they must not stay alive (B3).
            await self._give_back(waiting, self._brought(grant, nobody, received, private))
            raise
        known = Identity(identity.account, {**beside_code, **identity.metadata})
        return self._brought(grant, known, received, private)

    async def _give_back(self, waiting: Pending, brought: Brought) -> None:
        async with self._log.transaction() as transaction:
            await self._grants.give_back(transaction, waiting.provider, waiting.subject_id, brought)

    def _brought(self, grant: Grant, identity: Identity, received: Received, private: Mapping[str, Any]) -> Brought:
        account = identity.account
        return Brought(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires_at=expiry(grant, self._clock()),
            scopes=received.granted,
            unclear_scopes=received.unclear,
            withheld_scopes=received.withheld,
            account_id=account.id if account else "",
            account_label=account.label if account else "",
            account_names=account.names if account else (),
            former_ids=account.former_ids if account else (),
            # A setting says where the provider is: nothing that was answered takes its place (C0).
            metadata={**grant.metadata, **identity.metadata, **private.get("settings", {})},
        )


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.connect")
    return logger
