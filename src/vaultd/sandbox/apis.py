"""Small APIs behind a sandbox provider's access tokens, in the shapes of GitHub's, Google's and Slack's own."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vaultd.sandbox.endpoints import Handler
from vaultd.sandbox.grants import Access
from vaultd.sandbox.oauth import bearer_of, json_answer
from vaultd.sandbox.orchard import Window, events, messages, pull_requests
from vaultd.terms import Clock

FindAccess = Callable[[str], Access | None]

CALENDAR_SCOPE = "https://www.googleapis.com/auth/calendar.readonly"


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
        try:
            window = Window.of_search(request.query_params.get("q", ""))
        except ValueError:
            return _github_error(422, "Validation Failed")
        items = pull_requests(access.family.person, self._clock(), window)
        return json_answer({"total_count": len(items), "incomplete_results": False, "items": items})

    async def _google_events(self, request: Request) -> Response:
        access = self._bearer(request)
        if access is None:
            return _google_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if CALENDAR_SCOPE not in access.scopes:
            return _google_error(403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
        person, query = access.family.person, request.query_params
        try:
            items = events(person, self._clock(), Window.of_times(query.get("timeMin"), query.get("timeMax")))
        except ValueError:
            return _google_error(400, "INVALID_ARGUMENT", "Bad Request")
        return json_answer({"kind": "calendar#events", "summary": person.email, "timeZone": "UTC", "items": items})

    async def _slack_history(self, request: Request) -> Response:
        access = self._bearer(request)
        if access is None:
            return json_answer({"ok": False, "error": "invalid_auth"})
        if "channels:history" not in access.scopes:
            return json_answer({"ok": False, "error": "missing_scope", "needed": "channels:history"})
        if not request.query_params.get("channel"):
            return json_answer({"ok": False, "error": "channel_not_found"})
        query = request.query_params
        try:
            found = messages(self._clock(), Window.of_stamps(query.get("oldest"), query.get("latest")))
        except ValueError:
            return json_answer({"ok": False, "error": "invalid_ts_latest"})
        return json_answer({"ok": True, "messages": found, "has_more": False, "pin_count": 0})


def _github_error(status: int, message: str) -> Response:
    return JSONResponse({"message": message, "documentation_url": "https://docs.github.com/rest"}, status_code=status)


def _google_error(status: int, word: str, message: str) -> Response:
    return JSONResponse({"error": {"code": status, "message": message, "status": word}}, status_code=status)
