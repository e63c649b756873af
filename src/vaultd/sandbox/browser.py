"""A browser in small: it keeps cookies, follows redirects, reads forms and clicks buttons. No scripts, no pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx

from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.page import Button, Form, Page, read_page

MAX_HOPS = 20
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SAME_METHOD = frozenset({307, 308})


class BrowserError(Exception):
    """The page is not as the person expected: no such button, or redirects without an end."""


class Browser:
    """One person's browser. `page` is what it shows.

    `stop_at` are beginnings of URLs that it does not load: a redirect there ends with a page that has `url` set and
    `status` 0, as for an app that nobody serves. `transport` replaces the network.
    """

    def __init__(self, *, stop_at: Collection[str] = (), transport: httpx.AsyncBaseTransport | None = None) -> None:
        # No proxies from the environment: everything is on loopback.
        self.http = loopback_http(transport=transport, timeout=30.0, headers={"Accept": "text/html,*/*;q=0.5"})
        self.page = Page(url="about:blank", status=0)
        self._stop_at = tuple(stop_at)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def open(self, url: str) -> Page:
        """Type a URL. Raises `BrowserError` when redirects do not end, httpx's own errors when nobody answers."""
        return await self._go("GET", url, {})

    async def click(self, what: str, *, fields: Mapping[str, str] | None = None) -> Page:
        """Press the button, or follow the link, whose words or value are `what`; `fields` fills in its form first.

        Raises:
            BrowserError: the page has none, or several that differ.
        """
        found = self.page.pressable(what)
        if len(found) > 1:
            raise BrowserError(f"Several things on {self.page.url} are called {what!r}.")
        if found:
            return await self._submit(*found[0], fields or {})
        link = self.page.links.get(what)
        if link is None:
            raise BrowserError(f"{self.page.url} ({self.page.status}) has no {what!r}, only {self.page.choices()}.")
        return await self.open(urljoin(self.page.url, link))

    async def _submit(self, form: Form, button: Button, fields: Mapping[str, str]) -> Page:
        values = {**form.fields, **fields, **({button.name: button.value} if button.name else {})}
        return await self._go(form.method, urljoin(self.page.url, form.action or self.page.url), values)

    async def _go(self, method: str, url: str, values: Mapping[str, str]) -> Page:
        if method == "GET" and values:
            url = str(httpx.URL(url).copy_with(params=dict(values)))
        for _ in range(MAX_HOPS):
            response = await self._send(method, url, values)
            if response.status_code not in REDIRECTS or "location" not in response.headers:
                self.page = read_page(str(response.url), response.status_code, response.headers, response.text)
                return self.page
            url = urljoin(url, response.headers["location"])
            if response.status_code not in SAME_METHOD:
                method, values = "GET", {}
            if url.startswith(self._stop_at):
                self.page = Page(url=url, status=0)
                return self.page
        raise BrowserError(f"Redirects without an end, the last one to {urlsplit(url).netloc}.")

    async def _send(self, method: str, url: str, values: Mapping[str, str]) -> httpx.Response:
        if method == "GET":
            return await self.http.get(url)
        return await self.http.post(url, data=dict(values), headers={"Origin": self._origin()})

    def _origin(self) -> str:
        """What browsers send with a form post: nothing usable from a page that hides its address."""
        if self.page.headers.get("referrer-policy") == "no-referrer" or not urlsplit(self.page.url).netloc:
            return "null"
        parts = urlsplit(self.page.url)
        return f"{parts.scheme}://{parts.netloc}"
