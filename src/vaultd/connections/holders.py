"""Who lives on a grant: several connections may, of one user or of many, and consents that wait to be completed.

A provider keeps one grant for each person and app, whatever vaultd calls the app. So they are looked for by the
account at the provider, under the names of all tables that are of this app.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.grants import Brought
from vaultd.connections.kept import erase_kept
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.pending import PendingGrants
from vaultd.connections.sealing import Opened, data_key_of, known_account, open_connection, open_known
from vaultd.connections.store import select_rows
from vaultd.connections.table import ConnectionRow, connections_table, pending_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.terms import Clock, Secret

_c, _p = connections_table.c, pending_table.c


Shared: TypeAlias = Callable[[str, str], bool]
"""Whether two accounts, each by its id, may live on one grant."""


@dataclass(frozen=True, slots=True)
class Names:
    """The tables of one app at a provider. In those `alike` an account has one id, in those `unlike` maybe another.

    `shared` is for a provider whose accounts are known by several values together: a grant may be that of one of them.
    Without, two accounts have a grant in common only if they are one.
    """

    alike: frozenset[str]
    unlike: frozenset[str] = frozenset()
    shared: Shared | None = None

    def all(self) -> frozenset[str]:
        """Both."""
        return self.alike | self.unlike

    def may_share(self, one: str, other: str) -> bool:
        """Whether two accounts may live on one grant."""
        return one == other or (self.shared is not None and self.shared(one, other))


class Holders:
    """Looks for them."""

    def __init__(self, *, data_keys: DataKeys, pending: PendingGrants, lookups: NoticeLookups, clock: Clock) -> None:
        self._data_keys = data_keys
        self._pending = pending
        self._lookups = lookups
        self._clock = clock

    async def exist(self, connection: AsyncConnection, names: Names, account_id: str | None) -> bool:
        """Whether anybody lives on the grant of this account, or may do so.

        An account that is not known may be anyone's: without `account_id` everybody counts, and whoever's account is
        not known counts always.
        """
        # One after the other: mostly the first decides, and there may be as many as the provider has connections.
        rows = await connection.stream(self._living(names, account_id))
        try:
            async for row in rows.mappings():
                if self._may_be(ConnectionRow.from_mapping(row), names, account_id):
                    return True
        finally:
            await rows.close()
        async for provider, brought in self._waiting(connection, names):
            comparable = account_id and brought.account_id and provider in names.alike
            if not comparable or names.may_share(brought.account_id, account_id or ""):
                return True
        return False

    async def share(
        self, connection: AsyncConnection, names: Names, account_id: str | None, tokens: Collection[Secret]
    ) -> bool:
        """Whether somebody holds one of these very tokens: a provider may give one to all who ask for the account.

        Whoever's account is not known is looked at too, and without `account_id` everybody is.
        """
        own = {token.reveal() for token in tokens}
        rows = await connection.stream(self._living(names, account_id))
        try:
            async for row in rows.mappings():
                if own & self._held(ConnectionRow.from_mapping(row)):
                    return True
        finally:
            await rows.close()
        async for _, brought in self._waiting(connection, names):
            if own & _tokens(brought):
                return True
        return False

    async def forget_kept(self, connection: AsyncConnection, names: Names, account_id: str) -> None:
        """Erase what is kept of broken connections that lived on this account's grant, which vaultd has ended."""
        broken = select_rows().where(_c.provider.in_(names.all()), _c.kept.is_not(None)).order_by(_c.id)
        rows = [ConnectionRow.from_mapping(row) for row in (await connection.execute(broken)).mappings()]
        await erase_kept(connection, [row.id for row in rows if self._was_on(row, names, account_id)])

    def _living(self, names: Names, account_id: str | None) -> Select[Any]:
        if not account_id or names.shared is not None:
            return self._usable(names)
        known = _c.account_lookup.in_(self._lookups_of(names, account_id))
        return self._usable(names).where(or_(known, _c.account_lookup.is_(None), _c.provider.in_(names.unlike)))

    def _usable(self, names: Names) -> Select[Any]:
        """Connections whose token is good, or that can have a new one."""
        good = and_(_c.access_token.is_not(None), or_(_c.expires_at.is_(None), _c.expires_at > self._clock()))
        return select_rows().where(_c.provider.in_(names.all()), or_(good, _c.refresh_token.is_not(None)))

    def _lookups_of(self, names: Names, account_id: str) -> list[bytes]:
        return [self._lookups.account(name, account_id) for name in names.alike]

    async def _waiting(self, connection: AsyncConnection, names: Names) -> AsyncIterator[tuple[str, Brought]]:
        """What was granted for consents that can still be completed; there are as many as ten minutes bring."""
        usable = _p.stage == "returned", _p.granted.is_not(None), _p.expires_at > self._clock()
        ids = (await connection.execute(select(_p.id).where(_p.provider.in_(names.all()), *usable))).scalars().all()
        for pending_id in ids:
            try:
                found = await self._pending.find(connection, id=pending_id)
                if found is not None and found.granted is not None:
                    document = await self._pending.open_grant(connection, found)
                    yield found.provider, Brought.from_json(document)
            except CannotOpen:
                # What does not open cannot be completed either.
                continue

    def _may_be(self, row: ConnectionRow, names: Names, account_id: str | None) -> bool:
        """Whether a row that was found by its clear columns is one that lives on the account's grant."""
        try:
            opened = open_connection(data_key_of(row, self._data_keys), row)
        except CannotOpen:
            # Nobody is given what does not open, so it keeps no grant alive.
            return False
        theirs = known_account(opened.account_id)
        comparable = account_id and theirs is not None and row.provider in names.alike
        return not comparable or names.may_share(theirs or "", account_id or "")

    def _was_on(self, row: ConnectionRow, names: Names, account_id: str) -> bool:
        if row.provider not in names.alike:
            return False
        try:
            theirs = known_account(open_known(data_key_of(row, self._data_keys), row).account_id)
        except CannotOpen:
            return False
        return theirs is not None and names.may_share(theirs, account_id)

    def _held(self, row: ConnectionRow) -> set[str]:
        try:
            return _tokens(open_connection(data_key_of(row, self._data_keys), row))
        except CannotOpen:
            # Nobody is given what does not open.
            return set()


def _tokens(grant: Brought | Opened) -> set[str]:
    return {token.reveal() for token in (grant.access_token, grant.refresh_token) if token is not None}
