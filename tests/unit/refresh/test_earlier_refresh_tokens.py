"""A refresh token that a later consent did not replace: what it brings is good for what it was given for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.refresh.conftest import Room


@pytest.mark.parametrize(
    ("earlier", "answered", "granted"),
    [
        ("repo user", None, "repo user"),
        ("repo user", "user", "user"),
        # Imported without its scopes: nobody knows what it was given for.
        ("", None, ""),
        ("", "", ""),
        ("", "user", "user"),
    ],
)
async def test_what_it_brings(room: Room, earlier: str, answered: str | None, granted: str) -> None:
    house = room.house
    subject = await house.subject()
    first = await house.connect(subject, house.brought(scopes=earlier))
    later = replace(house.brought(scopes="user"), refresh_token=None)
    assert await house.connect(subject, later) == first
    row = await house.row(first)
    assert str(row.granted_scopes) == "user", "that is what the consent's own token is good for"
    room.answers(scope=answered)
    assert await room.first.refresher.refresh(row) is None
    assert str((await house.row(first)).granted_scopes) == granted
    # From then on it is known, or not, as that answer left it.
    room.answers(scope=None)
    assert await room.first.refresher.refresh(await house.row(first)) is None
    assert str((await house.row(first)).granted_scopes) == granted
