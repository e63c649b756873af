"""A vault that people have used for a month: every state that its pages can show is there.

Two people: one with everything, and one with nothing yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from playwright.async_api import Page

from tests.browser.hosted import Hosted, hosted_vault
from tests.support.signing import Signer
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import store
from vaultd.db import Database
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Secret, Subject, system_clock

NIGHT_AGENT = "night-agent"
SHOP = """
[providers.shop]
display_name = "Corner Shop"
client_id = "vaultd-sandbox"
client_secret = "{secret}"
authorization_endpoint = "{url}/{{shop}}/authorize"
token_endpoint = "{url}/{{shop}}/token"
connection_settings.shop.pattern = "[a-z0-9][a-z0-9-]{{0,62}}"
connection_settings.shop.example = "my-shop"
connection_settings.shop.description = "Your shop's name"
allow_private_hosts = ["127.0.0.1"]
scopes = ["orders", "stock:write"]
scope_descriptions = {{ orders = "Read your orders" }}
"""
MAY_ACT = """may_assert_subjects = true
assert_issuer = "sandbox"
assert_providers = ["github", "slack"]
display_name = "Night watch"
providers = { github = ["repo", "read:user"], slack = ["channels:history"] }
"""
BRANDING = """
[branding]
name = "Example Company"
logo = "logo.svg"
accent = "#ffcc00"
"""
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="8" fill="#ffcc00"/>
<path d="M9 22V10h6a6 6 0 0 1 0 12z" fill="#14171c"/></svg>
"""
CHANGES = {
    # Renewed at each use, so that a grant that is dead at the provider shows at once.
    "[providers.google]\n": "[providers.google]\nrefresh_margin = 299\n",
    f"[clients.{SAMPLE_AGENT}.providers]\n": f'[clients.{SAMPLE_AGENT}.providers]\nshop = ["orders", "stock:write"]\n',
}


@dataclass(frozen=True, slots=True)
class Lived:
    """The vault. `regular` has accounts of every kind, `newcomer` none; `github` is one of the regular's."""

    hosted: Hosted
    regular: str
    newcomer: str
    github: UUID


class Past:
    """Puts into a vault's log, and under its keys, what happened before it was started."""

    def __init__(self, hosted: Hosted, database_url: str) -> None:
        self._issuer = hosted.issuer.issuer
        self._keyring_file = hosted.folder / "keyring.json"
        self._database = Database(Secret(database_url))

    async def record(self, sub: str, drafts: Sequence[tuple[timedelta, Draft]]) -> None:
        """Events of this user, each so long ago, oldest first."""
        async with self._database.transaction() as connection:
            keyring = await open_keyring(connection, open_keyring_file(self._keyring_file))
        subjects = SubjectStore(
            database=self._database, keyring=keyring, data_keys=DataKeys(keyring), clock=system_clock
        )
        known = await subjects.find(Subject(self._issuer, sub))
        assert known is not None
        now = system_clock()
        moment = now

        def clock() -> datetime:
            return moment

        log = AuditLog(database=self._database, keyring=keyring, clock=clock, lanes=1)
        for ago, draft in drafts:
            moment = now - ago
            draft.subject = known.key
            await log.record(draft)
        await log.close()

    async def connections(self, sub: str) -> dict[str, list[UUID]]:
        """The ids of a user's connections, by provider, oldest first."""
        async with self._database.transaction() as connection:
            keyring = await open_keyring(connection, open_keyring_file(self._keyring_file))
        subjects = SubjectStore(
            database=self._database, keyring=keyring, data_keys=DataKeys(keyring), clock=system_clock
        )
        known = await subjects.find(Subject(self._issuer, sub))
        assert known is not None
        async with self._database.transaction() as connection:
            rows = await store.rows_of(connection, known.id)
        found: dict[str, list[UUID]] = {}
        for row in rows:
            found.setdefault(row.provider, []).append(row.id)
        return found

    async def close(self) -> None:
        """Let go of the database."""
        await self._database.aclose()


def used(client: str, connection: str, connection_id: UUID, account: str) -> Draft:
    """An exchange that was allowed."""
    return Draft(
        type=EventType.TOKEN_EXCHANGED,
        client_id=client,
        connection=connection,
        connection_id=connection_id,
        account=account,
    )


def refused(client: str, connection: str, reason: str) -> Draft:
    """An exchange that was not."""
    return Draft(
        type=EventType.TOKEN_REFUSED,
        decision=Decision.REFUSED,
        reason=reason,
        client_id=client,
        connection=connection,
    )


@asynccontextmanager
async def lived_in_vault(*, database_url: str, folder: Path, page: Page, tables: str = "") -> AsyncIterator[Lived]:
    """Start it and live through the month; `page` is a browser to do it with."""
    signer = Signer(NIGHT_AGENT, vault="nowhere")
    shop = SHOP.format(url="http://127.0.0.1:9", secret="made-up-secret-of-the-corner-shop-1")
    more = shop + signer.table(MAY_ACT) + tables
    async with hosted_vault(database_url=database_url, folder=folder, changes=CHANGES, tables=more) as hosted:
        regular, newcomer = "regular@example.com", "newcomer@example.com"
        await hosted.enter(page, regular)
        for provider, person in (("github", "Alice"), ("github", "Bob"), ("google", "Alice"), ("slack", "Alice")):
            await hosted.connect(page, provider, person)
        await _break_google(hosted, regular)
        past = Past(hosted, database_url)
        github, also_github = (await past.connections(regular))["github"]
        await past.record(regular, _month(github, also_github))
        await past.close()
        for provider in ("slack", "slack", "github"):
            await hosted.exchange(regular, provider)
        yield Lived(hosted, regular, newcomer, github)


async def _break_google(hosted: Hosted, sub: str) -> None:
    """Taken back at the provider: vaultd learns of it when an agent asks."""
    assert (await hosted.exchange(sub, "google")).status_code == 200
    hosted.providers["google"].withdraw("alice")
    await asyncio.sleep(1.1)
    assert (await hosted.exchange(sub, "google")).status_code == 400


def _month(github: UUID, also_github: UUID) -> list[tuple[timedelta, Draft]]:
    """A month of a working agent, with a quiet week in it and a few refusals."""
    events: list[tuple[timedelta, Draft]] = []
    for day in range(29, 0, -1):
        busy = 0 if 12 <= day <= 16 else (day * 7) % 11
        events += [
            (timedelta(days=day, minutes=-number), used(BRIEFING_AGENT, "github", github, "alice"))
            for number in range(busy)
        ]
    events += [
        (timedelta(hours=30), refused(SAMPLE_AGENT, "slack", "scope_not_allowed")),
        (timedelta(hours=26), refused(NIGHT_AGENT, "github", "account_ambiguous")),
        (timedelta(hours=5), used(SAMPLE_AGENT, "github", also_github, "bob")),
        (timedelta(hours=2), used(BRIEFING_AGENT, "github", github, "alice")),
    ]
    return sorted(events, key=lambda event: event[0], reverse=True)
