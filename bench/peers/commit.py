"""The floor under one durable record: `INSERT` and `COMMIT` of a single row over asyncpg, one connection.

python -m bench.peers.commit DATABASE_URL SECONDS

The statement is prepared and commits itself, so that each costs one round trip and one flush of the log: nothing that
is durable in Postgres can be quicker over this driver. Prints what `bench.load.Sample` holds, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import asyncpg
import uvloop

ROW_BYTES = 600
"""What an event of an exchange has."""
TABLE = "CREATE TABLE IF NOT EXISTS bench_commits (seq bigint PRIMARY KEY, bytes bytea NOT NULL)"


async def insert_for(url: str, seconds: float) -> dict[str, Any]:
    """Insert rows one after the other until the time is up."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(TABLE)
        await connection.execute("TRUNCATE bench_commits")
        statement = await connection.prepare("INSERT INTO bench_commits VALUES ($1, $2)")
        return await _timed(statement.fetch, seconds)
    finally:
        await connection.close()


async def _timed(insert: Callable[[int, bytes], Awaitable[object]], seconds: float) -> dict[str, Any]:
    row, took = os.urandom(ROW_BYTES), []
    cpu, began = time.process_time(), time.perf_counter()
    now, end = began, began + seconds
    for seq in count():
        await insert(seq, row)
        before, now = now, time.perf_counter()
        took.append(now - before)
        if now >= end:
            break
    took.sort()
    return {
        "requests": len(took),
        "seconds": now - began,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[len(took) * 99 // 100] * 1000,
        "failed": 0,
        "cpu_seconds": time.process_time() - cpu,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(insert_for(sys.argv[1], float(sys.argv[2])))) + "\n")
    sys.stdout.flush()
