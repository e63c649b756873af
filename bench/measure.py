"""Runs in turn, each with the CPU time and the commits that it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.failed import BenchError
from bench.load import Sample
from bench.parts import Part
from bench.processes import cpu_seconds, memory_mib
from vaultd.sandbox.postgres import RunningPostgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured run. CPU is in microseconds per request.

    `commits` is per request, None where nothing is audited; `memory_mib` is that of the server's largest process.
    """

    part: str
    connections: int
    round: int
    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: float
    postgres_cpu_us: float
    commits: float | None
    memory_mib: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run, and how long."""

    connections: Sequence[int]
    rounds: int
    seconds: int


class Bench:
    """Runs the parts in turn: all of them once, then all of them again."""

    def __init__(self, postgres: RunningPostgres, *, say: Callable[[str], None]) -> None:
        self._postgres = postgres
        self._say = say

    def __call__(self, parts: Sequence[Part], plan: Plan) -> Iterator[Run]:
        """Raises `BenchError` when a request failed, or an exchange has no event: then no figure means anything."""
        for connections in plan.connections:
            for number in range(1, plan.rounds + 1):
                for part in parts:
                    if part.takes(connections):
                        yield self._run(part, connections, number, plan)

    def _run(self, part: Part, connections: int, number: int, plan: Plan) -> Run:
        part.prepare(connections, plan.seconds)
        since = self._now()
        server, postgres = self._cpu(part)
        sample = part.run(connections, plan.seconds)
        server_after, postgres_after = self._cpu(part)
        used = server_after - server if sample.cpu_seconds is None else sample.cpu_seconds
        if sample.failed or not sample.requests:
            raise BenchError(f"{part.name}, {connections} connections: {sample.failed} failed of {sample.requests}")
        run = Run(
            part=part.name,
            connections=connections,
            round=number,
            requests=sample.requests,
            rate=sample.requests / sample.seconds,
            p50_ms=sample.p50_ms,
            p99_ms=sample.p99_ms,
            failed=sample.failed,
            cpu_us=used / sample.requests * 1e6,
            postgres_cpu_us=(postgres_after - postgres) / sample.requests * 1e6,
            commits=None if part.audited_in is None else self._commits(part.audited_in, since, sample),
            memory_mib=None if part.pid is None else memory_mib(part.pid),
        )
        self._say(f"{part.name:<22} {connections:>3} connections, round {number}: {run.rate:>8,.0f} requests/s")
        return run

    def _cpu(self, part: Part) -> tuple[float, float]:
        return cpu_seconds(part.pid) if part.pid is not None else 0.0, cpu_seconds(self._postgres.pid)

    def _now(self) -> str:
        return self._postgres.run("SELECT clock_timestamp()").strip()

    def _commits(self, database: str, since: str, sample: Sample) -> float:
        """Transactions that held events, by the transaction ids that Postgres stamped on their rows."""
        # The month lets Postgres use its index, which matters once there are millions of events.
        counted = self._postgres.run(
            f"""SELECT count(*), count(DISTINCT xmin::text) FROM events WHERE at >= '{since}'
                AND period >= date_trunc('month', timestamptz '{since}' AT TIME ZONE 'UTC')""",  # noqa: S608 - its own
            database=database,
        )
        events, transactions = map(int, counted.strip().split("|"))
        if events < sample.requests:
            raise BenchError(f"{sample.requests} exchanges were answered, and {events} events are in the log")
        return transactions / events
