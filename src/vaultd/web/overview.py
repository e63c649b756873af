"""What a user's page shows: their accounts at each provider, what these allow, and who uses them how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from heapq import nsmallest
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.usage import WINDOW, Usage, Use, last_use, usage_of
from vaultd.clients.registry import Client
from vaultd.connections import listing, store
from vaultd.connections.labels import Labels
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, InvalidTarget
from vaultd.providers.registry import Provider, Providers
from vaultd.scopes import EXACT, ScopeRules
from vaultd.sizes import LONGEST_SCOPE, MOST_SCOPES
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Clock, ProviderName
from vaultd.web.apps import Apps
from vaultd.web.show.chart import Chart, chart_of

AT_ONCE = 50
"""Accounts on one page."""
ROOM = 128 * 1024
"""Bytes of scopes on one page; as markup they are several times as many."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A scope, and what it allows in words where the provider's table has them."""

    raw: str
    words: str | None


@dataclass(frozen=True, slots=True)
class LastUse:
    """Who used an account last, and when; None for a client that is not configured any more."""

    agent: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One connected account. `broken` is why it must be reconnected; `counted_since` is set where uses are too many.

    `beyond` is how many permissions it has that are not among those shown.
    """

    id: UUID
    provider: str
    provider_name: str
    label: str
    broken: str | None
    permissions: list[Permission]
    beyond: int
    connected_at: datetime
    used: list[LastUse]
    used_on: date | None
    chart: Chart
    counted_since: date | None
    agents: list[str]
    reconnect: str | None

    @property
    def last_use(self) -> LastUse | None:
        """The last of them all."""
        return self.used[0] if self.used else None

    @property
    def idle_agents(self) -> list[str]:
        """Those that may use it and did not lately."""
        active = {use.agent for use in self.used}
        return [name for name in self.agents if name not in active]


@dataclass(frozen=True, slots=True)
class Place:
    """A provider on the page. `connect` leads to its door, for the app `app`, unless nobody may connect it here.

    `connected` is whether there are accounts at all, on this page or another, and `live` whether one is of use.
    """

    name: str
    display_name: str
    accounts: list[Account]
    connect: str | None
    agents: list[str]
    connected: bool
    live: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """What one user has and may have here. `following` is the cursor of more accounts."""

    places: list[Place]
    following: str | None = None

    @property
    def broken(self) -> list[Account]:
        """The accounts that need their owner."""
        return [account for account in self.accounts if account.broken]

    @property
    def available(self) -> list[Place]:
        """The providers with nothing connected that may be."""
        return [place for place in self.places if place.connect and not place.connected]

    @property
    def accounts(self) -> list[Account]:
        """All of them, provider by provider."""
        return [account for place in self.places for account in place.accounts]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known beside the rows: when each was agreed to, and their uses, the last one of those long unused."""

    consents: Mapping[UUID, datetime]
    usage: Usage
    earlier: Mapping[bytes, tuple[str | None, datetime] | None]


