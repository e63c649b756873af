"""uvicorn's settings, as every port of vaultd has them."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias, cast

import uvicorn
from starlette.types import ASGIApp

from vaultd.app.server.limits import Limits
from vaultd.app.server.places import Places
from vaultd.app.server.protocol import BoundedProtocol

Connections: TypeAlias = partial[BoundedProtocol]
"""Makes the connections of one server in one process."""


def connections(limits: Limits | None = None, *, protocol: type[BoundedProtocol] = BoundedProtocol) -> Connections:
    """The connections of one server, `limits` being for all of them together."""
    return partial(protocol, places=Places(limits or Limits()))


def server_config(app: ASGIApp | str, *, http: Connections | str, grace: int, **more: Any) -> uvicorn.Config:
    """A server of `app`; `grace` is how many seconds requests have when it stops.

    Where several processes serve, `app` and `http` are where to find them: what a new process has to read before it
    starts must be little, since it is given up if it does not report soon.
    """
    return uvicorn.Config(
        cast("Any", app),
        # Not uvicorn's `limit_concurrency`, which refuses everybody as soon as anybody holds many connections.
        http=cast("Any", http),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace,
        **more,
    )
