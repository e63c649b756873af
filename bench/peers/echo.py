"""The floor: an ASGI app that answers with the body it got, under uvicorn as `vaultd serve` sets it up.

python -m bench.peers.echo PORT
"""

from __future__ import annotations

import sys

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from vaultd.cli.serving import bind


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer with the body."""
    if scope["type"] != "http":
        return
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message["body"]
        more = message["more_body"]
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())],
            "trailers": False,
        }
    )
    await send({"type": "http.response.body", "body": bytes(body), "more_body": False})


def main() -> None:
    """Serve until told to stop, with the settings of `vaultd.cli.serving`."""
    bound = bind("127.0.0.1", int(sys.argv[1]))
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", lifespan="off", ws="none", log_config=None, access_log=False,
        server_header=False, proxy_headers=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main()
