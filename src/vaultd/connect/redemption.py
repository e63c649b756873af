"""Redeeming a consent's code, and finding out whose tokens came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vaultd.connect.keeping import Held
from vaultd.connections.grants import Brought
from vaultd.connections.pending import Pending
from vaultd.connections.refresh_end import first_end
from vaultd.providers.oauth import Grant, Identity, Issued, OAuthClient
from vaultd.providers.registry import Provider
from vaultd.refresh import expiry
from vaultd.terms import Clock, Scopes, Secret


class Redemption:
    """Redeems, once. `redirect_uri` gives the callback that was registered at a provider."""

    def __init__(self, *, oauth: OAuthClient, clock: Clock, redirect_uri: Callable[[str], str]) -> None:
        self._oauth = oauth
        self._clock = clock
        self._redirect_uri = redirect_uri

    async def __call__(
        self, provider: Provider, waiting: Pending, code: Secret, beside_code: Mapping[str, str], held: Held
    ) -> Brought:
        """What the provider granted, and to whom. `beside_code` is metadata that came with the code.

        `held` has what was issued from the moment it came.

        Raises:
            ProviderError: nothing was granted, or nobody can say to whom.
        """
        private, nameless = waiting.private, Identity(None, dict(beside_code))

        def issued(tokens: Issued) -> None:
            # Either is revoked by itself; where only a refresh token came, it stands for both.
            access_token = tokens.access_token or tokens.refresh_token
            if access_token is not None:
                unusable = Grant(access_token, tokens.refresh_token, expires_in=None, scopes=None)
                held.brought = self._brought(provider, unusable, nameless, private)

        grant = await self._oauth.redeem(
            provider,
            code=code,
            code_verifier=Secret(private["verifier"]),
            redirect_uri=self._redirect_uri(provider.name),
            scopes=Scopes(private["scopes"]),
            issued=issued,
        )
        held.brought = self._brought(provider, grant, nameless, private)
        identity = await self._oauth.identify(provider, grant=grant, nonce=private.get("nonce"))
        known = Identity(identity.account, {**beside_code, **identity.metadata})
        held.brought = brought = self._brought(provider, grant, known, private)
        return brought

    def _brought(self, provider: Provider, grant: Grant, identity: Identity, private: Mapping[str, Any]) -> Brought:
        account, now = identity.account, self._clock()
        rotates = provider.config.rotation != "never"
        return Brought(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires_at=expiry(grant, now),
            # RFC 6749 §5.1: silence means that all that was asked for was granted.
            scopes=Scopes(private["scopes"]) if grant.scopes is None else grant.scopes,
            account_id=account.id if account else "",
            account_label=account.label if account else "",
            account_names=account.names if account else (),
            # A setting says where the provider is: nothing that was answered takes its place (C0).
            metadata={**grant.metadata, **identity.metadata, **private.get("settings", {})},
            life=None if grant.assumed_life else grant.expires_in,
            refresh_end=first_end(grant.refresh_expires_in, rotates=rotates, now=now),
        )
