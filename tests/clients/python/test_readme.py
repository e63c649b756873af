"""Issue 7: what the client's README shows is what happens; each of its snippets is run."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import vaultd_client
from tests.clients.python.speaking import agent
from tests.wire.night import Night, open_night
from tests.wire.vault import App
from vaultd.sandbox.world import World
from vaultd_client import VaultClient
from vaultd_client.signing import JwtSigner

README = (Path(__file__).parents[3] / "clients" / "python" / "README.md").read_text(encoding="utf-8")
EXAMPLE = "https://vault.example.com"
# In the sandbox Slack's API stands at the root.
APIS = {"https://api.github.com": "github", "https://slack.com/api": "slack"}


def snippet(name: str) -> str:
    (found,) = re.findall(rf"^<!-- runs: {name} -->\n```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(found)


async def run(world: World, name: str, **given: Any) -> dict[str, Any]:
    """Run it where the sandbox stands for the world, in a thread, since it waits; gives its names."""
    text = snippet(name).replace(EXAMPLE, world.places.vault)
    for url, provider in APIS.items():
        text = text.replace(url, world.places.providers[provider])
    names = {**vars(vaultd_client), "httpx": httpx, **given}
    await asyncio.to_thread(exec, compile(text, f"README: {name}", "exec"), names)
    return names


async def test_three_lines(world: World, app: App) -> None:
    await app.connect()
    assert snippet("three lines").count("\n") == 3
    secret = world.secrets.briefing_agent.reveal()
    names = await run(world, "three lines", secret=secret, session_token=app.session_token)
    names["vault"].close()
    assert (names["answer"].status_code, names["answer"].json()["login"]) == (200, "alice")


async def test_without_touching_a_token(world: World, app: App) -> None:
    await app.connect()
    with VaultClient(world.places.vault, auth=agent(world)) as vault:
        names = await run(world, "auth", vault=vault, session_token=app.session_token)
    assert names["reviews"].json()["total_count"] == 2


async def test_an_api_that_refuses_a_token_under_200(world: World, app: App) -> None:
    await app.connect("slack")
    with VaultClient(world.places.vault, auth=agent(world)) as vault:
        dead = await asyncio.to_thread(vault.get_access_token, "slack", subject_token=app.session_token)
        world.providers["slack"].grants.end_access_tokens()
        names = await run(world, "refuses", vault=vault, session_token=app.session_token)
    assert names["history"].json()["ok"] is True
    assert names["history"].request.headers["authorization"] != f"Bearer {dead.access_token}"


async def test_a_tool(world: World, app: App) -> None:
    with VaultClient(world.places.vault, auth=agent(world)) as vault:
        names = await run(world, "tools", vault=vault, session_token=app.session_token)
        assert names["text"].startswith("Slack is not connected. Connect it in Settings to include Slack data. http")
        assert "Slack is not connected. Connect it in Settings to include Slack data." in README
        await app.connect("slack")
        names = await run(world, "tools", vault=vault, session_token=app.session_token)
    assert "The north gate sticks again." in names["text"]


async def test_when_the_user_must_act(world: World, app: App, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    with VaultClient(world.places.vault, auth=agent(world)) as vault:
        capsys.readouterr()
        await run(world, "missing", vault=vault, session_token=app.session_token)
    said = [line for line in capsys.readouterr().out.splitlines() if "refused" not in line]
    assert said == shown.replace(EXAMPLE, world.places.vault).splitlines()


async def test_a_user_who_is_away(world: World, app: App) -> None:
    await app.connect()
    async with open_night(world) as night:
        with VaultClient(night.url, auth=signing(night)) as vault:
            # The sandbox's issuer stands for the one that is shown.
            text = snippet("away").replace("https://login.example.com/", world.places.issuer)
            names = {**vars(vaultd_client), "vault": vault, "user_id": app.user}
            await asyncio.to_thread(exec, text, names)
    assert names["token"].connection == "github"


def signing(night: Night) -> vaultd_client.PrivateKeyJwt:
    key = night.signers["night-agent"].jwk(private=True)
    return vaultd_client.PrivateKeyJwt("night-agent", JwtSigner(key))


def test_every_snippet_is_run_and_every_error_is_told_of() -> None:
    assert len(re.findall(r"^```python$", README, re.MULTILINE)) == len(re.findall("<!-- runs: ", README)) == 6
    errors = {
        name for name, value in vars(vaultd_client).items() if isinstance(value, type) and issubclass(value, Exception)
    }
    assert {name for name in errors if f"`{name}`" not in README} == {"VaultRefused"}
