"""An app whose users connect GitHub by a link and see how it stands. `docs/embedding.md` tells how to run it.

All that it needs of vaultd is a link and one call; a token of the user it has from its own sign-in.
"""

from __future__ import annotations

import os
from html import escape
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

VAULT = os.environ.get("VAULT_URL", "http://127.0.0.1:8080")
# Exactly as it is registered for this app.
OWN_URL = os.environ.get("APP_URL", "http://127.0.0.1:8090/")
# Yours is the token that your app has of its signed-in user. The sandbox's issuer hands one out to whoever asks.
SESSION_TOKEN_URL = os.environ.get("SESSION_TOKEN_URL", "")
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Settings</title>
<h1>Settings</h1>
<p role="status">{notice}</p>
<p>GitHub: {state}.</p>
<p><a href="{connect}">{words}</a></p>
<p><a href="{vault}/connections">All connections and what was done with them</a></p>
"""
STATES = {"connected": "connected as {account}", "reconnect_required": "{account} must be connected again"}


class GitHub:
    """How one user's GitHub stands, kept until vaultd says that it is different."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._etag = ""
        self._accounts: list[dict[str, Any]] = []

    async def accounts(self, token: str) -> list[dict[str, Any]]:
        """The accounts; with nothing new, vaultd answers 304 and sends none."""
        headers = {"Authorization": f"Bearer {token}", "If-None-Match": self._etag}
        url = f"{VAULT}/me/v1/connected-accounts/accounts"
        answer = await self._http.get(url, params={"connection": "github"}, headers=headers)
        if answer.status_code != httpx.codes.NOT_MODIFIED:
            answer.raise_for_status()
            self._etag, self._accounts = answer.headers["etag"], answer.json()["accounts"]
        return self._accounts


def create_app(http: httpx.AsyncClient) -> Starlette:
    """The app. One user is enough to show it; yours has a `GitHub` for each."""
    github = GitHub(http)

    async def settings(request: Request) -> Response:
        token = (await http.get(SESSION_TOKEN_URL)).raise_for_status().text.strip()
        try:
            accounts = await github.accounts(token)
        except httpx.HTTPError:
            return _page(request, "not known at the moment")
        states = [STATES[each["status"]].format(account=each["account"] or "an account") for each in accounts]
        return _page(request, " and ".join(states) or "not connected", connected=bool(accounts))

    return Starlette(routes=[Route("/", settings)])


def _page(request: Request, state: str, *, connected: bool = False) -> Response:
    connect = f"{VAULT}/auth/connect/github?{urlencode({'return_to': OWN_URL})}"
    words = "Connect GitHub again" if connected else "Connect GitHub"
    fields = {"notice": _notice(request), "state": state, "connect": connect, "words": words, "vault": VAULT}
    return HTMLResponse(PAGE.format(**{name: escape(text) for name, text in fields.items()}))


def _notice(request: Request) -> str:
    """What the way back says. Anyone can make such a link, so it is good for a sentence: how it stands is asked for."""
    came_back = request.query_params
    if came_back.get("connection") != "github":
        return ""
    if came_back.get("status") == "connected":
        return "Welcome back from GitHub."
    return {
        "access_denied": "You did not allow the connection.",
        "temporarily_unavailable": "GitHub cannot be reached right now. Try again later.",
    }.get(came_back.get("error", ""), "GitHub could not be connected. Try again.")


app = create_app(httpx.AsyncClient(trust_env=False, timeout=10.0))
