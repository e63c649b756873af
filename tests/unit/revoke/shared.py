"""A vault's rooms below the web, with providers that keep one grant for each person and app."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from tests.doubles.one_grant import OneGrant
from tests.support.house import CONSENT, House
from vaultd.audit import read
from vaultd.audit.events import Draft, EventType
from vaultd.clients.config import ClientConfig
from vaultd.clients.registry import Client
from vaultd.connect import Begun, Connect, Returned, Wish
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.errors import ConsentRefused
from vaultd.revoke import GiveBack, Offboard, Revoke
from vaultd.sandbox.loopback import loopback_http
from vaultd.subjects.store import KnownSubject
from vaultd.terms import ClientId

APP = "https://app.example.com/connected"
BROWSER = "this browser"
NAMES = ("github", "google", "slack", "hub", "forge")
"""`hub` and `forge` are more tables of GitHub's app; `forge` knows accounts by another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """Everything that makes and ends connections."""

    house: House
    at: Mapping[str, OneGrant]
    connect: Connect
    revoke: Revoke
    offboard: Offboard
    give_back: GiveBack

    async def consented(self, name: str, provider: str) -> tuple[KnownSubject, Begun, str]:
        """A consent up to the moment at which the browser is back at the app; gives what it came back with."""
        known = await self.house.subject(name)
        client = Client(ClientId("agent"), agent())
        begun = await self.connect.begin(known, Wish(client=client, provider=provider, redirect_uri=APP))
        to = await self.connect.visit(begun.ticket, BROWSER)
        async with loopback_http() as http:
            back = _query((await http.get(to)).headers["location"])
        returned = Returned(
            provider=provider,
            unverified_state=back["state"],
            unverified_code=back["code"],
            unverified_error=None,
            unverified_issuer=None,
            unverified_query=back,
            browser=BROWSER,
            session_subject=None,
        )
        return known, begun, _query(await self.connect.callback(returned)).get("connect_code", "")

    async def connected(self, name: str, provider: str) -> UUID:
        """The whole way; gives the connection."""
        known, begun, code = await self.consented(name, provider)
        return await self.complete(known, begun, code)

    async def complete(self, known: KnownSubject, begun: Begun, code: str) -> UUID:
        draft = replace(CONSENT, subject=known.key)
        whole: dict[str, Any] = {"auth_session": begun.auth_session, "connect_code": code, "redirect_uri": APP}
        return await self.connect.complete(known, **whole, code_verifier=None, draft=draft)

    async def abandoned(self, name: str, provider: str) -> None:
        """Nobody completes it; it is swept when its time is over, and what was granted is given back."""
        await self.consented(name, provider)
        await self.swept()

    async def swept(self) -> None:
        self.house.clock.forward(seconds=601)
        await self.connect.sweep_once()
        await self.give_back.drain()

    async def refused(self, known: KnownSubject, begun: Begun, code: str) -> None:
        """A completion that is refused, and what follows."""
        try:
            await self.complete(known, begun, code)
        except ConsentRefused:
            await self.give_back.drain()
        else:
            raise AssertionError("it was completed")

    async def disconnected(self, name: str, connection_id: UUID) -> None:
        known = await self.house.subject(name)
        draft = Draft(type=EventType.CONNECTION_REVOKED, client_id="agent", subject=known.key)
        await self.revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=draft)
        await self.give_back.drain()

    async def works(self, connection_id: UUID) -> bool:
        """Whether the stored token of a connection is one that its provider accepts."""
        row = await self.house.row(connection_id)
        if row.status != "connected":
            return False
        opened = open_connection(data_key_of(row, self.house.data_keys), row)
        provider = self.at["github" if row.provider in {"hub", "forge"} else row.provider]
        tokens = [token.reveal() for token in (opened.access_token, opened.refresh_token) if token is not None]
        return all(provider.accepts(token) for token in tokens)

    async def told(self) -> list[tuple[str, str | None]]:
        """The events about ends at providers, oldest first."""
        async with self.house.database.transaction() as connection:
            rows, _ = await read.page(connection, read.Query(limit=100))
        events = [json.loads(row["bytes"]) for row in rows]
        return [(each["type"], each.get("reason")) for each in reversed(events) if each["type"].startswith("provider.")]


def agent() -> ClientConfig:
    """The app whose users connect."""
    providers = {name: ["read"] for name in NAMES}
    return ClientConfig.model_validate({"auth": "none", "redirect_uris": [APP], "providers": providers})


def _query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
