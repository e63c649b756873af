"""What happens at the Orchard: pull requests, meetings and messages, as GitHub, Google and Slack tell of them.

Every pull request was touched yesterday, every meeting takes place each day, and the channel has the same posts each
day beside those of the last minutes. So whoever asks about yesterday is told something, on any day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from vaultd.sandbox.people import PEOPLE, Person

REPOSITORY = "https://api.github.com/repos/acme/orchard"
MOST_DAYS = 31
"""Of a window; what lies beyond is left out."""

PULL_REQUESTS = {
    "alice": ((42, "Water the seedlings twice a day", "bob"), (57, "Label every crate with its row", "carol")),
    "bob": ((61, "Count apples before they fall", "alice"),),
    "carol": ((63, "Move the ladder shed closer", "bob"),),
}
EVENTS = {
    "alice": ((9, 30, 15, "Morning round"), (14, 0, 60, "Harvest planning")),
    "bob": ((11, 0, 30, "Call with the mill"),),
    "carol": ((16, 15, 45, "Budget review"),),
}
MESSAGES = (("bob", "The north gate sticks again."), ("carol", "New crates arrive on Thursday."))
DAILY_MESSAGES = (
    (10, 5, "alice", "Rows 3 to 7 are watered, the timer works."),
    (15, 40, "bob", "Thanks, Alice. I will look at the sensor next."),
)
_UPDATED = re.compile(r"(?:^|\s)updated:(\S+)")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time. An end that is None is open; with both open nobody asked for any time."""

    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of_search(cls, query: str) -> Self:
        """GitHub's `updated:A..B`, with days or times. Raises `ValueError`, also for an empty query."""
        if not query.strip():
            raise ValueError("an empty query")
        found = _UPDATED.search(query)
        if found is None:
            return cls()
        start, dots, end = found[1].partition("..")
        return cls(_moment(start), _moment(end if dots else start, end_of_day=True))

    @classmethod
    def of_times(cls, start: str | None, end: str | None) -> Self:
        """Google's `timeMin` and `timeMax`. Raises `ValueError`."""
        return cls(_moment(start) if start else None, _moment(end) if end else None)

    @classmethod
    def of_stamps(cls, oldest: str | None, latest: str | None) -> Self:
        """Slack's `oldest` and `latest`. Raises `ValueError`."""
        ends = [datetime.fromtimestamp(float(stamp), UTC) if stamp else None for stamp in (oldest, latest)]
        return cls(*ends)

    @property
    def is_open(self) -> bool:
        """Whether nobody asked for any time."""
        return self.start is None and self.end is None

    def holds(self, moment: datetime) -> bool:
        """Whether this moment is in it."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment <= self.end)

    def midnights(self, now: datetime) -> Iterator[datetime]:
        """Each day that it touches, by its midnight; today when nobody asked for any time."""
        first = self.start or (self.end - timedelta(days=1) if self.end else now)
        day = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        last = self.end or max(day, now)
        for _ in range(MOST_DAYS):
            if day > last:
                return
            yield day
            day += timedelta(days=1)


def _moment(text: str, *, end_of_day: bool = False) -> datetime:
    moment = datetime.fromisoformat(text)
    if len(text) == len("2030-05-17"):
        moment = moment.replace(tzinfo=UTC) + (timedelta(days=1, microseconds=-1) if end_of_day else timedelta())
    if moment.tzinfo is None:
        raise ValueError("a time without its offset")
    return moment


def pull_requests(person: Person, now: datetime, window: Window) -> list[dict[str, Any]]:
    """As `GET /search/issues` lists them."""
    updated = now.astimezone(UTC).replace(hour=16, minute=20, second=0, microsecond=0) - timedelta(days=1)
    if not window.holds(updated):
        return []
    return [_pull_request(*pull, updated) for pull in PULL_REQUESTS[person.login]]


def _pull_request(number: int, title: str, author: str, updated: datetime) -> dict[str, Any]:
    web = f"https://github.com/acme/orchard/pull/{number}"
    return {
        "id": 900_000 + number,
        "number": number,
        "title": title,
        "state": "open",
        "draft": False,
        "comments": 1,
        "labels": [],
        "user": {"login": author, "id": PEOPLE[author].number},
        "html_url": web,
        "repository_url": REPOSITORY,
        "pull_request": {"html_url": web},
        "created_at": f"{updated - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}",
        "updated_at": f"{updated:%Y-%m-%dT%H:%M:%SZ}",
        "closed_at": None,
    }


def events(person: Person, now: datetime, window: Window) -> list[dict[str, Any]]:
    """As `GET /calendar/v3/calendars/primary/events` lists them."""
    listed = []
    for day in window.midnights(now):
        for hour, minute, length, summary in EVENTS[person.login]:
            start = day.replace(hour=hour, minute=minute)
            end = start + timedelta(minutes=length)
            if window.is_open or window.holds(start) or window.holds(end):
                listed.append(_event(person, summary, start, end))
    return listed


def _event(person: Person, summary: str, start: datetime, end: datetime) -> dict[str, Any]:
    name = f"{summary.lower().replace(' ', '')}{start:%Y%m%d}"
    return {
        "kind": "calendar#event",
        "id": name,
        "status": "confirmed",
        "htmlLink": f"https://www.google.com/calendar/event?eid={name}",
        "summary": summary,
        "organizer": {"email": person.email, "self": True},
        "start": {"dateTime": start.isoformat(), "timeZone": "UTC"},
        "end": {"dateTime": end.isoformat(), "timeZone": "UTC"},
    }


def messages(now: datetime, window: Window) -> list[dict[str, Any]]:
    """As `conversations.history` lists them, the newest first."""
    posted = [(now - timedelta(minutes=20 * index), *post) for index, post in enumerate(MESSAGES, start=1)]
    if not window.is_open:
        posted += [
            (day.replace(hour=hour, minute=minute), login, text)
            for day in window.midnights(now)
            for hour, minute, login, text in DAILY_MESSAGES
        ]
    seen = [post for post in posted if post[0] <= now and window.holds(post[0])]
    return [_message(*post) for post in sorted(seen, reverse=True)]


def _message(moment: datetime, login: str, text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "user": f"U{PEOPLE[login].number}",
        "username": login,
        "text": text,
        "ts": f"{moment.timestamp():.6f}",
    }
