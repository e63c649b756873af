"""`vaultd import`, wired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from vaultd.app.ground import lay_ground
from vaultd.app.refreshing import make_refreshing
from vaultd.connections.imported import ImportedGrants
from vaultd.importing import Importer, Trial
from vaultd.importing.accounts import Accounts
from vaultd.importing.line import LineReader
from vaultd.settings import Settings
from vaultd.terms import Clock, system_clock


@dataclass(frozen=True, slots=True)
class Importing:
    """The parts of one run."""

    importer: Importer
    accounts: Accounts
    trial: Trial


@asynccontextmanager
async def open_importing(settings: Settings, *, rate: int, clock: Clock = system_clock) -> AsyncIterator[Importing]:
    """Open database, keyring and log as the service does, as the serving role.

    Raises:
        ConfigurationError: the keyring, the schema or the serving role is not as it must be.
        TemporarilyUnavailable: the database is away.
    """
    async with AsyncExitStack() as stack:
        ground = await lay_ground(settings, clock, stack)
        refreshing = make_refreshing(ground, stack)
        issuers = {name: issuer.issuer for name, issuer in settings.issuers.items()}
        yield Importing(
            importer=Importer(
                database=ground.database,
                log=ground.log,
                subjects=ground.subjects,
                grants=ImportedGrants(
                    keyring=ground.keyring, data_keys=ground.data_keys, lookups=ground.lookups, clock=clock
                ),
                reader=LineReader(issuers=issuers, providers=ground.providers),
                clock=clock,
            ),
            accounts=Accounts(providers=ground.providers, oauth=ground.oauth, clock=clock, rate=rate),
            trial=Trial(database=ground.database, refresher=refreshing.refresher, rate=rate),
        )
