"""Where a token is wanted (api.md §1.1, RFC 8693 §2.1, RFC 8707 §2): by name, by the API's URL, or by both at once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.wire.answers import check_refusal
from tests.wire.vault import App, Vault


@pytest_asyncio.fixture
async def connected(app: App) -> App:
    await app.connect()
    return app


async def ask(vault: Vault, app: App, **targets: Any) -> httpx.Response:
    """Each target once or several times; no target is left over from elsewhere."""
    form: dict[str, Any] = vault.exchange_form(app.session_token, audience=None)
    return await vault.http.post("/oauth/token", data=form | targets, auth=vault.agent)


def api(vault: Vault, path: str = "", provider: str = "github") -> str:
    return vault.world.places.providers[provider] + path


async def test_a_name_or_any_url_of_its_api_or_both_as_often_as_one_likes(vault: Vault, connected: App) -> None:
    user, repos = api(vault, "/user"), api(vault, "/repos?per_page=1&page=2")
    for targets in (
        {"audience": "github"},
        {"audience": ["github", "github"]},
        {"resource": user},
        {"resource": [user, repos]},
        {"audience": "github", "resource": user},
        {"audience": ["github", "github"], "resource": [user, repos, user]},
        {"audience": "", "resource": user},
        {"audience": ["", "github"], "resource": ""},
        {"resource": user.replace("http:", "HTTP:")},
        {"resource": api(vault)},
        {"resource": api(vault, "?x")},
    ):
        answer = await ask(vault, connected, **targets)
        assert (answer.status_code, answer.json().get("connection")) == (200, "github"), targets


async def test_several_that_mean_several_are_invalid_target(vault: Vault, connected: App) -> None:
    for targets in (
        {"audience": ["github", "slack"]},
        {"audience": ["github", "nowhere"]},
        {"resource": [api(vault, "/user"), api(vault, "/x", "slack")]},
        {"resource": [api(vault, "/user"), "https://api.nowhere.example"]},
        {"audience": "github", "resource": api(vault, "/x", "google")},
        {"audience": "slack", "resource": api(vault, "/user")},
    ):
        check_refusal(await ask(vault, connected, **targets), 400, "invalid_target")


@pytest.mark.parametrize(
    "written",
    [
        "{origin}/user#fragment",
        "{origin}/user#",
        "http://me@{place}/user",
        "http://me:secret@{place}/user",
        "http://@{place}/user",
        "https://{place}/user",
        "ftp://{place}/user",
        "{place}/user",
        "//{place}/user",
        "/user",
        "http:/{place}",
        "http://{host}./user",
        "http://{host}/user",
        "http://{host}:0/user",
        "http://{host}:99999/user",
        "http://{host}:port/user",
        "http://127.1:{port}/user",
        "http://0x7f000001:{port}/user",
        "http://%31%32%37.0.0.1:{port}/user",
        "http://[::ffff:127.0.0.1]:{port}/user",
        "http://１２７.0.0.1:{port}/user",  # noqa: RUF001 - full-width digits, which some parsers take for digits
        "http://{place}\\@evil.example/user",
        "http://evil.example\\@{place}/user",
        "http://evil.example?@{place}/user",
        "{origin} /user",
        " {origin}/user",
        "{origin}/é",
        "urn:github",
        "github",
        "http://[",
    ],
)
async def test_a_resource_that_is_no_url_of_the_api_is_invalid_target(
    vault: Vault, connected: App, written: str
) -> None:
    """RFC 8707 §2: absolute, without a fragment; and compared by origin, not by what some resolver makes of it."""
    origin = api(vault)
    place = origin.partition("//")[2]
    host, _, port = place.partition(":")
    resource = written.format(origin=origin, place=place, host=host, port=port)
    check_refusal(await ask(vault, connected, resource=resource), 400, "invalid_target")
    # Not even beside a name that is right.
    check_refusal(await ask(vault, connected, audience="github", resource=resource), 400, "invalid_target")
