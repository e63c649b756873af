"""How much of a grant may be ended: all of it, one token, or nothing, where others live on it.

Looked at right before the provider is called, since others may have come or gone since the tokens were put aside: the
last one to go ends the grant.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vaultd.connections.holders import Holders, Names, Shared
from vaultd.connections.outbox import Revocation
from vaultd.db import Database
from vaultd.errors import ProviderRefused, ProviderUnavailable
from vaultd.providers.config import ProviderConfig
from vaultd.providers.naming import parts_of, split_id
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.terms import Secret

SHARED = "kept_shared_grant"
"""Others live on the grant, so it stays."""
UNKNOWN = "kept_unknown_account"
"""Nobody can say whose grant it is, and others at this provider may live on it, so it stays."""


class Extent(StrEnum):
    """What is ended at the provider."""

    ALL = "all"
    TOKEN = "token"  # noqa: S105 - a word
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is ended, and why not more; `account_id` is whose grant it is, where that is known."""

    extent: Extent
    reason: str | None = None
    account_id: str | None = None


def shared_by(config: ProviderConfig) -> Shared | None:
    """Which parts of an account's id two that live on one grant have in common, where it has several.

    What ends a grant of a person ends it in all their places, and what ends an installation ends it for all its people;
    but a setting says which of the provider's servers it is, and servers have no grants in common.
    """
    parts = parts_of(config.account_id_field)
    of_answers = [place for place, part in enumerate(parts) if not part[0].startswith("setting:")]
    if len(of_answers) <= 1 or config.revocation_ends == "token":
        return None
    which = {"installation": of_answers[:1], "grant": of_answers[-1:]}.get(config.revocation_ends or "", of_answers)

    def shared(one: str, other: str) -> bool:
        ours, theirs = split_id(one), split_id(other)
        if len(ours) != len(theirs):
            # One of them is from before its accounts were known by this id: it is the same where a part of it is.
            return bool(set(ours) & set(theirs))
        if any(ours[place] != theirs[place] for place in range(len(ours)) if place not in of_answers):
            return False
        return any(ours[place] == theirs[place] for place in which)

    return shared


def _tells_tokens_apart(config: ProviderConfig) -> bool:
    """Whether who holds one token has one account, by the provider's table.

    What is asked with a token is about it alone. What comes beside it may be about whoever agreed, while the token is a
    place's; unless somebody has gone through the table and says what a grant is for.
    """
    return config.grant_for is not None or not config.named_in & {"token", "redirect"}


class Sharing:
    """Judges."""

    def __init__(self, *, database: Database, holders: Holders, providers: Providers, oauth: OAuthClient) -> None:
        self._database = database
        self._holders = holders
        self._providers = providers
        self._oauth = oauth

    async def judge(self, provider: Provider, revocation: Revocation, access_token: Secret) -> Verdict:
        """What of this grant may be ended now. `provider` is at its connection's place.

        Raises:
            ProviderUnavailable: whose grant it is can be asked, but not now.
        """
        config, names = provider.config, self._names(provider)
        tokens = [token for token in (access_token, revocation.refresh_token) if token is not None]
        account_id = revocation.account_id
        if await self._same_token(names, account_id if _tells_tokens_apart(config) else None, tokens):
            return Verdict(Extent.NOTHING, SHARED)
        if not await self._others(names, account_id):
            return Verdict(Extent.ALL, account_id=account_id)
        if account_id is None and config.revocation_ends != "token":
            account_id = await self._ask(provider, access_token)
            if account_id is not None and not await self._others(names, account_id):
                return Verdict(Extent.ALL, account_id=account_id)
        if config.revocation_ends == "token":
            return Verdict(Extent.ALL)
        reason = UNKNOWN if account_id is None else SHARED
        return Verdict(Extent.NOTHING if config.token_revocation_endpoint is None else Extent.TOKEN, reason)

    async def ended(self, provider: Provider, verdict: Verdict) -> None:
        """Forget what is kept of connections whose grant was ended by this: it is no mistake any more."""
        of_grant = verdict.extent is Extent.ALL and provider.config.revocation_ends != "token"
        if of_grant and verdict.account_id is not None:
            async with self._database.transaction() as connection:
                await self._holders.forget_kept(connection, self._names(provider), verdict.account_id)

    def _names(self, provider: Provider) -> Names:
        own = self._providers.get(provider.name)
        naming = own.config.accounts_named_by
        tables = self._providers.of_one_app(own)
        alike = frozenset(str(table.name) for table in tables if table.config.accounts_named_by == naming)
        unlike = frozenset(str(table.name) for table in tables) - alike
        return Names(alike, unlike, shared=shared_by(own.config))

    async def _others(self, names: Names, account_id: str | None) -> bool:
        async with self._database.transaction() as connection:
            return await self._holders.exist(connection, names, account_id)

    async def _same_token(self, names: Names, account_id: str | None, tokens: list[Secret]) -> bool:
        async with self._database.transaction() as connection:
            return await self._holders.share(connection, names, account_id, tokens)

    async def _ask(self, provider: Provider, access_token: Secret) -> str | None:
        """Whose grant it is; None where the provider does not tell."""
        try:
            account = await self._oauth.account(provider, access_token=access_token)
        except ProviderRefused:
            return None
        except ProviderUnavailable:
            if provider.config.token_revocation_endpoint is None:
                raise
            # One token can be ended whosever it is, so that it does not live on while nobody answers.
            return None
        return account.id if account is not None else None
