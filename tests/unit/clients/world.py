"""Clients as the token endpoint knows them, over a real replay memory or one that is never asked."""

from __future__ import annotations

from tests.unit.loopback_issuer import SetClock
from vaultd.clients.assertion import ClientAssertions
from vaultd.clients.config import ClientConfig
from vaultd.clients.registry import Clients
from vaultd.clients.signed import SignedByClients
from vaultd.db import Database
from vaultd.limits import FailureThrottle
from vaultd.outbound import Outbound
from vaultd.replay import ReplayMemory
from vaultd.sandbox.loopback import authorities
from vaultd.terms import Clock, Secret, system_clock

US = "https://vault.example.com"
NOWHERE = Secret("postgresql://nobody@127.0.0.1:1/nowhere")


def signed_by(
    configs: dict[str, ClientConfig],
    *,
    database: Database | None = None,
    outbound: Outbound | None = None,
    clock: Clock = system_clock,
) -> SignedByClients:
    replay = ReplayMemory(database=database or Database(NOWHERE), clock=clock)
    return SignedByClients(
        configs=configs, outbound=outbound or Outbound(ssl_context=authorities()), replay=replay, clock=clock
    )


def clients_of(
    configs: dict[str, ClientConfig], *, signed: SignedByClients | None = None, clock: SetClock | None = None
) -> Clients:
    assertions = ClientAssertions(public_url=US, signed=signed or signed_by(configs))
    return Clients(configs=configs, assertions=assertions, throttle=FailureThrottle(clock=clock or SetClock()))
