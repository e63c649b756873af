"""Asking providers whose tokens these are, at a bounded rate. Spends nothing: userinfo takes the access token alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from vaultd.connections.imported import LONG_OVER, NO_ACCESS_TOKEN
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.errors import ProviderRefused, ProviderUnavailable
from vaultd.importing.line import Line, LineRefused
from vaultd.importing.pace import Pace
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.terms import Clock


class Accounts:
    """Names accounts. `rate` is how many calls are begun in a second, and how many lines are taken at a time."""

    def __init__(self, *, providers: Providers, oauth: OAuthClient, clock: Clock, rate: int) -> None:
        self.rate = rate
        self._providers = providers
        self._oauth = oauth
        self._clock = clock
        self._pace = Pace(rate)

    async def name(self, lines: Sequence[Line]) -> list[Line | LineRefused]:
        """The lines with their accounts, as far as the providers tell; or that a provider gave no answer."""
        return await asyncio.gather(*(self._name(line) for line in lines))

    async def _name(self, line: Line) -> Line | LineRefused:
        imported = line.imported
        if imported.account_id != UNNAMED_ACCOUNT or imported.access_token == NO_ACCESS_TOKEN:
            return line
        ends = imported.expires_at
        if ends is not None and ends != LONG_OVER and ends <= self._clock():
            return line
        await self._pace.wait()
        try:
            account = await self._oauth.account(
                self._providers.get(imported.provider).at(imported.settings), access_token=imported.access_token
            )
        except ProviderRefused:
            # The token is no longer good for asking. What it may be good for is the refresh token's matter.
            return line
        except ProviderUnavailable:
            return LineRefused(["the provider does not say whose token it is; run this again, or write account = {…}"])
        if account is None:
            return line
        named = replace(imported, account_id=account.id, account_label=account.label, account_names=account.names)
        return replace(line, imported=named)
