"""docs/guides/from-nango.md and examples/from_nango.py, from Nango's documented answers to an exchange (issue 7.5)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.guides import GUIDES, ROOT, blocks
from tests.support.processes import Installation, install
from tests.wire.importing import issued, run_import
from tests.wire.vault import App, Vault, fresh
from vaultd.sandbox.dev_config import BRIEFING_AGENT
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World

GUIDE = GUIDES / "from-nango.md"
SCRIPT = ROOT / "examples" / "from_nango.py"
KEY = "a key of a Nango environment"
INTEGRATION = "google-prod"
PAUSES = ("0", "Tue, 01 Jan 2019 00:00:00 GMT")


class NangoDouble:
    """Answers as https://nango.dev/docs/reference/backend/backend-sdk/node showed it on 2026-11-25.

    `statuses` are answers without a connection. The first lists are answered with 429, as its rate limits are, and each
    way to write when to come again.
    """

    def __init__(self) -> None:
        self.connections: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[Mapping[str, str]] = []
        self.app = Starlette(routes=[Route("/connections", self._list), Route("/connections/{id:path}", self._get)])

    def hold(self, connection_id: str, credentials: Mapping[str, Any], **more: Any) -> None:
        """Add a connection in the documented shape."""
        self.connections[connection_id] = {
            "id": 18393 + len(self.connections),
            "created_at": "2023-03-08T09:43:03.725Z",
            "updated_at": "2023-03-08T09:43:03.725Z",
            "last_fetched_at": None,
            "provider_config_key": INTEGRATION,
            "provider": "google-calendar",
            "connection_id": connection_id,
            "credentials": credentials,
            "connection_config": {"subdomain": "myshop"},
            "metadata": {"myProperty": "yes"},
            "errors": [],
            "end_user": None,
            "tags": None,
            **more,
        }

    async def _list(self, request: Request) -> Response:
        if len(self.asked) < len(PAUSES):
            headers = {"Retry-After": PAUSES[len(self.asked)]}
            self.asked.append(dict(request.query_params))
            return JSONResponse({"error": {"code": "too_many_request"}}, 429, headers=headers)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"code": "unknown_user_account"}}, 401)
        public = ("id", "connection_id", "provider", "provider_config_key", "metadata", "tags", "errors", "end_user")
        shown = [{name: one[name] for name in public} for one in self.connections.values()]
        return JSONResponse({"connections": shown})

    async def _get(self, request: Request) -> Response:
        self.asked.append(dict(request.query_params))
        connection_id = request.path_params["id"]
        if connection_id in self.statuses:
            return JSONResponse({"error": {"code": "connection_refresh_exhausted"}}, self.statuses[connection_id])
        found = dict(self.connections[connection_id])
        if request.query_params.get("refresh_token") != "true":
            kept = {name: value for name, value in found["credentials"].items() if name != "refresh_token"}
            found["credentials"] = kept
        return JSONResponse(found)


@pytest.fixture
def nango() -> Iterator[tuple[NangoDouble, str]]:
    double, listener = NangoDouble(), listen()
    with LoopbackServers() as servers:
        yield double, servers.serve(double.app, listener)


@pytest.fixture(scope="module")
def here(world: World) -> Installation:
    return install(world, "from-nango")


def _export(host: str, *words: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environ |= {"NANGO_API_KEY": key} if key else {}
    command = [sys.executable, str(SCRIPT), "--host", host, "--issuer", "sandbox", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def _oauth2(grant: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    raw = {"access_token": grant["access_token"], "token_type": "bearer", "scope": grant["scope"]}
    credentials = {
        "type": "OAUTH2",
        "access_token": grant["access_token"],
        "refresh_token": grant["refresh_token"],
        "expires_at": "2030-03-08T09:43:03.725Z",
        "raw": raw,
    }
    return {**credentials, **changes}


@dataclass(frozen=True, slots=True)
class Two:
    """Apps of two users."""

    mine: App
    theirs: App


@pytest.fixture
def two(app: App, other_app: App) -> Two:
    return Two(app, other_app)


async def test_connections_become_lines_that_are_imported_and_exchanged(
    vault: Vault, two: Two, here: Installation, nango: tuple[NangoDouble, str], tmp_path: Path
) -> None:
    """A tag or the former end user says whose it is; what cannot be moved is named, and no token with it."""
    world, app, other_app = vault.world, two.mine, two.theirs
    double, host = nango
    mine, theirs = issued(world), issued(world, person="bob")
    double.hold("tagged/1", _oauth2(mine), tags={"end_user_id": "u-1", "end_user_email": "alice@example.com"})
    double.hold("former", _oauth2(theirs), end_user={"id": "u-2", "email": "bob@example.com", "display_name": None})
    double.hold("key", {"type": "API_KEY", "apiKey": "a key that must not be shown"}, tags={"end_user_id": "u-3"})
    double.hold("nobodys", _oauth2(issued(world, person="carol")))
    double.hold("unknown", _oauth2(issued(world, person="carol")), tags={"end_user_id": "u-9"})
    double.hold("dead", _oauth2(mine), tags={"end_user_id": "u-3"})
    double.hold("elsewhere", _oauth2(mine), tags={"end_user_id": "u-1"}, provider_config_key="slack-prod")
    double.statuses["dead"] = 424
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"u-1": app.user, "u-2": other_app.user, "u-3": fresh("user")}), encoding="utf-8")

    exported = _export(host, "--integration", f"{INTEGRATION}=google", "--users", str(users))
    assert exported.returncode == 0, exported.stderr
    assert [json.loads(line)["sub"] for line in exported.stdout.splitlines()] == [app.user, other_app.user]
    left_out = [line.split()[3].rstrip(":") for line in exported.stderr.splitlines()]
    assert left_out == ["key", "nobodys", "unknown", "dead"]
    assert not [secret for secret in (*mine.values(), "a key that must") if str(secret) in exported.stderr]

    done = run_import(here, "-", "--ask-provider", stdin=exported.stdout.encode())
    assert (done.code, "Connections imported: 2." in done.out) == (0, True), done
    for each, grant in ((app, mine), (other_app, theirs)):
        answer = await vault.exchange(each.session_token, audience="google")
        assert answer.json()["access_token"] == grant["access_token"], answer.text
    accounts = (await app.http.get("accounts")).json()["accounts"]
    assert [account["account"] for account in accounts] == ["alice@example.com"]


def test_it_stops_with_a_word_and_no_half_of_the_lines_passes_for_the_whole(nango: tuple[NangoDouble, str]) -> None:
    double, host = nango
    wanted = ("--integration", f"{INTEGRATION}=google")
    for words, key, told in (
        (wanted, "wrong", "Nango answers 401"),
        (wanted, None, "'NANGO_API_KEY' is not there"),
        ((*wanted, "--host", "http://nango.example.com"), KEY, "--host must begin with https://"),
    ):
        stopped = _export(host, *words, key=key)
        assert (stopped.returncode, stopped.stdout) == (1, "")
        assert told in stopped.stderr
    double.hold("one", _oauth2({"access_token": "a", "refresh_token": "r", "scope": "s"}), tags={"end_user_id": "u"})
    double.statuses["one"] = 500
    double.hold("two", _oauth2({"access_token": "b", "refresh_token": "q", "scope": "s"}), tags={"end_user_id": "u"})
    double.connections = dict(reversed(double.connections.items()))
    stopped = _export(host, *wanted)
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert "Nango answers 500" in stopped.stderr
    del double.connections["two"]
    no_scopes = _oauth2({"access_token": "a", "refresh_token": "r", "scope": None})
    double.hold("one", no_scopes, tags={"end_user_id": "u"})
    double.statuses.clear()
    assert "write them with --scopes" in _export(host, *wanted).stderr
    with_scopes = _export(host, *wanted, "--scopes", f"{INTEGRATION}=openid email")
    assert json.loads(with_scopes.stdout)["scopes"] == "openid email"


@pytest.mark.parametrize(
    ("provider", "connection_config", "moved"),
    [
        ("quickbooks", {"realmId": "4620816365"}, {"metadata": {"realm_id": "4620816365"}}),
        ("shopify", {"subdomain": "my-shop"}, {"settings": {"shop": "my-shop"}}),
        ("zendesk", {"subdomain": "acme"}, {"settings": {"subdomain": "acme"}}),
        ("jira", {"cloudId": "c-1", "accountId": "a-1"}, {"metadata": {"sites": ["c-1"]}, "account": {"id": "a-1"}}),
        ("slack", {"team.id": "T1", "bot_user_id": "U2"}, {"metadata": {"team_id": "T1"}}),
        ("google-calendar", {"subdomain": "acme"}, {}),
        ("shopify", {}, {}),
        ("shopify", None, {}),
    ],
)
def test_what_the_token_is_for_goes_along(
    provider: str, connection_config: Any, moved: dict[str, Any], nango: tuple[NangoDouble, str]
) -> None:
    double, host = nango
    grant = {"access_token": "a", "refresh_token": "r", "scope": "s"}
    more = {"provider": provider, "connection_config": connection_config, "tags": {"end_user_id": "u"}}
    double.hold("one", _oauth2(grant), **more)
    exported = _export(host, "--integration", f"{INTEGRATION}=acme")
    line = json.loads(exported.stdout)
    assert {key: line[key] for key in ("settings", "metadata", "account") if key in line} == moved
    # What the operator names goes along for any provider, from Nango's own metadata too.
    carried = ("--carry", f"{INTEGRATION}:settings.site=metadata.myProperty")
    line = json.loads(_export(host, "--integration", f"{INTEGRATION}=acme", *carried).stdout)
    assert line["settings"] == {**moved.get("settings", {}), "site": "yes"}


def test_a_place_that_no_line_has_is_refused(nango: tuple[NangoDouble, str]) -> None:
    for carried in ("settings.site=x", f"{INTEGRATION}:refresh_token=x", f"{INTEGRATION}:settings.site"):
        stopped = _export(nango[1], "--integration", f"{INTEGRATION}=acme", "--carry", carried)
        assert (stopped.returncode, stopped.stdout) == (2, "")


def test_the_guide_shows_what_the_script_makes(nango: tuple[NangoDouble, str]) -> None:
    double, host = nango
    _, connection, made = (json.loads(block.text) for block in blocks(GUIDE, "json"))
    double.hold(**connection)
    exported = _export(host, "--integration", "github-prod=github")
    assert json.loads(exported.stdout) == made | {"issuer": "sandbox"}, exported.stderr


def test_the_commands_in_the_guide_have_options_that_exist() -> None:
    (shell,) = (block.text for block in blocks(GUIDE, "sh"))
    (command,) = [line for line in shell.splitlines() if "from_nango" in line]
    helped = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True).stdout
    for word in command.split():
        assert not word.startswith("--") or word in helped


async def test_the_call_answers_as_the_guide_shows(world: World, app: App) -> None:
    (block,) = blocks(GUIDE, "python")
    shown, *_ = (json.loads(each.text) for each in blocks(GUIDE, "json"))
    here = block.text.replace("https://vault.example.com", world.places.vault).replace("web-app", BRIEFING_AGENT)
    names: dict[str, Any] = {}
    exec(here, names)  # noqa: S102
    answer = names["google_token"](app.session_token, world.secrets.briefing_agent.reveal())
    theirs = json.dumps(answer).replace(world.places.vault, "https://vault.example.com")
    theirs = theirs.replace(BRIEFING_AGENT, "web-app").replace("Google Calendar", "Google")
    assert json.loads(theirs) == shown
