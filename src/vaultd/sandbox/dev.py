"""`vaultd dev`: a sandbox to work against by hand, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from vaultd.sandbox.app_client import AppClient, write_environment
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.world import World, start_world

Say = Callable[[str], None]


def run_dev(
    say: Say,
    *,
    folder: Path | None,
    port: int,
    app: str | None,
    client: AppClient | None = None,
    environment: Path | None = None,
) -> None:
    """Run until SIGINT or SIGTERM, then stop everything. Alice's GitHub account is connected from the start.

    What `client` has to know is written to the file `environment`, which is there once everything runs and is gone at
    the end.

    Raises:
        ConfigurationError: a port is taken, or a part does not start.
        StepFailed: the vault runs, but does not do its work.
    """
    # A service manager's stop is to end all of it as Ctrl-C does.
    # A shell that starts it in the background has told it to ignore Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        with start_world(folder=folder, port=port, app=app, client=client) as world:
            asyncio.run(_connect_github(world))
            say(introduction(world))
            if client is not None and environment is not None:
                places = world.places
                told = client.environment(vault=places.vault, issuer=places.issuer, providers=places.providers)
                write_environment(environment, told)
            signal.pause()
    except KeyboardInterrupt:
        say("\nStopped.")
    finally:
        if environment is not None:
            # Its secrets are worth nothing any more.
            environment.unlink(missing_ok=True)


async def _connect_github(world: World) -> None:
    async with AppUser(world, PEOPLE["alice"]) as alice:
        await alice.connect("github")


def introduction(world: World) -> str:
    """Where everything is, and requests that work when they are pasted into a shell."""
    places = world.places
    providers = "\n".join(f"  {name:<15} {url}" for name, url in places.providers.items())
    return f"""\
vaultd is running. Everything is on this machine; Ctrl-C stops it all.

  vaultd          {places.vault}
  API reference   {places.vault}/docs
  issuer          {places.issuer}
  sample agent    {places.agent}
{providers}
  configuration   {world.folder / "vaultd.toml"}

In a browser, where people sign in by a click:

  {places.vault}/connections
      what is connected, which agents use it and how often, and the way to stop them
  {places.agent}/
      the agent's briefing, which needs GitHub, Google Calendar and Slack

Alice's GitHub account is connected from the start. Exchange her session token for a GitHub token:

{exchange_command(world)}

With all three connected, the agent's briefing:

  curl -s -X POST {places.agent}/briefing -H "Authorization: Bearer $(curl -s '{session_token_url(world)}')"
"""


def exchange_command(world: World) -> str:
    """The request of RFC 8693 as a `curl`, with a session token of Alice's minted when it is pasted."""
    return f"""\
curl -s {world.places.vault}/oauth/token \\
  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \\
  -d subject_token="$(curl -s '{session_token_url(world)}')" \\
  -d subject_token_type=urn:ietf:params:oauth:token-type:access_token \\
  -d requested_token_type=urn:ietf:params:oauth:token-type:access_token \\
  -d audience=github"""


def session_token_url(world: World) -> str:
    """Where the sandbox's issuer mints session tokens of Alice's for the sample agent."""
    return f"{world.places.issuer}/_sandbox/token/alice?{urlencode({'azp': SAMPLE_AGENT})}"
