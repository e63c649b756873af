"""One call to the provider under the lease, and what follows where it brought nothing to store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import lease, outbox, store
from vaultd.connections.kept import kept_for
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.sealing import PURPOSE, Opened, data_key_of, known_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import (
    CannotOpen,
    InvalidScope,
    InvalidTarget,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestRefused,
    TemporarilyUnavailable,
)
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key
from vaultd.providers.answers import Grant
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.providers.templates import gaps
from vaultd.refresh.breaker import LONGEST_ASKED, Breaker, host_of
from vaultd.refresh.patience import Patience
from vaultd.subjects.store import SubjectStore
from vaultd.telemetry.metrics import Tally
from vaultd.terms import Clock, Scopes, Secret, Verdict

PATIENCE = lease.LASTS.total_seconds() * 2
"""Seconds for which somebody else's lease is waited for."""
PERSISTENCE = 60.0
"""Seconds for which a database that is away is waited for with tokens in hand."""
PERSIST_AGAIN = 0.2
MENDED_AFTER = 30
"""Seconds until what only an operator can mend may be mended."""
BUSY_FOR = 2
"""Seconds until another request for the same grant is over."""
SECOND_TRY = 1.5
"""Seconds between two tries, where the first word that a grant is dead may be wrong."""
BOTH_TRIES = lease.LASTS.total_seconds() - 1.0
"""Seconds that the two of them may take, so that the lease still stands."""

_OURS = frozenset({"provider_paused", "provider_unavailable"})

Nothing: TypeAlias = RequestRefused | None
"""Nothing came: the refusal that applies, or None when the row is worth another look."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a refresh brought, and what stood in the row when it was asked for."""

    provider: Provider
    grant: Grant
    key: Key
    opened: Opened


@dataclass(frozen=True, slots=True)
class Ended:
    """What was in the row that the provider refused to renew."""

    provider: Provider
    key: Key
    opened: Opened


