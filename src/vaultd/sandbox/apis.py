"""Small APIs behind a sandbox provider's access tokens, in the shapes of GitHub's, Google's and Slack's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vaultd.sandbox.endpoints import Handler
from vaultd.sandbox.grants import Access
from vaultd.sandbox.oauth import bearer_of, json_answer
from vaultd.sandbox.people import PEOPLE, Person
from vaultd.terms import Clock

FindAccess = Callable[[str], Access | None]

CALENDAR_SCOPE = "https://www.googleapis.com/auth/calendar.readonly"
REPOSITORY = "https://api.github.com/repos/acme/orchard"

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


class Apis:
    """The API of one provider; `access` says what a bearer token stands for."""

    def __init__(self, *, access: FindAccess, clock: Clock) -> None:
        self._access = access
        self._clock = clock

    def handlers(self, provider: str) -> dict[str, Handler]:
        """Path to handler for `github`, `google` and `slack`; a provider of another name has no API."""
        by_provider: dict[str, dict[str, Handler]] = {
            "github": {"/user": self._github_user, "/search/issues": self._github_search},
            "google": {"/calendar/v3/calendars/primary/events": self._google_events},
            "slack": {"/conversations.history": self._slack_history},
        }
        return by_provider.get(provider, {})

    def _bearer(self, request: Request) -> Access | None:
        return self._access(bearer_of(request.headers.get("authorization")))

    async def _github_user(self, request: Request) -> Response:
        access = self._bearer(request)
        if access is None:
            return _github_error(401, "Bad credentials")
        person = access.family.person
        return json_answer({"login": person.login, "id": person.number, "name": person.name, "email": person.email})

    async def _github_search(self, request: Request) -> Response:
        access = self._bearer(request)
        if access is None:
            return _github_error(401, "Bad credentials")
        if "repo" not in access.scopes:
            return _github_error(403, "Resource not accessible by integration")
        if not request.query_params.get("q"):
            return _github_error(422, "Validation Failed")
        items = [_pull_request(*pull) for pull in PULL_REQUESTS[access.family.person.login]]
        return json_answer({"total_count": len(items), "incomplete_results": False, "items": items})

    async def _google_events(self, request: Request) -> Response:
        access = self._bearer(request)
        if access is None:
            return _google_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if CALENDAR_SCOPE not in access.scopes:
            return _google_error(403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
        person, now = access.family.person, self._clock()
        items = [_event(person, now, planned) for planned in EVENTS[person.login]]
        return json_answer({"kind": "calendar#events", "summary": person.email, "timeZone": "UTC", "items": items})

    async def _slack_history(self, request: Request) -> Response:
        access = self._bearer(request)
        if access is None:
            return json_answer({"ok": False, "error": "invalid_auth"})
        if "channels:history" not in access.scopes:
            return json_answer({"ok": False, "error": "missing_scope", "needed": "channels:history"})
        if not request.query_params.get("channel"):
            return json_answer({"ok": False, "error": "channel_not_found"})
        now = self._clock()
        messages = [
            _message(now, minutes=index * 20, login=login, text=text)
            for index, (login, text) in enumerate(MESSAGES, start=1)
        ]
        return json_answer({"ok": True, "messages": messages, "has_more": False})


def _github_error(status: int, message: str) -> Response:
    return JSONResponse({"message": message, "documentation_url": "https://docs.github.com/rest"}, status_code=status)


def _google_error(status: int, word: str, message: str) -> Response:
    return JSONResponse({"error": {"code": status, "message": message, "status": word}}, status_code=status)


def _pull_request(number: int, title: str, author: str) -> dict[str, Any]:
    web = f"https://github.com/acme/orchard/pull/{number}"
    return {
        "number": number,
        "title": title,
        "state": "open",
        "user": {"login": author, "id": PEOPLE[author].number},
        "html_url": web,
        "repository_url": REPOSITORY,
        "pull_request": {"html_url": web},
    }


def _event(person: Person, now: datetime, planned: tuple[int, int, int, str]) -> dict[str, Any]:
    hour, minute, length, summary = planned
    start = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return {
        "kind": "calendar#event",
        "status": "confirmed",
        "summary": summary,
        "organizer": {"email": person.email, "self": True},
        "start": {"dateTime": start.isoformat(), "timeZone": "UTC"},
        "end": {"dateTime": (start + timedelta(minutes=length)).isoformat(), "timeZone": "UTC"},
    }


def _message(now: datetime, *, minutes: int, login: str, text: str) -> dict[str, Any]:
    stamp = (now - timedelta(minutes=minutes)).timestamp()
    return {
        "type": "message",
        "user": f"U{PEOPLE[login].number}",
        "username": login,
        "text": text,
        "ts": f"{stamp:.6f}",
    }
