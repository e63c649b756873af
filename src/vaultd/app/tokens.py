"""The token endpoint's recipes, wired."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack

from vaultd.app.ground import Ground
from vaultd.app.refreshing import Refreshing
from vaultd.clients.refused import RefusedClients
from vaultd.connections.labels import Labels
from vaultd.connections.narrowed import Narrowed
from vaultd.connections.uses import Uses
from vaultd.exchange import Exchange
from vaultd.exchange.admission import Admission
from vaultd.exchange.assertion import Assertions
from vaultd.exchange.parties import Parties
from vaultd.jose import SigningKey
from vaultd.keys.keyring import Keyring
from vaultd.operator_tokens import OperatorTokens
from vaultd.release.decide import Judge
from vaultd.release.queue import Counter
from vaultd.release.statement import Statement
from vaultd.subjects.away import AwaySwitch


def make_away(ground: Ground) -> AwaySwitch:
    """The users' switch for agents that act while they are away."""
    return AwaySwitch(database=ground.database, log=ground.log, clock=ground.clock)


def make_assertions(ground: Ground, away: AwaySwitch) -> Assertions:
    """Subjects that clients assert; the page asks it too, whom it is about."""
    return Assertions(
        public_url=ground.settings.public_url,
        configs=ground.settings.clients,
        issuers=ground.settings.issuers,
        signed=ground.signed,
        away=away,
    )


def make_counter(ground: Ground, stack: AsyncExitStack) -> Counter:
    """The release counter."""
    labels = Labels(data_keys=ground.data_keys)
    judge = Judge(labels.of, labels.matches, labels.deliver)
    narrowed = Narrowed(data_keys=ground.data_keys)
    statement = Statement(log=ground.log, judge=judge, narrowed=narrowed, clock=ground.clock)
    counter = Counter(statement=statement, sizes=ground.metrics.batches)
    stack.push_async_callback(counter.drain)
    return counter


def make_exchange(
    ground: Ground, assertions: Assertions, counter: Counter, refreshing: Refreshing, stack: AsyncExitStack
) -> Exchange:
    """The exchange."""
    uses = Uses(database=ground.database)
    stack.push_async_callback(uses.drain)
    parties = Parties(
        clients=ground.clients,
        verifier=ground.verifier,
        possession=ground.possession,
        assertions=assertions,
        subjects=ground.subjects,
        limits=ground.limits,
        token_endpoint=f"{ground.settings.public_url}/oauth/token",
    )
    return Exchange(
        public_url=ground.settings.public_url,
        admission=Admission(parties=parties, providers=ground.providers),
        counter=counter,
        refresher=refreshing.refresher,
        narrower=refreshing.narrower,
        scoper=refreshing.scoper,
        renewer=refreshing.renewer,
        uses=uses,
        refused=RefusedClients(clients=ground.clients, refusals=ground.refusals),
        clock=ground.clock,
    )


def make_operator_tokens(ground: Ground, keys: Collection[SigningKey]) -> OperatorTokens:
    """The tokens of operators' programs."""
    return OperatorTokens(
        public_url=ground.settings.public_url,
        clients=ground.clients,
        limits=ground.limits,
        keys=keys,
        log=ground.log,
        refused=RefusedClients(clients=ground.clients, refusals=ground.refusals),
        clock=ground.clock,
    )


def signing_keys(keyring: Keyring) -> list[SigningKey]:
    """The active key first: it signs, the others still verify."""
    entries = sorted(keyring.entries(), key=lambda entry: entry.state != "active")
    return [
        SigningKey(kid=str(entry.key.id), seed=entry.key.material) for entry in entries if entry.purpose == "signing"
    ]
