"""`vaultd connections`."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that `vaultd --help` is quick

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from vaultd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, group
from vaultd.cli.output import say, write_json

connections = group("Users' connections.")


@connections.callback()
def _root() -> None:
    """Keep `retry` a command of its own: typer would take a group of one for the command itself."""


@connections.command()
def retry(
    connection_id: Annotated[UUID, typer.Argument(metavar="ID", help="The connection's id.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Connect again what vaultd took for ended, with the tokens that were kept.

    The next use finds out whether the provider takes them. It leaves an event.

    Example: vaultd connections retry 0b1f6c1e-5c0a-4f0e-9d2b-7a1d5e2c3f40
    """
    import asyncio

    from vaultd.cli.files import load_settings
    from vaultd.cli.undone import retry_connection

    provider = asyncio.run(retry_connection(load_settings(config), connection_id))
    if as_json:
        write_json({"id": str(connection_id), "connection": provider, "status": "connected"})
    else:
        say(f"{connection_id} at {provider} is connected again. Its next use finds out whether it is good.")
