"""A session's row carries a MAC, without which it makes nobody a user: one that was planted or changed is nobody's."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.wire.inside.within import Inside
from vaultd.sandbox.browser import Browser

COOKIE = "vaultd_session"
MADE_UP = "a cookie that the attacker has made up"


async def signed_in(inside: Inside, person: str) -> tuple[Browser, bytes]:
    """A browser, and the id of its session's row."""
    known = await hashes(inside)
    browser = Browser()
    await browser.open(f"{inside.world.places.vault}/connections")
    await browser.click(person)
    (new,) = await hashes(inside) - known
    return browser, new


async def hashes(inside: Inside) -> set[bytes]:
    return {row["id_hash"] for row in await inside.rows("SELECT id_hash FROM sessions")}


@pytest_asyncio.fixture
async def bob(inside: Inside) -> AsyncIterator[tuple[Browser, bytes]]:
    """The victim, signed in."""
    browser, id_hash = await signed_in(inside, "Bob")
    async with browser:
        yield browser, id_hash


@pytest_asyncio.fixture
async def alice(inside: Inside) -> AsyncIterator[tuple[Browser, bytes]]:
    """The attacker, signed in."""
    browser, id_hash = await signed_in(inside, "Alice")
    async with browser:
        yield browser, id_hash


async def who(inside: Inside, browser: Browser) -> str | None:
    """Whose page a browser gets; None where it must sign in."""
    page = ""
    for path in ("/connections", "/connections/activity", "/auth/connect/github"):
        answer = await browser.http.get(f"{inside.world.places.vault}{path}")
        if answer.status_code in {302, 303}:
            assert "/auth/login" in answer.headers["location"] or "/authorize" in answer.headers["location"]
            return None
        assert answer.status_code == 200, answer.text
        page = answer.text
    return next(name for name in ("alice", "bob") if name in page)


async def test_a_planted_session_is_nobodys(inside: Inside, bob: tuple[Browser, bytes]) -> None:
    """Every way in which a row can be made from what is in the database: the serving role may insert sessions."""
    _, id_hash = bob
    plain = hashlib.sha256(MADE_UP.encode()).digest()
    columns = "id_hash, subject_id, sid_lookup, created_at, last_seen_at, expires_at, mac"
    for mac in ("mac", "sha256('x')", "id_hash"):
        await inside.serving(
            f"INSERT INTO sessions ({columns}) SELECT $2, subject_id, sid_lookup, created_at, last_seen_at,"  # noqa: S608
            f" expires_at, {mac} FROM sessions WHERE id_hash = $1",
            id_hash,
            plain,
        )
        async with Browser() as theirs:
            theirs.http.cookies.set(COOKIE, MADE_UP, domain="127.0.0.1")
            assert await who(inside, theirs) is None
        await inside.serving("DELETE FROM sessions WHERE id_hash = $1", plain)


@pytest.mark.parametrize(
    "change",
    [
        "subject_id = o.subject_id",
        "subject_id = o.subject_id, mac = o.mac",
        "subject_id = o.subject_id, mac = o.mac, created_at = o.created_at, expires_at = o.expires_at",
        "sid_lookup = sha256('x')",
        "expires_at = t.expires_at + interval '1 year'",
        "created_at = t.created_at + interval '1 minute'",
        "last_seen_at = t.last_seen_at + interval '1 minute'",
    ],
)
async def test_a_session_that_was_changed_is_nobodys(
    inside: Inside, alice: tuple[Browser, bytes], bob: tuple[Browser, bytes], change: str
) -> None:
    (browser, own), (_, theirs) = alice, bob
    assert await who(inside, browser) == "alice"
    before = await inside.findings()
    await inside.rows(
        f"UPDATE sessions t SET {change} FROM sessions o WHERE t.id_hash = $1 AND o.id_hash = $2",  # noqa: S608
        own,
        theirs,
    )
    assert await who(inside, browser) is None
    (finding,) = await inside.findings() - before
    assert finding.endswith("it is not as it was written")
    await inside.change("DELETE FROM sessions WHERE id_hash = $1", own)


async def test_a_cookie_that_is_given_anothers_row_is_nobodys(
    inside: Inside, alice: tuple[Browser, bytes], bob: tuple[Browser, bytes]
) -> None:
    (browser, own), (_, theirs) = alice, bob
    await inside.change("DELETE FROM sessions WHERE id_hash = $1", own)
    await inside.change("UPDATE sessions SET id_hash = $1 WHERE id_hash = $2", own, theirs)
    assert await who(inside, browser) is None
    await inside.change("DELETE FROM sessions WHERE id_hash = $1", own)


@pytest.mark.parametrize("column", ["id_hash", "subject_id", "sid_lookup", "created_at", "expires_at"])
async def test_the_serving_role_changes_none_of_it(inside: Inside, column: str) -> None:
    assert "permission denied" in await inside.refused(f"UPDATE sessions SET {column} = {column}")  # noqa: S608


async def test_a_session_that_is_taken_away_has_ended(inside: Inside, alice: tuple[Browser, bytes]) -> None:
    """Nothing names it: that a session ended before its time is in no event, since most just run out."""
    browser, own = alice
    before = await inside.findings()
    await inside.serving("DELETE FROM sessions WHERE id_hash = $1", own)
    assert await who(inside, browser) is None
    assert await inside.findings() == before
