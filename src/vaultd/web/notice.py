"""What has just happened, at the top of `/connections`.

Anyone can write a link with any query, so only its codes are read, its words never, and good news are told only where
they are true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vaultd.web.away import Agent
from vaultd.web.overview import Overview, Place
from vaultd.web.show.texts import Texts


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence; for bad news the cause, and a link by which the person may try again."""

    good: bool
    sentence: Markup
    cause: Markup | None = None
    retry: str | None = None


def notice_of(query: Mapping[str, str], overview: Overview, agents: Sequence[Agent], texts: Texts) -> Notice | None:
    """The notice that a query asks for, if any."""
    status, name = query.get("status"), query.get("connection", "")
    if status in {"away_on", "away_off"}:
        return _switched(query.get("agent"), agents, texts, allowed=status == "away_on")
    place = next((place for place in overview.places if place.name == name), None)
    if status == "error":
        return _failed(query.get("error"), place, texts)
    if place is None:
        return None
    if status == "connected" and place.live:
        return Notice(good=True, sentence=texts("notice.connected", provider=place.display_name))
    if status == "disconnected" and not place.connected:
        return Notice(good=True, sentence=texts("notice.disconnected", provider=place.display_name))
    return None


def _failed(error: str | None, place: Place | None, texts: Texts) -> Notice:
    provider = place.display_name if place else texts("notice.somewhere")
    return Notice(
        good=False,
        sentence=texts("notice.not_connected", provider=provider),
        cause=texts.one_of("failed", error, provider=provider),
        retry=place.connect if place else None,
    )


def _switched(client_id: str | None, agents: Sequence[Agent], texts: Texts, *, allowed: bool) -> Notice | None:
    agent = next((agent for agent in agents if agent.client_id == client_id), None)
    if agent is None or agent.allowed is not allowed:
        return None
    return Notice(good=True, sentence=texts("notice.away_on" if allowed else "notice.away_off", agent=agent.name))
