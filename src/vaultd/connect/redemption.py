"""Redeeming a consent's code, and finding out whose tokens came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vaultd.audit.log import AuditLog
from vaultd.connections.grants import Brought, GrantStore
from vaultd.connections.pending import Pending
from vaultd.errors import ProviderError
from vaultd.providers.oauth import Grant, Identity, Issued, OAuthClient
from vaultd.providers.registry import Provider
from vaultd.refresh import expiry
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
        self, provider: Provider, waiting: Pending, code: Secret, beside_code: Mapping[str, str]
    ) -> Brought:
        """What the provider granted, and to whom. `beside_code` is metadata that came with the code.

        Raises:
            ProviderError: nothing was granted, or nobody can say to whom.
        """
        private = waiting.private

        async def unwanted(issued: Issued) -> None:
            unusable = Grant(issued.access_token, issued.refresh_token, expires_in=None, scopes=None)
            await self._give_back(waiting, self._brought(unusable, Identity(None, dict(beside_code)), private))

        grant = await self._oauth.redeem(
            provider,
            code=code,
            code_verifier=Secret(private["verifier"]),
            redirect_uri=self._redirect_uri(provider.name),
            scopes=Scopes(private["scopes"]),
            unwanted=unwanted,
        )
        try:
            identity = await self._oauth.identify(provider, grant=grant, nonce=private.get("nonce"))
        except ProviderError:
            # Nobody can say whose tokens these are, so they must not stay alive (B3).
            await self._give_back(waiting, self._brought(grant, Identity(None, dict(beside_code)), private))
            raise
        return self._brought(grant, Identity(identity.account, {**beside_code, **identity.metadata}), private)

    async def _give_back(self, waiting: Pending, brought: Brought) -> None:
        async with self._log.transaction() as transaction:
            await self._grants.give_back(transaction, waiting.provider, waiting.subject_id, brought)

    def _brought(self, grant: Grant, identity: Identity, private: Mapping[str, Any]) -> Brought:
        account = identity.account
        return Brought(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires_at=expiry(grant, self._clock()),
            # RFC 6749 §5.1: silence means that all that was asked for was granted.
            scopes=Scopes(private["scopes"]) if grant.scopes is None else grant.scopes,
            account_id=account.id if account else "",
            account_label=account.label if account else "",
            account_names=account.names if account else (),
            # A setting says where the provider is: nothing that was answered takes its place (C0).
            metadata={**grant.metadata, **identity.metadata, **private.get("settings", {})},
            life=None if grant.assumed_life else grant.expires_in,
        )
