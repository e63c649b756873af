"""What is stored of a call to the provider: how the connection ended, and tokens of an answer that was of no use.

Whatever was issued is stored, or put into the outbox, unless another process has renewed the grant meanwhile
(`not_stored`). A refresh token that came takes the place of the one that it was got with even where nothing else in the
answer can be used, since the older one may be used up. The rest is revoked as far as that leaves the grant alive
(`revoke.sharing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import lease, outbox, store
from vaultd.connections.kept import kept_for
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.refresh_end import next_end
from vaultd.connections.sealing import PURPOSE, Opened, data_key_of, known_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key
from vaultd.persistence import persist
from vaultd.providers.issued import Issued
from vaultd.providers.registry import Provider, Providers
from vaultd.sizes import LONGEST_TOKEN
from vaultd.subjects.store import SubjectStore
from vaultd.telemetry.metrics import Tally
from vaultd.terms import Clock, Scopes, Secret

ENDED_THERE = "revoked_at_provider"
"""The reason of a connection that ends because the provider itself does not accept its token."""
UNUSABLE = "unusable_answer"
"""The reason in the event of a refresh of which only the refresh token is stored."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a row held when the provider was called."""

    provider: Provider
    key: Key
    opened: Opened


class CallResults:
    """Writes down how calls ended, each in one transaction with its event."""

    def __init__(
        self,
        *,
        log: AuditLog,
        data_keys: DataKeys,
        lookups: NoticeLookups,
        providers: Providers,
        subjects: SubjectStore,
        keep_broken: timedelta,
        outcomes: Tally,
        clock: Clock,
    ) -> None:
        self._log = log
        self._data_keys = data_keys
        self._lookups = lookups
        self._providers = providers
        self._subjects = subjects
        self._keep_broken = keep_broken
        self._outcomes = outcomes
        self._clock = clock

    def open(self, row: ConnectionRow) -> Stored:
        """Open a row, and find its provider.

        Raises:
            CannotOpen: its bytes were moved or altered.
            InvalidTarget: the provider is not configured, or not as the connection needs it.
        """
        key = data_key_of(row, self._data_keys)
        opened = open_connection(key, row)
        return Stored(self._providers.get(row.provider).at(opened.metadata), key, opened)

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

    async def store(
        self,
        connection: AsyncConnection,
        row: ConnectionRow,
        fence: int,
        stored: Stored,
        issued: Sequence[Issued],
        *,
        scopes: Scopes,
        expires_at: datetime | None,
        again: bool,
        replan: bool = True,
    ) -> bool:
        """Store what a row holds from now on as its next revision, with which the lease ends.

        Gives whether it was stored: where the row has moved meanwhile, or the lease was lost, what was `issued` is seen
        to (`not_stored`).
        """
        written = await store.store_refreshed(
            connection,
            row,
            stored.key,
            fence=fence,
            granted_scopes=scopes,
            expires_at=expires_at,
            opened=stored.opened,
            lookups=self._lookups.of(row.provider, stored.opened),
            replan=replan,
            now=self._clock(),
        )
        if not written:
            await self.not_stored(connection, row, stored.opened, issued, again=again)
        return written

    async def break_connection(
        self,
        row: ConnectionRow,
        *,
        reason: str,
        stored: Stored | None = None,
        fence: int | None = None,
        issued: Sequence[Issued] = (),
    ) -> None:
        """Mark the grant as over unless the row has moved. `stored` is kept for a while, so that it can be undone."""

        async def write(_: bool = False) -> None:  # noqa: FBT001, FBT002 - `persist` calls it
            kept = self._kept(row, stored) if stored is not None else None
            async with self._log.transaction() as transaction:
                connection = transaction.connection
                if await store.break_connection(connection, row, fence=fence, reason=reason, kept=kept):
                    draft = await self.draft(connection, row, EventType.CONNECTION_BROKEN)
                    await transaction.append(replace(draft, reason=reason))
                    self.count(row, "broken")
                if stored is not None:
                    await self.give_away(connection, row, stored.opened, issued)

        # Only what is nowhere else is worth waiting for.
        await (persist(write) if issued else write())

    async def keep_issued(self, row: ConnectionRow, fence: int, stored: Stored, issued: Sequence[Issued]) -> bool:
        """End the lease of a call whose answer is of no use, and keep what was issued in it.

        Gives whether there was a refresh token to store. Without one the intent stays: the provider may have rotated.
        """
        renewed = _renewed(stored.opened, issued)
        held = [stored.opened.access_token, stored.opened.refresh_token, renewed]
        rest = [_without(tokens, held) for tokens in issued]

        async def write(again: bool) -> None:  # noqa: FBT001 - `persist` calls it
            async with self._log.transaction() as transaction:
                connection = transaction.connection
                if renewed is None:
                    await lease.give_back(connection, row, fence=fence, keep_intent=True)
                else:
                    newer = self._with_refresh_token(stored, renewed)
                    if not await self.store(
                        connection,
                        row,
                        fence,
                        newer,
                        issued,
                        scopes=row.granted_scopes,
                        expires_at=row.expires_at,
                        again=again,
                        # Not renewed: tries go on becoming rarer.
                        replan=False,
                    ):
                        return
                    draft = await self.draft(connection, row, EventType.TOKEN_REFRESHED)
                    await transaction.append(
                        replace(draft, decision=Decision.REFUSED, reason=UNUSABLE, revision=row.revision + 1)
                    )
                await self.give_away(connection, row, stored.opened, rest)

        await persist(write)
        return renewed is not None

    async def not_stored(
        self,
        connection: AsyncConnection,
        row: ConnectionRow,
        opened: Opened,
        issued: Sequence[Issued],
        *,
        again: bool,
    ) -> None:
        """The row is not as it was when the provider was called: see to it that nothing outlives the grant (C7).

        As long as the grant stands, nothing is revoked at the provider: that would end the grant there. Then either
        our own first try was committed, or the lease went to another, who has asked for tokens of the same grant.
        """
        current = await store.get(connection, row.id)
        if current is not None and (current.generation, current.status) == (row.generation, "connected"):
            self.count(row, "refreshed" if again and current.revision > row.revision else "superseded")
            return
        self.count(row, "superseded")
        await self.give_away(connection, row, opened, issued)

    async def give_away(
        self, connection: AsyncConnection, row: ConnectionRow, opened: Opened, issued: Sequence[Issued]
    ) -> None:
        """To be revoked at the provider: only what it gave now, for what we asked with may be a replacement's too."""
        for tokens in issued:
            # Either is revoked by itself; where only a refresh token came, it stands for both.
            access_token = tokens.access_token or tokens.refresh_token
            if access_token is None:
                continue
            await outbox.put(
                connection,
                provider=row.provider,
                subject_id=row.subject_id,
                key=await self._data_keys.create(connection, PURPOSE),
                access_token=access_token,
                refresh_token=tokens.refresh_token,
                metadata=opened.metadata,
                account_id=known_account(opened.account_id),
                now=self._clock(),
            )

    def _with_refresh_token(self, stored: Stored, renewed: Secret) -> Stored:
        rotates = stored.provider.config.rotation != "never"
        end = next_end(stored.opened.refresh_end, None, replaced=True, rotates=rotates, now=self._clock())
        return replace(stored, opened=replace(stored.opened, refresh_token=renewed, refresh_end=end))

    def _kept(self, row: ConnectionRow, stored: Stored) -> dict[str, Any]:
        """What is kept of a connection that its provider refused, so that an operator can undo it."""
        return kept_for(stored.key, row, stored.opened, now=self._clock(), lasts=self._keep_broken)


def _renewed(opened: Opened, issued: Sequence[Issued]) -> Secret | None:
    """The newest refresh token that can be stored; None where it is the one that was sent."""
    sent = opened.refresh_token.reveal() if opened.refresh_token is not None else None
    came = [tokens.refresh_token for tokens in issued if tokens.refresh_token is not None]
    newest = came[-1] if came else None
    if newest is None or newest.reveal() == sent or len(newest.reveal()) > LONGEST_TOKEN:
        return None
    return newest


def _without(tokens: Issued, held: Sequence[Secret | None]) -> Issued:
    """What is left to be revoked, once those that the row holds are taken away."""
    values = {secret.reveal() for secret in held if secret is not None}

    def left(token: Secret | None) -> Secret | None:
        return None if token is None or token.reveal() in values else token

    return Issued(left(tokens.access_token), left(tokens.refresh_token))
