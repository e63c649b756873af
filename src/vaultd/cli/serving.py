"""`vaultd serve`: everything that can be wrong is told before the first process starts."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from vaultd.app.factory import from_environment
from vaultd.app.server import connections, server_config
from vaultd.cli.database import preflight
from vaultd.cli.files import load_settings
from vaultd.cli.memory import keep_memory_private
from vaultd.errors import ConfigurationError
from vaultd.telemetry import configure_logging

BACKLOG = 2048
GRACE = 10
"""Seconds that requests under way have when the server stops."""


http = connections()
"""Those of this process; each process that serves has its own."""


def run(config: Path, *, host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        VaultdError: the configuration, the database or the keys are not usable, or the port is taken.
    """
    _log()
    settings = load_settings(config)
    bound = bind(host, port)
    try:
        asyncio.run(preflight(settings))
        # Workers read the file themselves.
        os.environ["VAULTD_CONFIG"] = str(config.resolve())
        os.environ["VAULTD_WORKERS"] = str(workers)
        _serve(bound, workers)
    finally:
        bound.close()


def application() -> object:
    """The app of VAULTD_CONFIG with its logs set up; each process that serves calls it once."""
    keep_memory_private()
    _log()
    return from_environment()


def _log() -> None:
    configure_logging(level=os.environ.get("VAULTD_LOG_LEVEL", "info"), json=not sys.stderr.isatty())


def bind(host: str, port: int) -> socket.socket:
    """A listening socket's beginning. Raises `ConfigurationError` when the address cannot be used."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        # The protocol is named, because asyncio sends small answers at once only on sockets that say they are TCP.
        bound = socket.socket(family, kind, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise ConfigurationError(f"The address {host} cannot be used: {error.strerror}.") from None
    try:
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigurationError(
            f"Port {port} on {host} cannot be used: {error.strerror}. Name another with --port."
        ) from None
    bound.set_inheritable(True)
    return bound


def _serve(bound: socket.socket, workers: int) -> None:
    config = server_config(
        "vaultd.cli.serving:application",
        http="vaultd.cli.serving:http",
        grace=GRACE,
        factory=True,
        fd=bound.fileno(),
        workers=workers,
        # A forwarded address is believed only where the operator named the proxies.
        proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,
    )
    server = uvicorn.Server(config)
    if workers == 1:
        server.run(sockets=[bound])
    else:
        Multiprocess(config, sockets=[bound]).run()
    if workers == 1 and not server.started:
        raise ConfigurationError("vaultd did not start; the log says why.")
