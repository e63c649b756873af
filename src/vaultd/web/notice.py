"""What has just happened, at the top of `/connections`.

Anyone can write a link with any query, so only its codes are read, its words never, and good news are told only where
they are true. A number is shown as far as it has the form of a request's id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vaultd.web.away import Agent
from vaultd.web.overview import Overview, Place
from vaultd.web.show.texts import Texts

_NUMBER = re.compile(r"[0-9a-f]{32}")
_NOT_SETUP = frozenset({"access_denied", "temporarily_unavailable", "invalid_grant"})
"""Errors that mean what they say, whether there is a number or not."""


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
        return _failed(query, place, texts)
    if place is None:
        return None
    if status == "connected" and place.live:
        return Notice(good=True, sentence=texts("notice.connected", provider=place.display_name))
    if status == "disconnected" and not place.connected:
        return Notice(good=True, sentence=texts("notice.disconnected", provider=place.display_name))
    return None


def _failed(query: Mapping[str, str], place: Place | None, texts: Texts) -> Notice:
    provider = place.display_name if place else texts("notice.somewhere")
    return Notice(
        good=False,
        sentence=texts("notice.not_connected", provider=provider),
        cause=_cause(query.get("error"), query.get("number", ""), texts, provider),
        retry=place.connect if place else None,
    )


def _cause(error: str | None, number: str, texts: Texts, provider: str) -> Markup:
    if not _NUMBER.fullmatch(number):
        return texts.one_of("failed", error, provider=provider)
    if error == "invalid_grant":
        again = texts("notice.number_again", id=number)
        return Markup(" ").join([texts("failed.invalid_grant", provider=provider), again])
    # A fault of the provider's own comes without a number.
    name = "setup" if error == "server_error" else error
    cause = texts.one_of("failed", name, provider=provider)
    return cause if error in _NOT_SETUP else Markup(" ").join([cause, texts("notice.number", id=number)])


def _switched(client_id: str | None, agents: Sequence[Agent], texts: Texts, *, allowed: bool) -> Notice | None:
    agent = next((agent for agent in agents if agent.client_id == client_id), None)
    if agent is None or agent.allowed is not allowed:
        return None
    return Notice(good=True, sentence=texts("notice.away_on" if allowed else "notice.away_off", agent=agent.name))
