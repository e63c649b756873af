"""The sandbox's vault once more, with clients of a test's own, on the same database, issuer and providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vaultd.app.factory import create_app
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import load


@contextmanager
def also_serving(world: World, tables: Callable[[str], str]) -> Iterator[str]:
    """Serve it at an address of its own, which is its issuer identifier too; gives that.

    `tables` makes the clients' part of the configuration, for a vault of the address that it is given.
    """
    listener = listen()
    ours = f'public_url = "{world.places.vault}"'
    text = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
    config = world.folder / f"also-{listener.port}.toml"
    config.touch(mode=0o600)
    config.write_text(text.replace(ours, f'public_url = "{listener.url}"') + tables(listener.url), encoding="utf-8")
    settings = load(config, environ={}, allow_literal_secrets=True)
    with LoopbackServers() as servers:
        yield servers.serve(create_app(settings), listener)
