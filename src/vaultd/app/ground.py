"""What everything else stands on, opened when the process starts and closed with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from vaultd import schema
from vaultd.app.metrics import Metrics
from vaultd.app.names import token_names_of
from vaultd.audit.log import AuditLog
from vaultd.audit.read import Reader
from vaultd.audit.refusals import Refusals
from vaultd.clients.assertion import ClientAssertions
from vaultd.clients.limits import ClientLimits
from vaultd.clients.registry import Clients
from vaultd.clients.signed import SignedByClients
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.pending import PendingGrants
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring, make_keys_once, open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.limits import FailureThrottle
from vaultd.outbound import Outbound
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.replay import ReplayMemory
from vaultd.serving_role import check_role
from vaultd.settings import Settings
from vaultd.subjects.possession import Possession
from vaultd.subjects.store import SubjectStore
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Clock
from vaultd.web.refused import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The parts that several others use."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    database: Database
    keyring: Keyring
    data_keys: DataKeys
    pending: PendingGrants
    lookups: NoticeLookups
    outbound: Outbound
    replay: ReplayMemory
    log: AuditLog
    reader: Reader
    refusals: Refusals
    refused: Refused
    verifier: SubjectVerifier
    possession: Possession
    clients: Clients
    limits: ClientLimits
    signed: SignedByClients
    providers: Providers
    oauth: OAuthClient
    subjects: SubjectStore


async def lay_ground(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Ground:
    """Open them all.

    Raises:
        ConfigurationError: the keyring, the schema or the serving role is not as it must be.
        TemporarilyUnavailable: the database is away.
    """
    database = Database(settings.database_url, tls=settings.database.tls)
    stack.push_async_callback(database.aclose)
    keyring = await _open_keys(database, settings, clock)
    outbound = Outbound()
    stack.push_async_callback(outbound.aclose)
    data_keys = DataKeys(keyring)
    metrics = Metrics()
    log = AuditLog(database=database, keyring=keyring, clock=clock, watch=metrics.committed)
    stack.push_async_callback(_quietly, log.close)
    refusals = Refusals(log=log, clock=clock)
    stack.push_async_callback(_quietly, refusals.flush_everything)
    replay = ReplayMemory(database=database, clock=clock)
    signed = SignedByClients(configs=settings.clients, outbound=outbound, replay=replay, clock=clock)
    stack.push_async_callback(signed.aclose)
    verifier = SubjectVerifier(issuers=settings.issuers, outbound=outbound, clock=clock)
    stack.push_async_callback(verifier.aclose)
    subjects = SubjectStore(database=database, keyring=keyring, data_keys=data_keys, clock=clock)
    return Ground(
        settings=settings,
        clock=clock,
        metrics=metrics,
        database=database,
        keyring=keyring,
        data_keys=data_keys,
        pending=PendingGrants(data_keys=data_keys, keyring=keyring),
        lookups=NoticeLookups(keyring=keyring, token_names=token_names_of(settings)),
        outbound=outbound,
        replay=replay,
        log=log,
        reader=Reader(keyring=keyring),
        refusals=refusals,
        refused=Refused(refusals=refusals, log=log, subjects=subjects, clock=clock),
        verifier=verifier,
        possession=Possession(replay=replay, clock=clock),
        clients=Clients(
            configs=settings.clients,
            assertions=ClientAssertions(public_url=settings.public_url, signed=signed),
            throttle=FailureThrottle(clock=clock),
        ),
        limits=ClientLimits(clock=clock, clients=len(settings.clients)),
        signed=signed,
        providers=Providers(configs=settings.providers),
        oauth=OAuthClient(outbound=outbound, clock=clock),
        subjects=subjects,
    )


async def _open_keys(database: Database, settings: Settings, clock: Clock) -> Keyring:
    backend = open_keyring_file(settings.keys.path)
    async with database.transaction() as connection:
        await schema.check(connection)
        await check_role(connection)
        await make_keys_once(connection, backend, now=clock())
        return await open_keyring(connection, backend)


async def _quietly(close: Callable[[], Awaitable[None]]) -> None:
    """At the end of the process the database may be away already; the log's chain shows what is missing."""
    with suppress(TemporarilyUnavailable):
        await close()
