"""The example app, started as `examples/devcontext/run` does, in a sandbox that writes down every token it gives."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.typescript import DEVCONTEXT, TypeScriptError, build, node_of
from vaultd.sandbox.app_client import AppClient
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World, start_world

SDK_NODE = 22
START_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DevContext:
    """The running app at `url`. `database` and `log` are all that it writes; `tokens` all that the sandbox gave.

    `environment` is what it was told.
    """

    url: str
    world: World
    database: Path
    log: Path
    tokens: list[str]
    environment: Mapping[str, str]

    def entries(self, event: str) -> list[dict[str, Any]]:
        """What the app logged of one kind."""
        entries = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [entry for entry in entries if entry["event"] == event]


@contextmanager
def devcontext(folder: Path) -> Iterator[DevContext]:
    """Start the sandbox and the app.

    Raises:
        TypeScriptError: the app does not compile, or does not start.
    """
    build(DEVCONTEXT)
    tokens: list[str] = []
    # Taken until the moment in which the app takes it.
    listener = listen()
    client = AppClient(name="devcontext", url=f"http://localhost:{listener.port}")
    with start_world(client=client, witness=tokens.append, synced=False) as world:
        places = world.places
        told = client.environment(vault=places.vault, issuer=places.issuer, providers=places.providers)
        database = folder / "devcontext.json"
        app = DevContext(
            url=client.url,
            world=world,
            database=database,
            log=folder / "app.log",
            tokens=tokens,
            environment={**told, "DEVCONTEXT_DATABASE": str(database)},
        )
        listener.socket.close()
        with _running(app):
            yield app


@contextmanager
def _running(app: DevContext) -> Iterator[None]:
    program = [node_of(SDK_NODE), str(DEVCONTEXT / "build" / "src" / "main.js")]
    with (
        app.log.open("wb") as log,
        subprocess.Popen(
            program, env={"PATH": os.environ["PATH"], **app.environment}, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait(app, process)
            yield
        finally:
            process.terminate()
            process.wait()


def _wait(app: DevContext, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while '"event":"listening"' not in app.log.read_text(encoding="utf-8"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise TypeScriptError(f"DevContext did not start: {app.log.read_text(encoding='utf-8')}")
        time.sleep(0.05)
