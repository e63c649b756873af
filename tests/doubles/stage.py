"""A vault that knows every provider of the catalogue, each at its double."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from tests.doubles.documented import Answer, load_documented
from tests.doubles.places import at_double, steps_of
from tests.doubles.provider import ProviderDouble
from tests.wire.vault import App, Vault, bearer
from vaultd.app.factory import create_app
from vaultd.connections import outbox
from vaultd.db import Database
from vaultd.keys.local import generate_keyring_file
from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.dev_config import write_config
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import load
from vaultd.terms import system_clock

PERMISSIONS = {"contents": "read", "issues": "write"}
AGENT = ("catalogue-agent", "the made-up secret of the agent, long enough")
"""The app that connects, and the backend that exchanges."""
NARROW = {
    "narrow-agent": {"target": "acme", "repositories": ["web", "api"], "permissions": PERMISSIONS},
    "reading-agent": {"target": "acme", "permissions": {"contents": "read"}},
}
"""Backends with the same secret whose tokens of GitHub's app are narrowed, and to what."""
APP_AT_PROVIDER = ("made-up-client-id", "made up: secret/of the app")
"""With characters that RFC 6749 §2.3.1 has encoded in Basic."""
ASSUMED_LIFE = 62
"""Seconds that a token is taken to live whose documented answer names no life, so that it is stale after two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The running vault, and its providers' doubles by name. `entries` is the catalogue as it is shipped."""

    world: World
    doubles: Mapping[str, ProviderDouble]
    entries: Mapping[str, Mapping[str, Any]]

    def app(self) -> App:
        """The app of a user whom nobody else has."""
        app = App(self.world)
        app.session_token = self.world.issuer.mint(app.user, azp=AGENT[0], scope=ACCOUNT_SCOPES)
        app.http.headers.update(bearer(app.session_token))
        return app

    def vault(self, agent: str = AGENT[0]) -> Vault:
        """The vault, as an agent's backend speaks to it."""
        vault = Vault(self.world)
        vault.agent = (agent, AGENT[1])
        return vault

    async def empty(self, name: str) -> None:
        """End every connection at a provider, since all of them have the documented account and so share its grant."""
        async with self.vault() as vault:
            vault.http.headers.update(bearer(await vault.operator_token("connections:read connections:revoke")))
            wanted: dict[str, str | int] = {"connection": name, "status": "connected", "limit": 500}
            for each in (await vault.http.get("/v1/connections", params=wanted)).json()["connections"]:
                assert (await vault.http.delete(f"/v1/connections/{each['id']}")).status_code == 204
        database = Database(self.world.settings.database_url)
        async with asyncio.timeout(15):
            while True:
                async with database.transaction() as connection:
                    if await outbox.waiting(connection) == 0:
                        break
                await asyncio.sleep(0.05)
        await database.aclose()


def asked_scopes(entry: Mapping[str, Any], answers: Mapping[str, Answer]) -> list[str]:
    """Those that the documented answer grants, so that it is the answer to this request; else the entry's."""
    granted = next(filter(None, (granted_scopes(entry, answers, step) for step in ("token", "refresh"))), None)
    return sorted(entry["scopes"] if granted is None and "scopes" in entry else granted or [])


def granted_scopes(entry: Mapping[str, Any], answers: Mapping[str, Answer], step: str) -> list[str] | None:
    """The scopes in a documented answer, None where it names none."""
    if step not in answers:
        return None
    members = answers[step].members()
    holder = members.get(entry.get("token_path", ""), members)
    scope = holder.get(entry.get("scope_field", "scope"))
    if scope is None:
        return None
    return sorted(scope if isinstance(scope, list) else scope.replace(",", " ").split())


@contextmanager
def whole_catalogue(world: World, *, database_url: str, folder: Path) -> Iterator[Stage]:
    """Start the doubles, an issuer and a vault."""
    entries, documented = load_catalogue(), load_documented()
    vault, issuer_at, doubles_at = listen(), listen(), listen()
    places = replace(world.places, vault=vault.url, issuer=issuer_at.url, providers={})
    issuer = SandboxIssuer(issuer=issuer_at.url, clients={}, audience=vault.url)
    doubles = {
        name: ProviderDouble(
            steps=steps_of(entry, client_id=APP_AT_PROVIDER[0]),
            answers=documented.get(name, {}),
            client=APP_AT_PROVIDER,
            issuer=entry.get("issuer"),
        )
        for name, entry in entries.items()
    }
    config, keyring = folder / "vaultd.toml", folder / "keyring.json"
    generate_keyring_file(keyring, now=system_clock())
    write_config(config, places=places, secrets=world.secrets, database_url=database_url, keyring=keyring)
    with config.open("a", encoding="utf-8") as file:
        file.write(_tables(entries, documented, places.agent, doubles_at.url))
    settings = load(config, environ={}, allow_literal_secrets=True)
    with LoopbackServers() as servers:
        servers.serve(issuer.app, issuer_at)
        servers.serve(Starlette(routes=[Mount(f"/{name}", double.app) for name, double in doubles.items()]), doubles_at)
        servers.serve(create_app(settings), vault)
        beside = replace(world, places=places, settings=settings, issuer=issuer, folder=folder)
        yield Stage(world=beside, doubles=doubles, entries=entries)


def _tables(
    entries: Mapping[str, Mapping[str, Any]], documented: Mapping[str, Mapping[str, Answer]], agent: str, double: str
) -> str:
    grants = {
        name: sorted({*entry.get("scopes", ()), *_every_scope(entry, documented.get(name, {}))})
        for name, entry in entries.items()
    }
    client = {"auth": "client_secret_basic", "secret": AGENT[1], "redirect_uris": [f"{agent}/connected"]}
    lines = [f"[clients.{AGENT[0]}]", *_pairs(client), f"[clients.{AGENT[0]}.providers]", *_pairs(grants)]
    for name, narrow in NARROW.items():
        narrowed: dict[str, Any] = {"auth": "client_secret_basic", "secret": AGENT[1], "subject_azp": [AGENT[0]]}
        lines += [f"[clients.{name}]", *_pairs(narrowed | {"providers": {"github-app": {"narrow": narrow}}})]
    for name, entry in entries.items():
        own: dict[str, Any] = {"client_id": APP_AT_PROVIDER[0], "client_secret": APP_AT_PROVIDER[1]}
        if "expires_in" not in _text(documented.get(name, {}), "token"):
            own["assumed_ttl"] = ASSUMED_LIFE
        lines += [f"[providers.{name}]", *_pairs(at_double(name, entry, double) | own)]
    return "\n".join(lines) + "\n"


def _every_scope(entry: Mapping[str, Any], answers: Mapping[str, Answer]) -> set[str]:
    steps = ("token", "token_with_rotation", "refresh")
    return {scope for step in steps for scope in granted_scopes(entry, answers, step) or ()}


def _text(answers: Mapping[str, Answer], step: str) -> str:
    return answers[step].body if step in answers else ""


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{json.dumps(name)} = {_written(value)}" for name, value in table.items()]


def _written(value: object) -> str:
    """TOML on one line; what is no table is written as JSON writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(_pairs(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value)
