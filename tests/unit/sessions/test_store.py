"""Which sessions end when the issuer names one, and that nothing readable of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.house import ISSUER, House
from vaultd.audit.events import Draft, EventType
from vaultd.sessions.store import Lifetime, Sessions

OPENED = Draft(type=EventType.SESSION_OPENED)
LIFETIME = Lifetime(idle=timedelta(hours=1), absolute=timedelta(days=1))
EVERYBODY = {"alice s-1", "alice s-2", "alice none", "bob s-3"}


@pytest.fixture
def sessions(house: House) -> Sessions:
    return Sessions(database=house.database, log=house.log, keyring=house.keyring, clock=house.clock, lifetime=LIFETIME)


async def opened(house: House, sessions: Sessions) -> Mapping[str, str]:
    """Cookies by whose they are and what the issuer calls them."""
    cookies = {}
    for name in sorted(EVERYBODY):
        person, sid = name.split()
        known = await house.subject(person)
        cookies[name] = await sessions.open(
            known.id, issuer=ISSUER, sid=None if sid == "none" else sid, instead_of=None, draft=OPENED
        )
    return cookies


@pytest.mark.parametrize(
    ("sid", "person", "ended"),
    [
        ("s-1", None, {"alice s-1"}),
        ("s-1", "alice", {"alice s-1", "alice none"}),
        ("s-1", "bob", set[str]()),
        ("s-9", None, set[str]()),
        ("s-9", "alice", {"alice none"}),
        (None, "alice", {"alice s-1", "alice s-2", "alice none"}),
        (None, "bob", {"bob s-3"}),
        (None, None, set[str]()),
    ],
)
async def test_the_sessions_that_are_named_end(
    house: House, sessions: Sessions, sid: str | None, person: str | None, ended: set[str]
) -> None:
    cookies = await opened(house, sessions)
    known = await house.subject(person) if person else None
    async with house.database.transaction() as connection:
        whose = await sessions.end_named(connection, ISSUER, sid=sid, subject_id=known.id if known else None)
    assert {name for name, cookie in cookies.items() if await sessions.find(cookie) is None} == ended
    assert len(whose) == len({name.split()[0] for name in ended})


async def test_another_issuers_session_of_the_same_name_is_another(house: House, sessions: Sessions) -> None:
    await opened(house, sessions)
    async with house.database.transaction() as connection:
        assert await sessions.end_named(connection, "https://other.example", sid="s-1", subject_id=None) == []


async def test_shorter_lifetimes_are_true_of_sessions_that_are_there(house: House, sessions: Sessions) -> None:
    cookies = await opened(house, sessions)
    strict = Sessions(
        database=house.database,
        log=house.log,
        keyring=house.keyring,
        clock=house.clock,
        lifetime=Lifetime(idle=timedelta(minutes=5), absolute=timedelta(minutes=30)),
    )
    house.clock.forward(minutes=6)
    cookie = cookies["bob s-3"]
    assert await strict.find(cookie) is None
    assert await sessions.find(cookie) is not None


async def test_dead_sessions_are_cleared_away_by_the_next_one(house: House, sessions: Sessions) -> None:
    await opened(house, sessions)
    house.clock.forward(hours=2)
    await opened(house, sessions)
    async with house.database.transaction() as connection:
        left = (await connection.execute(text("SELECT count(*) FROM sessions"))).scalar_one()
    assert left == len(EVERYBODY)


async def test_neither_cookie_nor_sid_is_in_the_database(house: House, sessions: Sessions) -> None:
    """D5: what a dump shows opens no session, and names none at the issuer."""
    cookies = await opened(house, sessions)
    async with house.database.transaction() as connection:
        dump = str((await connection.execute(text("SELECT sessions::text FROM sessions"))).scalars().all())
    for secret in (*cookies.values(), "s-1"):
        assert secret not in dump
        assert secret.encode().hex() not in dump
