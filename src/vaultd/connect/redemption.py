"""Redeeming a consent's code, and finding out whose tokens came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from vaultd.connect.keeping import Held
from vaultd.connections.grants import Brought
from vaultd.connections.pending import Pending
from vaultd.connections.refresh_end import first_end
from vaultd.providers.oauth import Grant, Identity, Issued, OAuthClient
from vaultd.providers.registry import Provider
from vaultd.refresh import expiry
from vaultd.scopes import Received
from vaultd.terms import NO_SCOPES, Clock, Scopes, Secret


@dataclass(frozen=True, slots=True)
class BesideCode:
    """What the callback's query says beside the code: metadata, and what was granted where it is told there."""

    metadata: Mapping[str, str]
    scopes: Scopes | None


class Redemption:
    """Redeems, once. `redirect_uri` gives the callback that was registered at a provider."""

    def __init__(self, *, oauth: OAuthClient, clock: Clock, redirect_uri: Callable[[str], str]) -> None:
        self._oauth = oauth
        self._clock = clock
        self._redirect_uri = redirect_uri

    async def __call__(
        self, provider: Provider, waiting: Pending, code: Secret, beside: BesideCode, held: Held
    ) -> Brought:
        """What the provider granted, and to whom.

        Raises:
            ProviderError: nothing was granted, or nobody can say to whom.
        """
        private, asked = waiting.private, Scopes(waiting.private["scopes"])
        nobody = Identity(None, dict(beside.metadata))

        def issued(tokens: Issued) -> None:
            # Either is revoked by itself; where only a refresh token came, it stands for both.
            access_token = tokens.access_token or tokens.refresh_token
            if access_token is not None:
                unusable = Grant(access_token, tokens.refresh_token, expires_in=None, scopes=None)
                held.brought = self._brought(provider, unusable, nobody, Received(asked), private)

        grant = await self._oauth.redeem(
            provider,
            code=code,
            code_verifier=Secret(private["verifier"]),
            redirect_uri=self._redirect_uri(provider.name),
            scopes=asked,
            issued=issued,
        )
        received = _received(provider, asked, grant, beside)
        held.brought = self._brought(provider, grant, nobody, received, private)
        parameters = provider.config.callback_metadata
        redirect = {parameters[name]: value for name, value in beside.metadata.items()}
        identity = await self._oauth.identify(provider, grant=grant, nonce=private.get("nonce"), redirect=redirect)
        known = Identity(identity.account, {**beside.metadata, **identity.metadata})
        held.brought = brought = self._brought(provider, grant, known, received, private)
        return brought

    def _brought(
        self, provider: Provider, grant: Grant, identity: Identity, received: Received, private: Mapping[str, Any]
    ) -> Brought:
        account, now = identity.account, self._clock()
        rotates = provider.config.rotation != "never"
        return Brought(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires_at=expiry(grant, now),
            scopes=received.granted,
            unclear_scopes=received.unclear,
            withheld_scopes=received.withheld,
            account_id=account.id if account else "",
            account_label=account.label if account else "",
            account_names=account.names if account else (),
            former_ids=account.former_ids if account else (),
            # A setting says where the provider is: nothing that was answered takes its place (C0).
            metadata={**grant.metadata, **identity.metadata, **private.get("settings", {})},
            life=None if grant.assumed_life else grant.expires_in,
            refresh_end=first_end(grant.refresh_expires_in, rotates=rotates, now=now),
        )


def _received(provider: Provider, asked: Scopes, grant: Grant, beside: BesideCode) -> Received:
    config = provider.config
    # What comes with the token counts; what comes through the browser, where that is all there is.
    shown = config.scopes_shown(renewable=grant.refresh_token is not None, signed=grant.id_token is not None)
    if not grant.scopes and beside.scopes is not None and not beside.scopes:
        # It is there to say what was accepted, and says that nothing was. In a token's answer, empty means silence.
        return Received(NO_SCOPES, withheld=asked)
    received = config.scope_rules.received(asked, grant.scopes or beside.scopes, shown=shown)
    if received.unclear and received.granted:
        text = "the provider names other scopes than those asked for; if they are the same, write scope_aliases"
        _log().warning(text, provider=provider.name, asked=str(asked), answered=str(received.granted))
    return received


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.connect")
    return logger
