"""A vault beside the sandbox's: its own database, its own issuer and GitHub, and a file with more tables."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.support.clock import HandClock
from tests.wire.vault import Vault
from vaultd.app.factory import create_app
from vaultd.keys.local import generate_keyring_file
from vaultd.sandbox.dev_config import PROVIDER_SCOPES, VAULT_AT_ISSUER, VAULT_AT_PROVIDER, write_config
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import Listener, LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import load
from vaultd.terms import Clock, system_clock


@dataclass(frozen=True, slots=True)
class More:
    """What a file has beside the sandbox's: further tables, and further keys of `[login]`."""

    tables: str = ""
    login: str = ""


@contextmanager
def vault_beside(
    world: World,
    *,
    database_url: str,
    folder: Path,
    tables: Callable[[str], str],
    at: Listener | None = None,
    login: str = "",
    clock: Clock = system_clock,
) -> Iterator[World]:
    """A world as the given one, with another vault in it. `tables` gets the vault's URL; times are the clock's.

    `login` are more keys of the file's `[login]`.
    """
    vault, issuer_at, github_at = at or listen(), listen(), listen()
    places = replace(
        world.places,
        vault=vault.url,
        issuer=issuer_at.url,
        providers={**world.places.providers, "github": github_at.url},
    )
    issuer = SandboxIssuer(
        issuer=issuer_at.url, clients={VAULT_AT_ISSUER: world.secrets.login}, audience=vault.url, clock=clock
    )
    github = SandboxProvider(
        name="github",
        clients={VAULT_AT_PROVIDER: world.secrets.provider},
        clock=clock,
        issuer=github_at.url,
        redirect_uris=[f"{vault.url}/auth/callback/github"],
        scopes=PROVIDER_SCOPES["github"],
    )
    config, keyring = folder / "vaultd.toml", folder / "keyring.json"
    generate_keyring_file(keyring, now=clock())
    write_config(config, places=places, secrets=world.secrets, database_url=database_url, keyring=keyring)
    text = config.read_text(encoding="utf-8").replace("[login]\n", f"[login]\n{login}")
    config.write_text(text + tables(vault.url), encoding="utf-8")
    settings = load(config, environ={}, allow_literal_secrets=True)
    with LoopbackServers() as servers:
        servers.serve(issuer.app, issuer_at)
        servers.serve(github.app, github_at)
        servers.serve(create_app(settings, clock=clock), vault)
        yield replace(
            world,
            places=places,
            settings=settings,
            issuer=issuer,
            providers={**world.providers, "github": github},
            folder=folder,
        )


class Log(Vault):
    """The audit log of a vault whose clock is at hand."""

    def __init__(self, world: World, clock: HandClock) -> None:
        super().__init__(world)
        self._clock = clock

    async def refusal(self, asked: Coroutine[Any, Any, httpx.Response]) -> tuple[httpx.Response, dict[str, Any]]:
        """Make a request that anyone could make and that is refused; gives its one event, too."""
        # The first of its kind in a minute is written at once (A11). As short a way as there is: codes live a minute.
        self._clock.forward(seconds=60 - self._clock.now.second)
        answer = await asked
        (event,) = await self.events_of(answer)
        assert event["decision"] == "refused"
        return answer, event