class Leased:
    """This process as an owner of leases."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        lookups: NoticeLookups,
        providers: Providers,
        oauth: OAuthClient,
        subjects: SubjectStore,
        breaker: Breaker,
        patience: Patience,
        keep_broken: timedelta,
        outcomes: Tally,
        clock: Clock,
        second_try: float = SECOND_TRY,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self.lookups = lookups
        self._providers = providers
        self._oauth = oauth
        self._subjects = subjects
        self._breaker = breaker
        self._patience = patience
        self._keep_broken = keep_broken
        self._outcomes = outcomes
        self._clock = clock
        self._second_try = second_try
        self._owner = uuid4()

    async def take(self, connection: AsyncConnection, row: ConnectionRow) -> int | None:
        """Take the lease and write the intent; gives the fencing number, or None when another holds it."""
        return await lease.take(connection, row, owner=self._owner, now=self._clock())

    def paused(self, row: ConnectionRow) -> TemporarilyUnavailable | None:
        """The refusal while this row or its provider's host is left alone; without a lease: there is nothing to do."""
        try:
            self._patience.check(row)
            self._breaker.check(self._host(row))
        except TemporarilyUnavailable as refusal:
            self.count(row, "paused")
            return refusal
        return None

    async def call(self, row: ConnectionRow, fence: int, *, scopes: Scopes | None = None) -> Fresh | Nothing:
        """Use the refresh token once, for a token with `scopes` where given. The lease is held on only by `Fresh`."""
        try:
            key = data_key_of(row, self._data_keys)
            opened = open_connection(key, row)
            provider = self._providers.get(row.provider).at(opened.metadata)
        except CannotOpen as error:
            # Moved or altered bytes: the event of who asked for them says so.
            await self._not_called(row, fence)
            return TemporarilyUnavailable(retry_after=MENDED_AFTER, reason=error.reason, detail=error.detail)
        except InvalidTarget:
            await self._not_called(row, fence)
            return self._unavailable(row, MENDED_AFTER, "")
        if opened.refresh_token is None:
            await self._break(row, fence, "no_refresh_token")
            return None
        try:
            grant = await self._ask(provider, opened.refresh_token, self._scopes_sent(provider, row, scopes))
        except ProviderError as error:
            return await self._nothing_came(row, fence, error, scopes, Ended(provider, key, opened))
        except TemporarilyUnavailable as error:
            # Left alone meanwhile.
            await self._not_called(row, fence)
            return error
        self._patience.served(row)
        return Fresh(provider, grant, key, opened)

    async def _not_called(self, row: ConnectionRow, fence: int) -> None:
        """What is known of an earlier call stays as it was."""
        await self._give_back(row, fence, keep_intent=row.intent_fence is not None)

    async def _ask(self, provider: Provider, refresh_token: Secret, scopes: Scopes | None) -> Grant:
        """Ask the provider; once more after a pause where its first word that the grant is dead may be wrong."""
        host, loop = host_of(provider.config.refreshed_at), asyncio.get_running_loop()
        until = loop.time() + BOTH_TRIES
        try:
            with self._breaker.calling(host):
                return await self._oauth.refresh(provider, refresh_token=refresh_token, scopes=scopes)
        except ProviderRefused as error:
            if error.verdict is not Verdict.DEAD or not provider.config.asked_twice:
                raise
        try:
            async with asyncio.timeout_at(until):
                await asyncio.sleep(self._second_try)
                with self._breaker.calling(host):
                    return await self._oauth.refresh(provider, refresh_token=refresh_token, scopes=scopes)
        except TimeoutError:
            raise ProviderUnavailable(detail="no second answer while the lease lasts", outage=False) from None

    @staticmethod
    def _scopes_sent(provider: Provider, row: ConnectionRow, scopes: Scopes | None) -> Scopes | None:
        if scopes is not None or not provider.config.refresh_sends_scopes:
            return scopes
        # Of a grant whose scopes nobody knows, none can be named.
        granted = row.granted_scopes
        return Scopes(granted | set(provider.config.refresh_adds_scopes)) if granted else None

    def _host(self, row: ConnectionRow) -> str:
        """The host at which a row's refresh is asked for; "" where nobody can say, and the call will tell why."""
        try:
            provider = self._providers.get(row.provider)
            if gaps(provider.config.refreshed_at):
                provider = provider.at(open_connection(data_key_of(row, self._data_keys), row).metadata)
        except (CannotOpen, InvalidTarget):
            return ""
        return host_of(provider.config.refreshed_at)

    async def persist(self, write: Callable[[bool], Awaitable[None]]) -> None:
        """Store what a call brought. It is nowhere else, so a database that is away is waited for.

        `write` is told whether it has been tried before: the first try may have been committed all the same.

        Raises:
            TemporarilyUnavailable: the database stayed away; the intent is in the row.
        """
        loop = asyncio.get_running_loop()
        deadline, again = loop.time() + PERSISTENCE, False
        while True:
            try:
                return await write(again)
            except TemporarilyUnavailable:
                if loop.time() >= deadline:
                    raise
            again = True
            await asyncio.sleep(PERSIST_AGAIN)

    async def not_stored(self, connection: AsyncConnection, row: ConnectionRow, fresh: Fresh, *, again: bool) -> None:
        """The row is not as it was when the provider was called: see to it that nothing outlives the grant (C7).

        As long as the grant stands, nothing is revoked at the provider: that would end the grant there. Then either
        our own first try was committed, or the lease went to another, who has asked for tokens of the same grant.
        """
        current = await store.get(connection, row.id)
        if current is not None and (current.generation, current.status) == (row.generation, "connected"):
            self.count(row, "refreshed" if again and current.revision > row.revision else "superseded")
            return
        self.count(row, "superseded")
        await self._give_away(connection, row, fresh)

    def is_doubtful(self, row: ConnectionRow) -> bool:
        """Whether tokens for fewer scopes were refused so often that the whole grant may be over."""
        return self._patience.is_doubtful(row)

    def count(self, row: ConnectionRow, outcome: str) -> None:
        """Note for the metrics how a refresh ended."""
        self._outcomes.add((row.provider, outcome))

    async def draft(self, connection: AsyncConnection, row: ConnectionRow, kind: EventType) -> Draft:
        """An event about a connection, its subject read in the transaction that will hold it."""
        known = await self._subjects.get(row.subject_id, within=connection)
        return Draft(
            type=kind,
            connection=row.provider,
            generation=row.generation,
            revision=row.revision,
            subject=known.key if known else None,
            connection_id=row.id,
        )

    async def _give_away(self, connection: AsyncConnection, row: ConnectionRow, fresh: Fresh) -> None:
        """To be revoked at the provider: only what it gave now, for what we asked with may be a replacement's too."""
        key = await self._data_keys.create(connection, PURPOSE)
        await outbox.put(
            connection,
            provider=row.provider,
            subject_id=row.subject_id,
            key=key,
            access_token=fresh.grant.access_token,
            refresh_token=fresh.grant.refresh_token,
            metadata=fresh.opened.metadata,
            account_id=known_account(fresh.opened.account_id),
            now=self._clock(),
        )

    async def _nothing_came(
        self, row: ConnectionRow, fence: int, error: ProviderError, scopes: Scopes | None, ended: Ended
    ) -> Nothing:
        if isinstance(error, ProviderRefused):
            return await self._refused(row, fence, error, scopes, ended)
        if isinstance(error, ProviderUnavailable):
            return await self._nothing_usable(row, fence, error, scopes, ended)
        raise error

    async def _nothing_usable(
        self, row: ConnectionRow, fence: int, error: ProviderUnavailable, scopes: Scopes | None, ended: Ended
    ) -> Nothing:
        if scopes is None and not error.outage:
            self._patience.refused(row, unknown=error.word is not None, retry_after=error.retry_after)
            if error.word is not None and await self._is_over(row, fence, error.word, ended):
                return None
        elif error.word is not None:
            self._patience.refused_in_part(row)
        # C6: no usable answer does not mean that the provider did nothing.
        await self._give_back(row, fence, keep_intent=True)
        host = host_of(ended.provider.config.refreshed_at)
        retry_after = max(self._breaker.retry_after(host), min(error.retry_after or 0, LONGEST_ASKED))
        return self._unavailable(row, round(retry_after), error.detail)

    async def _refused(
        self, row: ConnectionRow, fence: int, error: ProviderRefused, scopes: Scopes | None, ended: Ended
    ) -> RequestRefused | None:
        if error.verdict is Verdict.DEAD:
            # C3: final only if the row is still the one we asked with; `break_connection` compares under its lock.
            # Nothing is rotated where no refresh brings another token.
            interrupted = row.intent_fence is not None and ended.provider.config.rotation != "never"
            await self._break(row, fence, "rotation_lost" if interrupted else "invalid_grant", ended)
            return None
        unknown = error.verdict is Verdict.UNKNOWN
        if scopes is None:
            self._patience.refused(row, unknown=unknown)
            if unknown and await self._is_over(row, fence, error.error, ended):
                return None
        elif unknown and error.error != "invalid_scope":
            # Where fewer scopes are refused, that says nothing about the grant by itself.
            self._patience.refused_in_part(row)
        await self._give_back(row, fence, keep_intent=row.intent_fence is not None)
        self.count(row, "refused")
        if error.error == "invalid_scope" and scopes is not None:
            return InvalidScope(
                "The provider does not give a token for these permissions alone.",
                reason="narrowing_refused",
                detail=error.detail,
            )
        # As far as is known, the provider refuses us, not the user: a wrong client secret, say.
        retry_after = BUSY_FOR if error.verdict is Verdict.BUSY else MENDED_AFTER
        return TemporarilyUnavailable(retry_after=retry_after, reason=in_its_words(error.error), detail=error.detail)

    async def _is_over(self, row: ConnectionRow, fence: int, word: str, ended: Ended) -> bool:
        """End a grant whose refusals nobody can explain, once they have come for long enough."""
        if not self._patience.is_enough(row):
            return False
        await self._break(row, fence, in_its_words(word), ended)
        return True

    def _unavailable(self, row: ConnectionRow, retry_after: int, detail: str) -> TemporarilyUnavailable:
        self.count(row, "unavailable")
        return TemporarilyUnavailable(retry_after=retry_after, reason="provider_unavailable", detail=detail)

    async def _give_back(self, row: ConnectionRow, fence: int, *, keep_intent: bool) -> None:
        async with self._database.transaction() as connection:
            await lease.give_back(connection, row, fence=fence, keep_intent=keep_intent)

    def kept(self, row: ConnectionRow, ended: Ended) -> dict[str, Any]:
        """What is kept of a connection that its provider refused, so that an operator can undo it."""
        return kept_for(ended.key, row, ended.opened, now=self._clock(), lasts=self._keep_broken)

    async def _break(self, row: ConnectionRow, fence: int, reason: str, ended: Ended | None = None) -> None:
        kept = self.kept(row, ended) if ended is not None else None
        async with self._log.transaction() as transaction:
            if await store.break_connection(transaction.connection, row, fence=fence, reason=reason, kept=kept):
                draft = await self.draft(transaction.connection, row, EventType.CONNECTION_BROKEN)
                await transaction.append(replace(draft, reason=reason))
                self.count(row, "broken")


def in_its_words(word: str) -> str:
    """The reason that repeats a provider's word. None becomes one of our own, which tells of something else."""
    reason = f"provider_{word}"[:64]
    return "provider_unknown_error" if reason in _OURS else reason


def expiry(grant: Grant, now: datetime) -> datetime | None:
    """When a grant's access token ends, by our clock; None where the provider does not say."""
    return None if grant.expires_in is None else now + timedelta(seconds=grant.expires_in)
