"""A connection's secrets open in their own row only, with everything beside them as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.house import House
from vaultd.connections import lease, store
from vaultd.connections.labels import Labels
from vaultd.connections.sealing import Delivery, Place, data_key_of, open_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import seal
from vaultd.terms import ConnectionId, ProviderName, Scopes, Secret, SubjectId


async def connected(house: House, name: str = "alice", account: str = "octocat") -> ConnectionRow:
    known = await house.subject(name)
    return await house.row(await house.connect(known, house.brought(account)))


def opens(row: ConnectionRow, data_keys: DataKeys) -> bool:
    try:
        open_connection(data_key_of(row, data_keys), row)
    except CannotOpen:
        return False
    return True


async def test_round_trip(house: House) -> None:
    row = await connected(house)
    key = data_key_of(row, house.data_keys)
    opened = open_connection(key, row)
    assert opened.access_token == Secret("access token of octocat")
    assert opened.refresh_token == Secret("refresh token of octocat")
    assert open_account(key, row) == ("octocat", "octocat@example.com")
    assert opened.metadata == {"team": "night shift"}


async def test_a_row_with_an_altered_token_is_not_delivered(house: House) -> None:
    """What the counter asks before it writes that a token leaves."""
    row = await connected(house)
    labels = Labels(data_keys=house.data_keys)
    assert labels.deliver(row) == Delivery(
        Secret("access token of octocat"), "octocat", "octocat@example.com", {"team": "night shift"}
    )
    assert row.access_token is not None
    altered = replace(row, access_token=row.access_token[:-1] + bytes([row.access_token[-1] ^ 1]))
    with pytest.raises(CannotOpen):
        labels.deliver(altered)


async def test_a_hint_means_the_id_or_any_name(house: House) -> None:
    """api.md §1.1: `login_hint` is an account's id, login or e-mail."""
    brought = replace(
        house.brought("583231"),
        account_label="octo@example.com",
        account_names=("octo@example.com", "Octo Cat", "Straße"),
    )
    row = await house.row(await house.connect(await house.subject(), brought))
    labels = Labels(data_keys=house.data_keys)
    assert labels.of(row) == "octo@example.com"
    for hint in ("583231", "octo@example.com", "OCTO@example.com", "octo cat", "STRASSE"):
        assert labels.matches(row, hint), hint
    for hint in ("", "58323", "octo", "octo@example.com ", "Octo"):
        assert not labels.matches(row, hint), hint


async def test_a_row_sealed_before_names_were_kept(house: House) -> None:
    row = await connected(house)
    key = data_key_of(row, house.data_keys)
    old = json.dumps({"id": "octocat", "label": "octocat@example.com"}).encode()
    row = replace(row, account=seal(key, old, bound=Place.of(row).bound("account", None)).blob)
    assert open_account(key, row) == ("octocat", "octocat@example.com")
    assert open_connection(key, row).account_names == ()
    labels = Labels(data_keys=house.data_keys)
    assert (labels.matches(row, "octocat@example.com"), labels.matches(row, "octo")) == (True, False)


async def test_nothing_secret_is_stored_in_the_clear(house: House) -> None:
    shown = repr(await connected(house))
    for secret in ("octocat", "access token", "refresh token", "night shift", "alice"):
        assert secret not in shown
        assert secret.encode().hex() not in shown


@pytest.mark.parametrize(
    "change",
    [
        {"id": ConnectionId(uuid4())},
        {"subject_id": SubjectId(uuid4())},
        {"provider": ProviderName("gitlab")},
        {"generation": 2},
        {"revision": 2},
        {"granted_scopes": Scopes.parse("repo user admin")},
        {"granted_scopes": Scopes.parse("repo")},
        {"granted_scopes": Scopes()},
        {"expires_at": None},
        {"data_key_id": uuid4()},
        {"data_key_id": None},
        {"wrapped_key": None},
        {"access_token": None},
        {"account": None},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_an_edited_neighbour(house: House, change: dict[str, Any]) -> None:
    row = await connected(house)
    assert opens(row, house.data_keys)
    assert not opens(replace(row, **change), house.data_keys)


async def test_an_expiry_moved_by_a_microsecond(house: House) -> None:
    row = await connected(house)
    assert row.expires_at is not None
    for by in (1, -1):
        assert not opens(replace(row, expires_at=row.expires_at + timedelta(microseconds=by)), house.data_keys)


async def test_fields_that_changed_places(house: House) -> None:
    row = await connected(house)
    assert not opens(replace(row, access_token=row.refresh_token), house.data_keys)
    assert not opens(replace(row, refresh_token=row.access_token), house.data_keys)
    assert not opens(replace(row, provider_metadata=row.account), house.data_keys)
    assert not opens(replace(row, account=row.access_token), house.data_keys)


@pytest.mark.parametrize("field", ["access_token", "refresh_token", "account", "provider_metadata"])
async def test_a_field_of_another_row(house: House, field: str) -> None:
    own, others = await connected(house), await connected(house, "bob", "hubot")
    assert not opens(replace(own, **{field: getattr(others, field)}), house.data_keys)


async def test_a_whole_row_under_another_subject(house: House) -> None:
    own, others = await connected(house), await connected(house, "bob", "hubot")
    moved = replace(others, subject_id=own.subject_id)
    assert not opens(moved, house.data_keys)
    assert not opens(replace(moved, id=own.id), house.data_keys)


async def test_tokens_of_the_generation_before(house: House) -> None:
    known = await house.subject()
    before = await house.row(await house.connect(known))
    again = await house.row(await house.connect(known))
    assert (again.id, again.generation) == (before.id, 2)
    assert again.data_key_id != before.data_key_id
    assert opens(again, house.data_keys)
    kept: dict[str, Any] = {
        "access_token": before.access_token,
        "refresh_token": before.refresh_token,
        "account": before.account,
    }
    assert not opens(replace(again, **kept), house.data_keys)
    async with house.database.transaction() as connection:
        assert before.data_key_id is not None
        with pytest.raises(CannotOpen):
            await house.data_keys.load(connection, before.data_key_id, "connection")


async def test_tokens_of_the_revision_before(house: House) -> None:
    row = await connected(house)
    key = data_key_of(row, house.data_keys)
    opened = replace(open_connection(key, row), access_token=Secret("refreshed"))
    async with house.database.transaction() as connection:
        fence = await lease.take(connection, row, owner=uuid4(), now=house.clock())
        assert fence is not None
        assert await store.store_refreshed(
            connection,
            row,
            key,
            fence=fence,
            granted_scopes=row.granted_scopes,
            expires_at=row.expires_at,
            opened=opened,
            lookups=house.lookups.of(row.provider, opened),
            now=house.clock(),
        )
    refreshed = await house.row(row.id)
    assert open_connection(key, refreshed).access_token == Secret("refreshed")
    assert not opens(replace(refreshed, access_token=row.access_token), house.data_keys)
