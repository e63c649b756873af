"""A provider that answers each step of a consent as it is told to, and a vault that knows it in the place of Slack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.doubles.four_steps import FourSteps
from vaultd.app.factory import create_app
from vaultd.sandbox.faults import Dropped
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import load

CODE = "the-code-of-this-consent"
GOOD: Mapping[str, Any] = {
    "access_token": "at-of-blunt",
    "refresh_token": "rt-of-blunt",
    "token_type": "bearer",
    "expires_in": 3600,
}


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: JSON, or the text as it is; None for a connection that is closed without one."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        if self.status == 0:
            return Dropped()
        if isinstance(self.body, str):
            return Response(self.body, self.status, dict(self.headers))
        return JSONResponse(self.body, self.status, dict(self.headers))


class Blunt(FourSteps):
    """`redirect` are the members that the browser comes back with; `names_itself` whether `iss` is among them.

    `client` is the app there.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = ("", "")
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.redirect: Mapping[str, str] = {"code": CODE}
        self.names_itself = True
        self.token = Said(200, GOOD)
        self.refresh = Said(200, GOOD)
        self.userinfo = Said(200, {"sub": "blunt-1", "email": "ada@example.com"})
        self.revoke = Said(200, {})
        self.state = ""

    async def _authorize(self, request: Request) -> Response:
        self.state = request.query_params["state"]
        members = {"state": self.state, **({"iss": self.url} if self.names_itself else {}), **self.redirect}
        members = {name: value.replace("{state}", self.state) for name, value in members.items()}
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{urlencode(members)}", status_code=303)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        return (self.refresh if form["grant_type"] == "refresh_token" else self.token).response()

    async def _userinfo(self, request: Request) -> Response:
        return self.userinfo.response()

    async def _revoke(self, request: Request) -> Response:
        return self.revoke.response()


@contextmanager
def blunt_vault(world: World) -> Iterator[tuple[World, Blunt]]:
    """On the database and with the issuer of the world; gives it with this vault in it, and the provider."""
    vault, provider = listen(), listen()
    blunt = Blunt(provider.url)
    text = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
    text = text.replace(f'public_url = "{world.places.vault}"', f'public_url = "{vault.url}"')
    text = text.replace(world.places.providers["slack"], provider.url)
    table = "[providers.slack]\n"
    text = text.replace(table, f'{table}declined_errors = ["user_cancelled"]\n')
    config = world.folder / f"blunt-{vault.port}.toml"
    config.touch(mode=0o600)
    config.write_text(text, encoding="utf-8")
    settings = load(config, environ={}, allow_literal_secrets=True)
    slack = settings.providers["slack"]
    blunt.client = (slack.client_id, slack.client_secret.reveal() if slack.client_secret else "")
    with LoopbackServers() as servers:
        servers.serve(blunt.app, provider)
        servers.serve(create_app(settings), vault)
        yield replace(world, places=replace(world.places, vault=vault.url)), blunt
