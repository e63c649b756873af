"""Words of clients that the provider refused a token before its end: which of them are heeded, and how often.

Anyone may say so, and each renewal uses up a refresh token. So for each connection there is a bounded number in a time,
counted for all replicas where nothing can be taken back (`replay`), and a smaller one for each client, so that none can
use up what another one may need. What is counted are calls: whoever finds the token replaced already costs nothing.
A token that a provider gave once more when it was renewed is not renewed again: a keyed hash of it is remembered.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.narrowed import Narrowed, NarrowedRow
from vaultd.connections.sealing import data_key_of, open_delivery
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen, Replayed, SlowDown
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.replay import ReplayMemory
from vaultd.terms import Clock, Secret

WINDOW = timedelta(minutes=15)
MOST = 6
"""Calls that words of clients cause in a window, for one connection."""
MOST_OF_A_CLIENT = 3
"""Those of them that one client's words cause."""
IN_VAIN_FOR = timedelta(days=1)
"""For so long a token that came again is not renewed by a client's word."""
REPORTED = "reported"
"""The reason in the event of a refresh that a client's word caused."""

_IN_VAIN = "renewed in vain"
_START = datetime(1970, 1, 1, tzinfo=UTC)

Flight: TypeAlias = tuple[int, int, str] | None
"""What callers must have in common to share one call: the row as they saw it, and the client; None without a claim."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A client's word that the provider refused this token."""

    token: Secret
    client_id: str

    def flight(self, row: ConnectionRow) -> Flight:
        """By what callers with such a claim are told apart, beside the connection."""
        return row.generation, row.revision, self.client_id


class Claims:
    """Holds claims against rows, and counts the calls that they cause."""

    def __init__(self, *, keyring: Keyring, data_keys: DataKeys, replay: ReplayMemory, clock: Clock) -> None:
        self._keyring = keyring
        self._data_keys = data_keys
        self._narrowed = Narrowed(data_keys=data_keys)
        self._replay = replay
        self._clock = clock

    def is_stored(self, row: ConnectionRow, claim: Claim) -> bool:
        """Whether it is the stored token; of a row that does not open, nobody renews anything."""
        try:
            stored = open_delivery(data_key_of(row, self._data_keys), row).access_token
        except CannotOpen:
            return False
        return stored.is_equal(claim.token)

    def is_kept(self, row: ConnectionRow, kept: NarrowedRow, claim: Claim) -> bool:
        """The same for a token that is kept beside the stored one."""
        try:
            _, found = self._narrowed.open(row, kept)
        except CannotOpen:
            return False
        return found is not None and found.token.is_equal(claim.token)

    async def count(self, connection: AsyncConnection, row: ConnectionRow, claim: Claim) -> None:
        """Count one call, if the caller's transaction commits.

        Raises:
            SlowDown: there were as many as may be, and the call is not to be made.
            Replayed: it was made for this token, which then came again.
        """
        now = self._clock()
        if await self._replay.is_used(connection, _IN_VAIN, str(row.id), self._name(row, claim)):
            raise Replayed
        window = (now - _START) // WINDOW
        end = _START + (window + 1) * WINDOW
        counted = (("renewal by a client", f"{row.id} {claim.client_id}", MOST_OF_A_CLIENT), ("renewal", row.id, MOST))
        try:
            for purpose, whose, most in counted:
                places = [f"{window} {place}" for place in range(most)]
                await self._replay.use_one_within(connection, purpose, str(whose), places, until=end)
        except Replayed:
            retry_after = int((end - now).total_seconds()) + 1
            raise SlowDown(retry_after=retry_after, reason="renewal_limit") from None

    async def look_at(self, connection: AsyncConnection, row: ConnectionRow, claim: Claim, came: Secret) -> None:
        """Remember, in the transaction that stores what a call brought, if it is the token that was to be replaced."""
        if came.is_equal(claim.token):
            until = self._clock() + IN_VAIN_FOR
            with suppress(Replayed):
                await self._replay.use_within(connection, _IN_VAIN, str(row.id), self._name(row, claim), until=until)

    def _name(self, row: ConnectionRow, claim: Claim) -> str:
        return self._keyring.lookup(_IN_VAIN, row.id, str(row.generation), claim.token.reveal()).hex()
