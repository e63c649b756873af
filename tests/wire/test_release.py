"""The release counter from outside: a revocation's answer is final, and who goes away leaves one event or none."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.wire.vault import App, Vault

ROUNDS = 10
ASKING = 12


async def _ask_until_refused(vault: Vault, app: App, revoked: asyncio.Event, seen: list[tuple[bool, int]]) -> None:
    """Note whether each exchange began behind the revocation's answer, and the status it got."""
    late = False
    while not late:
        late = revoked.is_set()
        answer = await vault.exchange(app.session_token)
        seen.append((late, answer.status_code))


async def _events_about(vault: Vault, user: str) -> list[dict[str, Any]]:
    issuer = vault.world.places.issuer
    page = await vault.audit(subject_issuer=issuer, subject=user, limit=1000)
    events: list[dict[str, Any]] = page["events"]
    return events


async def test_no_exchange_behind_a_revocation(vault: Vault) -> None:
    for _ in range(ROUNDS):
        async with App(vault.world) as app:
            account = await app.connect()
            revoked = asyncio.Event()
            seen: list[tuple[bool, int]] = []
            asking = [asyncio.create_task(_ask_until_refused(vault, app, revoked, seen)) for _ in range(ASKING)]
            while not seen:
                await asyncio.sleep(0.001)
            assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
            revoked.set()
            await asyncio.gather(*asking)
            assert {status for late, status in seen if late} == {400}
            events = await _events_about(vault, app.user)
            (end,) = [event["at"] for event in events if event["type"] == "connection.revoked"]
            given = [event["at"] for event in events if event["type"] == "token.exchanged"]
            assert len(given) == sum(status == 200 for _, status in seen)
            assert max(given) < end


async def test_who_disconnects_leaves_one_event_or_none(vault: Vault, app: App) -> None:
    await app.connect()
    place = urlsplit(vault.world.places.vault)
    body = urlencode(vault.exchange_form(app.session_token))

    async def go_away(after: float) -> bytes:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        head = (
            "POST /oauth/token HTTP/1.1\r\nHost: vault\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(f"{head}{body}".encode())
        await writer.drain()
        await asyncio.sleep(after)
        writer.transport.abort()
        return await reader.read()

    await asyncio.gather(*(go_away(index * 0.0002) for index in range(60)), return_exceptions=True)
    # The next exchange is decided behind all of those, so that their events are there now, if they ever will be.
    assert (await vault.exchange(app.session_token)).status_code == 200
    written = [event.get("request_id") for event in await _events_about(vault, app.user)]
    assert len(set(written)) == len(written) <= 60 + len(("connected", "exchanged"))
