"""What this process counts, and the port where it shows it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager

import structlog
import uvicorn

from vaultd.app.server import Limits, connections, server_config
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.connections import outbox
from vaultd.db import Database
from vaultd.errors import ConfigurationError, TemporarilyUnavailable
from vaultd.refresh import Ahead, Breaker, Wakeups
from vaultd.release.queue import Counter
from vaultd.telemetry.config import MetricsConfig
from vaultd.telemetry.metrics import Exhibit, Labels, Reading, Spread, Tally
from vaultd.web.metrics import PATH, MetricsPage

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LIMITS = Limits(connections=64, requests=16)


class Metrics:
    """Everything that is counted here; what is read from elsewhere is added by `show`."""

    def __init__(self) -> None:
        self.exhibit = Exhibit()
        self.decisions = Tally(
            "vaultd_token_decisions",
            "Decisions of the token endpoint, as their events stand in the audit log.",
            ("provider", "decision", "reason"),
        )
        self.durations = Spread(
            "vaultd_token_request_duration_seconds", "Token requests, until they are answered.", SECONDS, "status"
        )
        self.batches = Spread("vaultd_release_batch_size", "Requests that share a transaction of the counter.", SIZES)
        self.refreshes = Tally(
            "vaultd_refreshes", "Uses of a refresh token, or why none was made.", ("provider", "outcome")
        )
        for part in (self.decisions, self.durations, self.batches, self.refreshes):
            self.exhibit.show(part)

    def committed(self, drafts: Sequence[Draft]) -> None:
        """Count events that are committed."""
        add = self.decisions.add
        for draft in drafts:
            kind = draft.type
            # Told apart by identity: this is done for every exchange.
            if kind is EventType.TOKEN_EXCHANGED or kind is EventType.TOKEN_REFUSED or kind is EventType.OPERATOR_TOKEN:
                decision = "allowed" if draft.decision is Decision.ALLOWED else "refused"
                add((draft.connection or "", decision, draft.reason or ""), draft.count or 1)


class Watched:
    """What is read when somebody asks. Numbers from the database are the same in every process, and are not summed."""

    def __init__(
        self,
        *,
        hosts: Mapping[str, str],
        database: Database,
        counter: Counter,
        breaker: Breaker,
        wakeups: Wakeups,
        ahead: Ahead,
    ) -> None:
        self._hosts = hosts
        self._database = database
        self._counter = counter
        self._breaker = breaker
        self._wakeups = wakeups
        self._ahead = ahead
        self._backlog: dict[Labels, float] = {}
        self._outbox: dict[Labels, float] = {}

    async def look(self) -> None:
        """Read what only the database knows; nothing is shown of what cannot be read."""
        try:
            self._backlog = {(name,): count for name, count in (await self._ahead.backlog()).items()}
            async with self._database.transaction() as connection:
                self._outbox = {(): await outbox.waiting(connection)}
        except TemporarilyUnavailable:
            self._backlog, self._outbox = {}, {}

    def readings(self) -> Iterator[Reading]:
        """The gauges."""
        yield Reading(
            "vaultd_release_queue_length",
            "Requests that wait for the counter.",
            (),
            lambda: {(): self._counter.waiting},
        )
        yield Reading(
            "vaultd_breaker_open",
            "1 while a provider is left alone, or was and has not been seen well since.",
            ("provider",),
            lambda: {(name,): float(self._breaker.is_open(host)) for name, host in self._hosts.items()},
        )
        yield Reading(
            "vaultd_notifications_heard",
            "1 while waiters are woken by notifications, 0 while they poll.",
            (),
            lambda: {(): float(self._wakeups.listening)},
        )
        yield Reading(
            "vaultd_refresh_backlog",
            "Connections that are due to be renewed and not taken yet; the same in every process.",
            ("provider",),
            lambda: self._backlog,
        )
        yield Reading(
            "vaultd_revocations_waiting",
            "Tokens still to be revoked at their provider; the same in every process.",
            (),
            lambda: self._outbox,
        )


async def serve_metrics(
    config: MetricsConfig, metrics: Metrics, watched: Watched, *, workers: int, stack: AsyncExitStack
) -> None:
    """Serve `/metrics` from now on, on the first free one of as many ports as there are worker processes.

    Raises:
        ConfigurationError: none of the ports can be used.
    """
    for reading in watched.readings():
        metrics.exhibit.show(reading)
    bound = _bind(config, workers)
    stack.callback(bound.close)
    page = MetricsPage(exhibit=metrics.exhibit, look=watched.look)
    server = _Server(server_config(page, http=connections(LIMITS), grace=1, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[bound]))

    async def stop() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(stop)
    host, port = bound.getsockname()[:2]
    structlog.stdlib.get_logger("vaultd.metrics").info("metrics are shown", at=f"http://{host}:{port}{PATH}")


class _Server(uvicorn.Server):
    """A second server in one process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process's own server."""
        yield


def _bind(config: MetricsConfig, workers: int) -> socket.socket:
    """The first port that no other worker has; listening at once, since only that makes it ours."""
    said = ""
    for port in range(config.port, min(config.port + workers, 65_536)):
        bound = None
        try:
            family, kind, _, _, address = socket.getaddrinfo(config.host, port, type=socket.SOCK_STREAM)[0]
            bound = socket.socket(family, kind, socket.IPPROTO_TCP)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen()
        except OSError as error:
            said = error.strerror or ""
            if bound is not None:
                bound.close()
        else:
            return bound
    raise ConfigurationError(f"Port {config.port} on {config.host} cannot be used for metrics: {said}.")
