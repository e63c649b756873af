"""The page before leaving for a provider: which app asks, for whom, and for what in words (api.md §3).

Its way on is a link, the provider's own or the ticket's, since CSP's `form-action` binds a form's redirects too. A page
elsewhere can lead a browser here, but it can neither read that link nor press it: the pages are never framed (B7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse

from vaultd.clients.registry import Client
from vaultd.connect import Sought, declined_url
from vaultd.providers.registry import Provider
from vaultd.web.apps import Apps
from vaultd.web.hint import account_hint
from vaultd.web.overview import Overviews
from vaultd.web.show.pages import Pages, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A consent that is about to begin.

    `settings` are where the provider is, `to` is its link, `back` the app's. For who comes with a ticket, `vault_of` is
    whose vault it leads into, which is `of_another` where somebody else is signed in here, and `cancel` the way back.
    """

    client: Client
    provider: Provider
    sought: Sought
    settings: Mapping[str, str]
    login_hint: str | None
    to: str
    back: str
    cancel: str | None = None
    vault_of: str | None = None
    of_another: bool = False


class Confirming:
    """Asks the person. `home` is where a link ends that names no place."""

    def __init__(self, *, pages: Pages, overviews: Overviews, apps: Apps, home: str) -> None:
        self._pages = pages
        self._overviews = overviews
        self._apps = apps
        self._home = home

    def page(self, request: Request, person: Person | None, leaving: Leaving) -> HTMLResponse:
        """The page. `person` is who is signed in here."""
        provider, client = leaving.provider, leaving.client
        others = [app.display_name for app in self._apps.using(provider.name) if app.id != client.id]
        own = leaving.back == self._home
        config = provider.config
        return self._pages(
            request,
            "confirm.html",
            person=person,
            app=client.display_name,
            provider=provider,
            permissions=self._overviews.permissions(provider, leaving.sought.scopes - leaving.sought.own),
            own=self._overviews.permissions(provider, leaving.sought.own),
            account=account_hint(leaving.login_hint),
            user=person.name if person and leaving.vault_of is None else leaving.vault_of,
            ticketed=leaving.vault_of is not None,
            of_another=leaving.of_another,
            places=[
                (config.connection_settings[name].description, value)
                for name, value in leaving.settings.items()
                if name not in config.fixed_settings
            ],
            others=others,
            to=leaving.to,
            host=None if own else _host(leaving.back),
            cancel=leaving.cancel or ("/connections" if own else declined_url(leaving.back, provider.name)),
        )


def wanted_by(request: Request, client: Client) -> bool:
    """Whether a person is to be asked: the client's settings say so, and it is a browser that follows the link."""
    return client.config.confirm_connect and reads_pages(request)


def reads_pages(request: Request) -> bool:
    """Whether it is a browser that asks.

    A program that follows links reads no pages, and goes straight on as api.md §2 and §3 say. No page elsewhere makes a
    browser look like one: it says that it reads HTML whenever it navigates, and who sent it with everything else
    (Fetch Metadata).
    """
    return "text/html" in request.headers.get("accept", "") or "sec-fetch-site" in request.headers


def _host(url: str) -> str:
    """What a person may know a place by; a native app's URL has only its scheme."""
    parts = urlsplit(url)
    return parts.netloc or parts.scheme