class Overviews:
    """Gathers it: some of one user's rows, and one bounded look at their events."""

    def __init__(self, *, database: Database, labels: Labels, apps: Apps, providers: Providers, clock: Clock) -> None:
        self._database = database
        self._labels = labels
        self._apps = apps
        self._providers = providers
        self._clock = clock

    async def of(self, subject: KnownSubject, *, cursor: str | None = None) -> Overview:
        """One page of it, the oldest accounts first. Raises `ForeignCursor`."""
        wanted = listing.OwnQuery(subject_id=subject.id, cursor=cursor, limit=AT_ONCE, room=ROOM)
        async with self._database.transaction() as connection:
            rows, following = await listing.own_page(connection, wanted)
            live = await listing.live_at(connection, subject.id, now=self._clock())
            found = await self._found(connection, subject, rows)
        links = {provider.name: client for provider, client in self._apps.connectable()}
        accounts: dict[ProviderName, list[Account]] = {}
        for row in rows:
            accounts.setdefault(row.provider, []).append(self._account(row, found, subject, links.get(row.provider)))
        return Overview(self._places(accounts, links, live), following)

    async def account(self, subject: KnownSubject, connection_id: UUID) -> Account | None:
        """One of a user's accounts; somebody else's is told like one that never was."""
        async with self._database.transaction() as connection:
            row = await store.get(connection, connection_id)
            if row is None or row.subject_id != subject.id or row.status == "revoked":
                return None
            found = await self._found(connection, subject, [row])
        links = {provider.name: client for provider, client in self._apps.connectable()}
        return self._account(row, found, subject, links.get(row.provider))

    async def _found(self, connection: AsyncConnection, subject: KnownSubject, rows: Sequence[ConnectionRow]) -> _Found:
        consents = await store.consents_of(connection, subject.id)
        usage = await usage_of(connection, subject.key.subject_ref, now=self._clock())
        earlier = {}
        for row in rows:
            ref = subject.key.connection_ref(row.id)
            # Older than the window, and so not in what was counted: by its own index.
            if row.last_used_on is not None and not any(use.connection_ref == ref for use in usage.uses):
                earlier[ref] = await last_use(connection, ref)
        return _Found(consents, usage, earlier)

    def permissions(self, provider: Provider | None, scopes: Collection[str]) -> list[Permission]:
        """Scopes in the words of the provider's table; of more than any token may have, the first."""
        rules: ScopeRules = provider.config.scope_rules if provider else EXACT
        described: Mapping[str, str] = provider.config.scope_descriptions if provider else {}
        # The words are for a scope however its provider spells it.
        by_name = {rules.name(scope): text for scope, text in described.items()}
        words = {scope: by_name.get(rules.name(scope)) for scope in scopes}
        others = nsmallest(MOST_SCOPES, (scope for scope, text in words.items() if text is None))
        in_order = [*sorted(scope for scope, text in words.items() if text is not None), *others][:MOST_SCOPES]
        return [Permission(scope[:LONGEST_SCOPE], words[scope]) for scope in in_order]

    def _places(
        self,
        accounts: Mapping[ProviderName, list[Account]],
        links: Mapping[ProviderName, Client],
        live: Mapping[str, bool],
    ) -> list[Place]:
        places = []
        for name in dict.fromkeys([*links, *accounts]):
            provider, client = self._provider(name), links.get(name)
            own = accounts.get(name, [])
            single = provider is not None and provider.config.accounts == "single" and name in live
            connect = self._apps.link(provider, client) if provider and client and not single else None
            shown = provider.display_name if provider else name
            agents = [each.display_name for each in self._apps.using(name)]
            places.append(Place(name, shown, own, connect, agents, name in live, live.get(name, False)))
        # Those that need their owner come first.
        return sorted(places, key=lambda place: not any(account.broken for account in place.accounts))

    def _account(self, row: ConnectionRow, found: _Found, subject: KnownSubject, client: Client | None) -> Account:
        ref, usage = subject.key.connection_ref(row.id), found.usage
        uses = _last_uses(usage.uses, ref, found.earlier.get(ref))
        used = [LastUse(self._apps.name(client_id), at) for client_id, at in uses]
        provider, label = self._provider(row.provider), self._label(row)
        counts: Counter[date] = Counter()
        for use in usage.uses:
            if use.connection_ref == ref:
                counts[use.day] += use.count
        reconnect = None
        if provider is not None and client is not None:
            reconnect = self._apps.link(provider, client, scopes=row.granted_scopes, account=label)
        permissions = self.permissions(provider, row.granted_scopes)
        return Account(
            id=row.id,
            provider=row.provider,
            provider_name=provider.display_name if provider else row.provider,
            label=label,
            broken=row.broken(self._clock()),
            permissions=permissions,
            beyond=len(row.granted_scopes) - len(permissions),
            connected_at=found.consents[row.id],
            used=used,
            used_on=row.last_used_on,
            chart=chart_of(counts, today=self._clock().astimezone(UTC).date(), days=WINDOW),
            counted_since=None if usage.whole else usage.since,
            agents=_active_first([each.display_name for each in self._apps.using(row.provider)], used),
            reconnect=reconnect,
        )

    def _label(self, row: ConnectionRow) -> str:
        try:
            return self._labels.of(row)
        except CannotOpen:
            return ""

    def _provider(self, name: str) -> Provider | None:
        try:
            return self._providers.get(name)
        except InvalidTarget:
            return None


def _active_first(names: list[str], used: Sequence[LastUse]) -> list[str]:
    active = [use.agent for use in used]
    return sorted(names, key=lambda name: active.index(name) if name in active else len(active))


def _last_uses(
    uses: Sequence[Use], ref: bytes, earlier: tuple[str | None, datetime] | None
) -> list[tuple[str | None, datetime]]:
    """Each client's last use of a connection, newest first."""
    last: dict[str | None, datetime] = {}
    for use in uses:
        if use.connection_ref == ref:
            last[use.client_id] = max(use.last, last.get(use.client_id, use.last))
    if not last and earlier is not None:
        last[earlier[0]] = earlier[1]
    return sorted(last.items(), key=lambda each: each[1], reverse=True)
