"""A vault beside the sandbox's, at strict providers whose tables are the catalogue's at other addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import DatabaseUrls
from tests.doubles.strict import APP, SECRET, StrictProvider
from tests.support.toml import written
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer, go_on, query_of, ticket_url
from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

Table = Mapping[str, Any]
_AT_HOME = {"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint", "client_secret"}
_AT_HOME |= {"token_endpoint_auth_method", "client_id", "extends", "resources", "token_revocation_endpoint"}
"""What a table says of the real provider's addresses and of its own app."""


@dataclass(frozen=True, slots=True)
class Town:
    """A vault, and one strict provider for each of its tables."""

    world: World
    at: Mapping[str, StrictProvider]

    def app(self, agent: str = "first-agent", user: str | None = None) -> App:
        app = App(self.world, user=user)
        app.session_token = self.world.issuer.mint(app.user, azp=agent, scope=ACCOUNT_SCOPES)
        app.http.headers.update(bearer(app.session_token))
        return app

    async def connected(self, app: App, name: str, **wish: Any) -> dict[str, Any]:
        """Connect, and give the account as the accounts API tells it."""
        begun = await app.begin(name, **wish)
        assert begun.status_code == 201, begun.text
        async with app.browser() as browser:
            page = await go_on(browser, ticket_url(begun))
        assert "connect_code" in page.url, page.url
        made = await app.complete(begun, query_of(page.url)["connect_code"])
        assert made.status_code == 201, made.text
        body: dict[str, Any] = made.json()
        return body

    async def asked(self, app: App, name: str, *, agent: str = "first-agent", **changes: str) -> httpx.Response:
        """An exchange by the agent."""
        async with Vault(self.world) as vault:
            vault.agent = (agent, SECRET)
            return await vault.exchange(app.session_token, audience=name, **changes)

    async def given(self, app: App, name: str, *, agent: str = "first-agent", **changes: str) -> dict[str, Any]:
        """The body of an exchange, which must bring a token."""
        answer = await self.asked(app, name, agent=agent, **changes)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def reason(self, answer: httpx.Response) -> str:
        async with Vault(self.world) as vault:
            (event,) = await vault.events_of(answer)
        return str(event["reason"])


def provider_table(entry: str | None, *, own: Table | None = None) -> dict[str, Any]:
    """A table by the catalogue's entry, and what it says itself: not by `extends`, which a sandbox's table may meet."""
    known: Table = {"account_label_fields": ["email"]} if entry is None else load_catalogue()[entry]
    return {**known, **{key: value for key, value in (own or {}).items() if key not in _AT_HOME}}


@contextmanager
def town(
    world: World,
    database: DatabaseUrls,
    folder: Path,
    *,
    tables: Mapping[str, Table],
    lists: Mapping[str, Table],
    at: Mapping[str, StrictProvider],
) -> Iterator[Town]:
    """`tables` are the providers', `lists` what each client may have at which of them."""
    with LoopbackServers() as servers:
        urls = {name: servers.serve(provider.app) for name, provider in at.items()}

        def document(vault: str) -> str:
            for name, provider in at.items():
                provider.redirect_uri = f"{vault}/auth/callback/{name}"
            providers = {name: {**table, **_addresses(table, urls[name])} for name, table in tables.items()}
            clients = {
                name: {
                    "auth": "client_secret_basic",
                    "secret": SECRET,
                    "redirect_uris": [f"{world.places.agent}/connected"],
                    "providers": entries,
                }
                for name, entries in lists.items()
            }
            text = written({"clients": clients, "providers": providers})
            return text.replace('["clients"]\n', "").replace('["providers"]\n', "")

        with vault_beside(world, database_url=database.service, folder=folder, tables=document) as beside:
            yield Town(beside, at)


def _addresses(table: Table, url: str) -> dict[str, Any]:
    moved: dict[str, Any] = {
        "client_id": APP,
        "client_secret": SECRET,
        "token_endpoint_auth_method": "client_secret_post",
        "allow_private_hosts": ["127.0.0.1"],
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "userinfo_endpoint": f"{url}/userinfo",
        "resources": [url],
    }
    also = {"revocation_endpoint": "revoke", "token_revocation_endpoint": "revoke", "narrowing_endpoint": "scoped"}
    also["token_check_endpoint"] = "userinfo"
    return moved | {key: f"{url}/{place}" for key, place in also.items() if key in table}
