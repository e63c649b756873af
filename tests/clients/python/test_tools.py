"""Issue 7, item 1: the `tool` wrapper: a missing connection is a sentence with a link; nobody is shown the token."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import httpx
import pytest

from tests.clients.python.conftest import Open
from tests.clients.python.speaking import Speaker, again
from tests.wire.vault import App
from vaultd_client import (
    AccessToken,
    InteractionRequired,
    InvalidTarget,
    NoSubject,
    acting_for,
    sentence,
)


def make(speaker: Speaker, *args: Any, **options: Any) -> Callable[..., Any]:
    """The same tool of the client's kind."""

    def read(channel: str, token: AccessToken) -> list[str]:
        """Read a channel."""
        return [channel, token.connection]

    async def read_later(channel: str, token: AccessToken) -> list[str]:
        """Read a channel."""
        return read(channel, token)

    decorate = speaker.client.tool(*args, **options)
    made: Callable[..., Any] = decorate(read if speaker.kind == "threads" else read_later)
    return made


async def test_a_tool_is_given_its_token(app: App, speaker: Speaker) -> None:
    await app.connect("slack")
    tool = make(speaker, "slack", scopes=["channels:history"])
    with acting_for(app.session_token):
        assert await speaker.run(tool, "general") == ["general", "slack"]
        assert await speaker.run(tool, channel="general") == ["general", "slack"]
    assert speaker.wire.exchanges == 1


async def test_a_missing_connection_is_said(app: App, speaker: Speaker) -> None:
    tool = make(speaker, "slack", subject_token=app.session_token, scopes=["channels:history"])
    link = speaker.client.connect_url("slack", scopes=["channels:history"])
    assert await speaker.run(tool, "general") == (
        f"Slack is not connected. Connect it in Settings to include Slack data. {link}"
    )
    account = await app.connect("slack")
    assert await speaker.run(tool, "general") == ["general", "slack"]
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    token = await speaker.get("slack", subject_token=app.session_token, scopes=["channels:history"])
    with pytest.raises(InteractionRequired):
        await speaker.get("slack", subject_token=app.session_token, scopes=["channels:history"], instead_of=token)
    assert await speaker.run(tool, "general") == (
        f"Slack is no longer connected. Reconnect it in Settings to include Slack data. {link}"
    )


async def test_what_a_tool_says_may_be_its_own(app: App, speaker: Speaker) -> None:
    named = make(speaker, "google", subject_token=app.session_token, label="Calendar")
    assert (await speaker.run(named, "x")).startswith("Calendar is not connected. Connect it in Settings to include C")
    own = make(speaker, "google", subject_token=app.session_token, say=lambda error, _: f"<{error.reason}>")
    assert await speaker.run(own, "x") == "<not_connected>"


async def test_any_other_trouble_is_raised(app: App, speaker: Speaker) -> None:
    with pytest.raises(InvalidTarget):
        await speaker.run(make(speaker, "nowhere", subject_token=app.session_token), "x")
    with pytest.raises(NoSubject):
        await speaker.run(make(speaker, "slack"), "x")


def test_the_frameworks_see_no_token(speaker: Speaker) -> None:
    tool = make(speaker, "slack")
    assert list(inspect.signature(tool).parameters) == ["channel"]
    assert get_type_hints(tool) == {"channel": str, "return": list[str] | str}
    assert tool.__doc__ == "Read a channel."
    assert inspect.iscoroutinefunction(tool) is (speaker.kind == "asyncio")


async def test_a_tool_that_asks_for_itself_needs_no_token(app: App, speaker: Speaker) -> None:
    """One that calls the API through `auth` fails in its middle, and says the same."""

    def read() -> str:
        raise failure

    async def read_later() -> str:
        raise failure

    with pytest.raises(InteractionRequired) as needed:
        await speaker.get("slack", subject_token=app.session_token)
    failure = needed.value
    tool = speaker.client.tool("slack")(read if speaker.kind == "threads" else read_later)
    assert (await speaker.run(tool)).startswith("Slack is not connected.")


def test_the_kinds_are_not_mixed(speaker: Speaker) -> None:
    def read() -> None: ...

    async def read_later() -> None: ...

    with pytest.raises(TypeError, match="coroutine function"):
        speaker.client.tool("slack")(read_later if speaker.kind == "threads" else read)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reason": "not_connected"}, "GitHub is not connected. Connect it in Settings to include GitHub data."),
        (
            {"reason": "reconnect_required"},
            "GitHub is no longer connected. Reconnect it in Settings to include GitHub data.",
        ),
        (
            {"reason": "scope_missing"},
            (
                "GitHub is connected without the permission for this. "
                "Connect it again in Settings and allow it to include GitHub data."
            ),
        ),
        (
            {"reason": "account_ambiguous", "accounts": ["a@example.com", "b@example.com"]},
            "Several GitHub accounts are connected: a@example.com, b@example.com. Say which to use.",
        ),
        ({"reason": "of a later version", "error_description": "Do this."}, "Do this."),
    ],
)
async def test_every_reason_has_its_words(opened: Open, changes: dict[str, Any], words: str) -> None:
    link = "https://vault.example.com/auth/connect/github"
    body = {"error": "interaction_required", "connection": "github", "connect_uri": link, **changes}
    speaker = opened(transport=httpx.MockTransport(lambda _: again(httpx.Response(400, json=body))))
    with pytest.raises(InteractionRequired) as needed:
        await speaker.get(subject_token="s")
    assert sentence(needed.value) == f"{words} {link}"
