"""`vaultd demo`: the whole story once, told as it happens, every step checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

from vaultd.app.verifying import verification_of
from vaultd.db import Database
from vaultd.keys.keyring import open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.sandbox.agent import AgentError, InteractionNeeded
from vaultd.sandbox.browser import BrowserError
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, PROVIDER_SCOPES
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser, StepFailed, expect
from vaultd.sandbox.world import World, start_world
from vaultd.verification import Report

REVOKED_WITHIN = 10.0
"""Seconds that revocation at the provider may take."""
ALICE = PEOPLE["alice"]

Say = Callable[[str], None]


def run_demo(say: Say) -> None:
    """Start a sandbox, live through the story, tell it line by line.

    Raises:
        StepFailed: a step is not as it should be.
        ConfigurationError: the sandbox does not start.
    """
    started = time.monotonic()
    say("Starting PostgreSQL, an issuer, three OAuth providers, an agent and vaultd on this machine …")
    with start_world() as world:
        say(f"  vaultd listens at {world.places.vault}\n")
        try:
            asyncio.run(Story(world, say).tell())
        except (AgentError, BrowserError, httpx.HTTPError) as error:
            raise StepFailed(f"{type(error).__name__}: {error}") from error
    say(f"\nEvery step was as it should be. The whole story took {time.monotonic() - started:.1f} s.")


class Story:
    """The steps, in order; `tell` runs them all."""

    def __init__(self, world: World, say: Say) -> None:
        self._world = world
        self._say = say

    async def tell(self) -> None:
        """Run every step. Raises `StepFailed` at the first that is not as it should be."""
        async with AppUser(self._world, ALICE) as alice:
            await self._connect(alice)
            await self._brief(alice)
            await self._read_audit()
            await self._verify_audit()
            await self._disconnect(alice)
            await self._exchange_again(alice)

    async def _connect(self, alice: AppUser) -> None:
        self._say("1. Alice connects three accounts. Her browser signs in and allows at each provider.")
        for name in PROVIDER_SCOPES:
            account = await alice.connect(name)
            expect(account["connection"] == name, f"{name} was connected as {account['connection']}.")
            self._say(f"   {name}: connected, {' '.join(account['scopes'])}")
        connected = {entry["connection"] for entry in await alice.accounts() if entry["status"] == "connected"}
        expect(connected == set(PROVIDER_SCOPES), f"Her accounts are {sorted(connected)}.")

    async def _brief(self, alice: AppUser) -> None:
        self._say("\n2. The agent has Alice's session token only. It exchanges it three times, calls three APIs:\n")
        briefing = await self._world.agent.briefing(alice.session_token)
        expect(all(section.lines for section in briefing.sections), "A part of the briefing is empty.")
        for name, provider in self._world.providers.items():
            expect(provider.calls["api"] == 1, f"{name}'s API was called {provider.calls['api']} times.")
        self._say("\n".join(f"      {line}".rstrip() for line in briefing.text.splitlines()))

    async def _read_audit(self) -> None:
        self._say("\n3. An operator reads the audit log: who got which token, for whom.")
        events = await self._events("token.exchanged")
        for event in reversed(events):
            subject = event["subject"]["sub"]
            self._say(
                f"   {event['at']}  {event['type']}  {event['decision']}  {subject} → {event['client_id']}"
                f" → {event['connection']}"
            )
        expect(len(events) == len(PROVIDER_SCOPES), f"There are {len(events)} token.exchanged events.")
        expect({event["connection"] for event in events} == set(PROVIDER_SCOPES), "An event names another provider.")
        for event in events:
            expect(event["subject"]["sub"] == ALICE.login, f"An event names {event['subject']['sub']}.")
            expect(event["client_id"] == BRIEFING_AGENT, f"An event names the client {event['client_id']}.")
            expect(event["decision"] == "allowed", f"An event says {event['decision']}.")

    async def _verify_audit(self) -> None:
        report = await verify_log(self._world)
        expect(not report.findings, f"The audit log does not verify: {'; '.join(report.findings)}")
        expect(report.events >= len(PROVIDER_SCOPES), f"The audit log holds {report.events} events only.")
        self._say(f"\n4. The log verifies: {report.events} events, none missing, none altered.")

    async def _disconnect(self, alice: AppUser) -> None:
        self._say("\n5. Alice disconnects GitHub.")
        (github,) = [entry for entry in await alice.accounts() if entry["connection"] == "github"]
        await alice.disconnect(github["id"])
        self._say("   vaultd has deleted its tokens.")
        grants = self._world.providers["github"].grants
        expect(grants.families, "GitHub never issued a grant.")
        deadline = time.monotonic() + REVOKED_WITHIN
        while any(family.alive for family in grants.families):
            expect(time.monotonic() < deadline, f"GitHub's grant is not revoked after {REVOKED_WITHIN:.0f} s.")
            await asyncio.sleep(0.05)
        self._say("   GitHub has revoked them too.")

    async def _exchange_again(self, alice: AppUser) -> None:
        self._say("\n6. The agent asks once more.")
        agent = self._world.agent
        async with agent.client() as http:
            try:
                await agent.exchange(http, alice.session_token, "github")
            except InteractionNeeded as needed:
                expect(needed.reason == "reconnect_required", f"The reason is {needed.reason}.")
                expect(needed.connection == "github", f"The connection is {needed.connection}.")
                expect("Reconnect required" in needed.description, f"It says: {needed.description}")
                expect(needed.connect_uri.startswith(self._world.places.vault), f"It leads to {needed.connect_uri}")
                self._say(f"   {needed.error} ({needed.reason}): {needed.description}")
                self._say(f"   {needed.connect_uri}")
            else:
                raise StepFailed("The agent still got a token.")
            slack = await agent.exchange(http, alice.session_token, "slack")
        expect(slack.expires_in > 0, "Slack's token has no life left.")
        self._say("   Slack still works. Only what Alice took away is gone.")

    async def _events(self, kind: str) -> list[dict[str, Any]]:
        base, secret = self._world.places.vault, self._world.secrets.operator
        async with loopback_http(base_url=base, timeout=15.0) as http:
            form = {"grant_type": "client_credentials", "scope": "audit:read"}
            answer = await http.post("/oauth/token", data=form, auth=(OPERATOR, secret.reveal()))
            expect(answer.status_code == httpx.codes.OK, f"The operator got no token: {answer.status_code}.")
            bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            answer = await http.get("/v1/audit/events", params={"type": kind}, headers=bearer)
            expect(answer.status_code == httpx.codes.OK, f"The audit log was refused: {answer.status_code}.")
            events: list[dict[str, Any]] = answer.json()["events"]
            return events


async def verify_log(world: World) -> Report:
    """What `vaultd audit verify` does, on the sandbox's database. Raises `VaultdError`."""
    database = Database(world.settings.database_url)
    try:
        async with database.transaction() as connection:
            keyring = await open_keyring(connection, open_keyring_file(world.settings.keys.path))
        return await verification_of(database, keyring)()
    finally:
        await database.aclose()
