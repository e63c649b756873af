"""The two cookies: the signed-in session, and the browser that began a flow."""

from __future__ import annotations

import re
import secrets

from fastapi import Request
from fastapi.responses import Response

_FLOW_SECONDS = 900
_BYTES = 32
_OURS = re.compile(r"[A-Za-z0-9_-]{43}")


class Cookies:
    """`__Host-` cookies over https; over plain http on loopback, ordinary ones, so that simple clients keep them."""

    def __init__(self, *, https: bool) -> None:
        self._https = https
        prefix = "__Host-" if https else ""
        self.session_name = f"{prefix}vaultd_session"
        self._browser = f"{prefix}vaultd_browser"

    def session(self, request: Request) -> str | None:
        """The session cookie's value."""
        return request.cookies.get(self.session_name)

    def set_session(self, response: Response, value: str) -> None:
        """Give the browser a session."""
        self._set(response, self.session_name, value, None)

    def end_session(self, response: Response) -> None:
        """Take it away."""
        response.delete_cookie(self.session_name, path="/", secure=self._https, httponly=True, samesite="lax")

    def browser(self, request: Request) -> str | None:
        """The value that ties a flow to the browser that began it."""
        return request.cookies.get(self._browser)

    def browser_or_new(self, request: Request) -> str:
        """The same, or a fresh one that the answer must set; never one that somebody else made up."""
        value = self.browser(request)
        return value if value and _OURS.fullmatch(value) else secrets.token_urlsafe(_BYTES)

    def set_browser(self, response: Response, value: str) -> None:
        """Keep the browser's value for as long as a flow lasts."""
        self._set(response, self._browser, value, _FLOW_SECONDS)

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(name, value, max_age=max_age, path="/", secure=self._https, httponly=True, samesite="lax")
