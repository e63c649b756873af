"""Sealing rows of an older release anew, wired for `vaultd migrate`."""

from __future__ import annotations

from vaultd.app.names import token_names_of
from vaultd.connections.lookups import NoticeLookups
from vaultd.db import Database
from vaultd.errors import ConfigurationError, KeyringError, NoKeysYet
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring, open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.resealing import Resealing, Tell, connections
from vaultd.settings import Settings
from vaultd.terms import Clock, system_clock


async def reseal(settings: Settings, database: Database, *, tell: Tell, clock: Clock = system_clock) -> int:
    """Seal anew what an older release has sealed; gives how many connections.

    `database` is the owner's way in.

    Raises:
        ConfigurationError: there is something to seal anew, and the keyring cannot be opened here.
        TemporarilyUnavailable: the database is away.
    """
    async with database.transaction() as connection:
        if await connections.finished(connection):
            return 0
    keyring = await _keyring(settings, database)
    resealing = Resealing(
        database=database,
        data_keys=DataKeys(keyring),
        lookups=NoticeLookups(keyring=keyring, token_names=token_names_of(settings)),
        clock=clock,
    )
    return await resealing(tell)


async def _keyring(settings: Settings, database: Database) -> Keyring:
    try:
        backend = open_keyring_file(settings.keys.path)
        async with database.transaction() as connection:
            return await open_keyring(connection, backend)
    except NoKeysYet:
        # Connections without keys: nothing of them opens.
        raise ConfigurationError("The database has connections and no keys. Was the keyring table lost?") from None
    except KeyringError as error:
        raise ConfigurationError(
            "The schema is migrated. What the older release has sealed must be sealed anew, and the keyring cannot be"
            f" opened here: {error.description} Run `vaultd migrate` again where it can."
        ) from error
