"""A user's own events as sentences: who, what, when, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from vaultd.audit import read
from vaultd.audit.events import Decision, EventType
from vaultd.audit.read import Reader
from vaultd.audit.subject_key import SubjectKey
from vaultd.db import Database
from vaultd.sizes import LONGEST_NAME
from vaultd.web.apps import Apps
from vaultd.web.show.pages import isolated
from vaultd.web.show.texts import Texts

_ABOUT_THE_PAGES = ("session.", "page.")
_LOOKED_AT = 50
_REFUSED: dict[str, str] = {EventType.TOKEN_REFRESHED: "token.not_refreshed"}
"""Sentences for events that tell of the opposite where they were refused."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One event. `provider` and `provider_name` are None where it is about none."""

    at: datetime
    sentence: Markup
    refused: bool
    provider: str | None
    provider_name: str | None
    account: str | None
    reason: Markup | None
    actor: str | None


class Happenings:
    """Reads a user's events, newest first, in the words of a language."""

    def __init__(self, *, database: Database, reader: Reader, apps: Apps) -> None:
        self._database = database
        self._reader = reader
        self._apps = apps

    async def page(
        self, subject: SubjectKey, texts: Texts, *, cursor: str | None, limit: int
    ) -> tuple[list[Happening], str | None]:
        """One page, and the cursor of the next. Raises `InvalidRequest` for a cursor that was not given out here."""
        wanted = read.Query(subject_ref=subject.subject_ref, cursor=cursor, limit=limit)
        async with self._database.transaction() as connection:
            rows, following = await self._reader.page(connection, wanted)
        return [self._happening(read.render(row, subject), texts) for row in rows], following

    async def newest(self, subject: SubjectKey, texts: Texts, *, limit: int) -> list[Happening]:
        """The newest that are about accounts: not those of signing in, nor of forms that came to nothing."""
        wanted = read.Query(subject_ref=subject.subject_ref, limit=_LOOKED_AT)
        async with self._database.transaction() as connection:
            rows, _ = await self._reader.page(connection, wanted)
        told = [row for row in rows if not row["type"].startswith(_ABOUT_THE_PAGES)]
        return [self._happening(read.render(row, subject), texts) for row in told[:limit]]

    def _happening(self, event: Mapping[str, Any], texts: Texts) -> Happening:
        provider, kind = event.get("connection"), str(event["type"])
        shown = self._apps.provider_name(provider)
        refused = event["decision"] == Decision.REFUSED
        sentence = texts.one_of(
            "event",
            _REFUSED.get(kind, kind) if refused else kind,
            agent=isolated(self._apps.name(event.get("client_id")) or texts("event.somebody")),
            provider=isolated(shown or texts("event.something")),
            type=kind,
        )
        return Happening(
            at=datetime.fromisoformat(event["at"]),
            sentence=sentence,
            refused=refused,
            provider=provider,
            provider_name=shown,
            account=(event.get("account") or "")[:LONGEST_NAME] or None,
            reason=None if kind == read.UNVERIFIED else _reason(event, texts),
            actor=_actor(event.get("actor")),
        )


def _reason(event: Mapping[str, Any], texts: Texts) -> Markup | None:
    reason = event.get("reason")
    if reason is None:
        return None
    unconnected = texts.find("unconnected", reason) if event["type"] == EventType.CONNECTION_REFUSED else None
    known = unconnected or texts.find("reason", reason)
    if known is None and event["decision"] == Decision.REFUSED:
        # A word that has no sentence is shown as it is; it helps whoever is asked.
        return texts("activity.reason", reason=reason)
    return known


def _actor(actor: object) -> str | None:
    """Who acted for the agent, as its own token says (RFC 8693 §4.1)."""
    sub = actor.get("sub") if isinstance(actor, dict) else None
    return sub[:LONGEST_NAME] if isinstance(sub, str) else None
