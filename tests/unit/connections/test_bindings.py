"""What rows are bound to stays, byte by byte: databases hold it. The vectors were made by code of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vectors import load
from vaultd.connections.pending import BOUND, bound_private
from vaultd.connections.sealing import Beside, Place, bound_access_token
from vaultd.keys.envelope import Key
from vaultd.keys.keyring import PURPOSES, Keyring, RingKey
from vaultd.sessions.flows import place_of_flow
from vaultd.sessions.store import mac_of_session, session_hash
from vaultd.terms import Scopes

CASES = load("bindings")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def of(kind: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in CASES if case["kind"] == kind]


def moment(microseconds: int | None) -> Any:
    return None if microseconds is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def raw(text: str | None) -> Any:
    return None if text is None else bytes.fromhex(text)


def keyring(case: dict[str, Any]) -> Keyring:
    """A ring with this lookup key."""
    keys = {purpose: Key(UUID(int=number), bytes(32)) for number, purpose in enumerate(PURPOSES)}
    keys["lookup"] = Key(UUID(int=9), bytes.fromhex(case["lookup_key"]))
    return Keyring([RingKey(key, purpose, "active", NOW) for purpose, key in keys.items()])


def test_every_case_is_tried() -> None:
    assert {case["kind"] for case in CASES} == {"access_token", "consent", "sign_in", "session", "lookup"}


@pytest.mark.parametrize("case", of("access_token"))
def test_an_access_token(case: dict[str, Any]) -> None:
    place = Place(
        UUID(case["connection_id"]),
        UUID(case["subject_id"]),
        case["provider"],
        case["generation"],
        case["revision"],
        Scopes.parse(case["granted_scopes"]),
        moment(case["expires_at"]),
    )
    beside = Beside(
        raw(case["account_ref"]),
        raw(case["account_lookup"]),
        tuple(raw(lookup) for lookup in case["token_lookups"]),
        moment(case["created_at"]),
        moment(case["connected_at"]),
        moment(case["refreshed_at"]),
    )
    has = {name: case[name] for name in ("has_refresh_token", "has_metadata")}
    assert bound_access_token(place, beside, case["account_id"], **has).hex() == case["bound"]


def _read(name: str, value: Any) -> Any:
    if name.endswith("_hash"):
        return raw(value)
    if name.endswith("_at"):
        return moment(value)
    return UUID(value) if name in {"id", "subject_id", "data_key_id"} else value


@pytest.mark.parametrize("case", of("consent"))
def test_a_consent(case: dict[str, Any]) -> None:
    assert tuple(case["row"]) == BOUND
    row = {name: _read(name, value) for name, value in case["row"].items()}
    assert bound_private(row | {"granted": b"sealed" if case["granted"] else None}).hex() == case["bound"]


@pytest.mark.parametrize("case", of("sign_in"))
def test_a_sign_in(case: dict[str, Any]) -> None:
    row = {
        "state_hash": raw(case["state_hash"]),
        "browser_hash": raw(case["browser_hash"]),
        "data_key_id": UUID(case["data_key_id"]),
        "expires_at": moment(case["expires_at"]),
    }
    assert place_of_flow(row).hex() == case["bound"]


@pytest.mark.parametrize("case", of("session"))
def test_a_session(case: dict[str, Any]) -> None:
    row = {
        "id_hash": raw(case["id_hash"]),
        "subject_id": UUID(case["subject_id"]),
        "sid_lookup": raw(case["sid_lookup"]),
        **{name: moment(case[name]) for name in ("created_at", "last_seen_at", "expires_at")},
    }
    assert mac_of_session(keyring(case), row).hex() == case["mac"]


@pytest.mark.parametrize("case", of("lookup"))
def test_a_lookup(case: dict[str, Any]) -> None:
    assert case["fields"][0] == "session"
    assert session_hash(keyring(case), raw(case["fields"][1])).hex() == case["mac"]
