"""Recognising a user's connection that is kept under another id than its account has now: a former one, or none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from uuid import UUID

from vaultd.connections.grants import Brought, Former, GrantStore
from vaultd.connections.sealing import Opened
from vaultd.db import Database
from vaultd.errors import InvalidTarget, ProviderError
from vaultd.providers.config import ProviderConfig
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.recognising import is_account
from vaultd.providers.registry import Provider


class Recognition:
    """Asks the provider, with the token of a connection that may be the account's. Keeps nothing."""

    def __init__(self, *, database: Database, oauth: OAuthClient, grants: GrantStore) -> None:
        self._database = database
        self._oauth = oauth
        self._grants = grants

    async def __call__(self, provider: Provider, subject_id: UUID, brought: Brought) -> Brought:
        """The grant with the connection that is its account's, as far as the provider tells; it is given unfilled.

        Asked where nothing that is kept tells, and before anything is stored, as an answer takes its time.
        """
        former = former_of(provider.config, brought)
        async with self._database.transaction() as connection:
            undecided = await self._grants.undecided(connection, subject_id, provider.name, former)
        for connection_id, opened in undecided:
            owner = await self._owner(provider, opened)
            if owner == brought.account_id:
                return replace(brought, known_before_as=str(connection_id))
            if owner is not None:
                brought = replace(brought, others=(*brought.others, str(connection_id)))
        return brought

    async def _owner(self, provider: Provider, opened: Opened) -> str | None:
        try:
            # At the place of that connection: its token is shown to no other.
            account = await self._oauth.account(provider.at(opened.metadata), access_token=opened.access_token)
        except (ProviderError, InvalidTarget):
            # The token may have ended: then nobody tells.
            return None
        return None if account is None else account.id


def former_of(config: ProviderConfig, brought: Brought) -> list[Former]:
    """The ids that the grant's account had by the table's former paths, and how others are told from it there."""
    paths = zip(config.former_account_id_fields, brought.former_ids, strict=False)
    return [
        Former(former_id, partial(is_account, config, brought.account_id, fields))
        for fields, former_id in paths
        if former_id is not None
    ]
