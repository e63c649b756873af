"""Runs the migrations over the connection that `vaultd migrate` hands in, or over `-x url=postgresql://…`."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from vaultd.db import Database, metadata
from vaultd.terms import Secret


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run(url: Secret) -> None:
    database = Database(url, pool_size=1, application_name="vaultd migrate")
    try:
        async with database.engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await database.aclose()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    asyncio.run(connect_and_run(Secret(context.get_x_argument(as_dictionary=True)["url"])))
