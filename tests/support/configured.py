"""A second vault on the database, the issuer and the providers of a world, by a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from vaultd.app.factory import create_app
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World
from vaultd.settings import load
from vaultd.terms import Clock, system_clock


@contextmanager
def changed_vault(world: World, changes: Mapping[str, str], *, clock: Clock = system_clock) -> Iterator[str]:
    """Serve the world's file with some texts in it replaced, each wherever it stands; gives the URL."""
    text = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
    for before, after in changes.items():
        if before not in text:
            raise ValueError(f"{before} does not stand in the file")
        text = text.replace(before, after)
    path = world.folder / f"changed-{uuid4().hex}.toml"
    path.write_text(text, encoding="utf-8")
    # No environment, and literal secrets: as the world itself is started.
    settings = load(path, environ={}, allow_literal_secrets=True)
    with LoopbackServers() as servers:
        yield servers.serve(create_app(settings, clock=clock))
