"""No event is longer than `sizes.EVENT`: what is let in fits whole, and anything else is cut where it is too long."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.house import House
from vaultd import sizes
from vaultd.audit import read
from vaultd.audit.events import Draft, EventType, decode, rfc3339
from vaultd.audit.lane import columns_of
from vaultd.audit.subject_key import SubjectKey
from vaultd.keys.envelope import Key
from vaultd.terms import Scopes, Subject

ID = uuid4()
KEY = SubjectKey(Subject("https://login.example.com", "s" * sizes.LONGEST_NAME), Key(uuid4(), b"k" * 32))
ASTRAL = "\N{GRINNING FACE}"
"""Of all characters it takes the most bytes in JSON."""
LONGEST = Draft(
    type=EventType.TOKEN_EXCHANGED,
    client_id="c" * 255,
    connection="p" * 64,
    reason="r" * 64,
    scopes=Scopes(f"{number:03d}".ljust(sizes.LONGEST_SCOPE, "s") for number in range(sizes.MOST_SCOPES)),
    requested_scopes=Scopes(f"{number:03d}" + "s" * 37 for number in range(sizes.MOST_SCOPES)),
    subject=SubjectKey(Subject("https://i", ASTRAL * sizes.LONGEST_NAME), Key(ID, b"k" * 32)),
    connection_id=uuid4(),
    account=ASTRAL * sizes.LONGEST_LABEL,
    actor={"iss": "https://i", "sub": ASTRAL * sizes.LONGEST_NAME, "act": {"sub": "a" * (sizes.PARTY - 10)}},
    request_id=str(uuid4()),
    audit_context=ASTRAL * sizes.LONGEST_CONTEXT,
)


def written(draft: Draft) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """The bytes, the members, and the private ones."""
    event = draft.canonical(event_id=ID, at=rfc3339(datetime(2030, 1, 1, tzinfo=UTC)), chain_key=str(UUID(int=1)))
    members = json.loads(event)
    private = {}
    if draft.subject is not None:
        private = json.loads(draft.subject.open_private(ID, decode(members["private"])))
    return event, members, private


def test_all_that_is_let_in_fits_at_its_longest() -> None:
    event, members, private = written(LONGEST)
    assert len(event) <= sizes.EVENT
    assert "cut" not in members
    assert private["actor"] == LONGEST.actor
    assert private["audit_context"] == LONGEST.audit_context
    assert len(members["scopes"]) == sizes.MOST_SCOPES


@pytest.mark.parametrize(
    ("changes", "cut"),
    [
        ({"scopes": Scopes(f"scope{number:06d}" for number in range(80_000))}, ["scopes"]),
        ({"requested_scopes": Scopes({"s" * 900_000})}, ["requested_scopes"]),
        ({"account": "a" * 900_000}, ["account"]),
        ({"reason": "r" * 900_000}, ["reason"]),
        ({"ip": "1" * 900_000}, ["ip"]),
        ({"audit_context": "w" * 900_000}, ["audit_context"]),
        ({"actor": {"sub": "robot", "act": {"sub": "r" * 900_000}}}, ["actor"]),
        ({"actor": {"sub": ["deep"] * 100_000}}, ["actor"]),
        ({"subject": SubjectKey(Subject("https://i", "s" * 900_000), Key(ID, b"k" * 32))}, ["subject"]),
        (
            {"scopes": Scopes({"s" * 90_000}), "requested_scopes": Scopes({"r" * 90_000}), "account": "a" * 90_000},
            ["account", "requested_scopes", "scopes"],
        ),
    ],
    ids="-".join,
)
def test_anything_else_is_cut_and_says_so(changes: dict[str, Any], cut: list[str]) -> None:
    draft = replace(Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", subject=KEY), **changes)
    event, members, private = written(draft)
    assert len(event) <= sizes.EVENT
    assert members["cut"] == cut
    assert (members["type"], members["client_id"]) == ("token.exchanged", "agent")
    assert private["subject"]["issuer"].startswith("https://")
    assert columns_of(event)["client_id"] == "agent"


def test_the_nearest_actor_stays() -> None:
    draft = Draft(type=EventType.TOKEN_EXCHANGED, subject=KEY, actor={"sub": "robot", "act": {"sub": "r" * 900_000}})
    assert written(draft)[2]["actor"] == {"sub": "robot"}


async def test_the_log_takes_it_and_still_verifies(house: House) -> None:
    huge = Scopes(f"scope{number:06d}" for number in range(80_000))
    known = await house.subject()
    await house.log.record(Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", subject=known.key, scopes=huge))
    assert (await house.verify()).findings == []
    async with house.database.transaction() as connection:
        (row,), _ = await read.page(connection, read.Query())
    shown = read.render(row, known.key)
    assert shown["cut"] == ["scopes"]
    assert len(row["bytes"]) <= sizes.EVENT
