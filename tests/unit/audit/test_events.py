"""The canonical bytes of events, and what of them only the subject's key opens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.support import vectors
from vaultd.audit.events import Decision, Draft, EventType, decode, encode, rfc3339
from vaultd.audit.lane import columns_of, link
from vaultd.audit.subject_key import SubjectKey
from vaultd.errors import CannotOpen
from vaultd.keys.envelope import Key
from vaultd.terms import Scopes, Subject

CHAIN_KEY = uuid4()
FIRST = UUID(int=1)
AT = datetime(2030, 5, 17, 8, 0, 0, 120, tzinfo=UTC)


def draft_of(members: dict[str, Any], subject: SubjectKey | None) -> Draft:
    typed: dict[str, Any] = {"type": EventType, "decision": Decision, "connection_id": UUID}
    typed |= {"scopes": Scopes, "requested_scopes": Scopes}
    return Draft(subject=subject, **{name: typed.get(name, lambda v: v)(value) for name, value in members.items()})


@pytest.mark.parametrize("case", vectors.load("event"), ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    subject = None
    if case["subject"] is not None:
        given = case["subject"]
        data_key = Key(UUID(given["data_key_id"]), bytes.fromhex(given["data_key"]))
        subject = SubjectKey(
            Subject(given["issuer"], given["sub"]), data_key, random=lambda size: bytes.fromhex(case["nonce"])[:size]
        )
    chain_key = Key(UUID(case["chain_key_id"]), bytes.fromhex(case["chain_key"]))
    event = draft_of(case["draft"], subject).canonical(
        event_id=UUID(case["id"]), at=rfc3339(datetime.fromisoformat(case["at"])), chain_key=str(chain_key.id)
    )
    assert event.decode() == case["bytes"]
    assert link(chain_key, bytes.fromhex(case["previous_mac"]), event).hex() == case["mac"]


def subject_key(material: bytes = b"d" * 32) -> SubjectKey:
    return SubjectKey(Subject("https://login.example.com", "alice"), Key(UUID(int=7), material))


def canonical(draft: Draft, event_id: UUID = FIRST) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(draft.canonical(event_id=event_id, at=rfc3339(AT), chain_key=str(CHAIN_KEY)))
    return members


def test_absent_members_are_left_out() -> None:
    assert set(canonical(Draft(type=EventType.KEY_ROTATED))) == {"v", "id", "at", "type", "decision", "key"}


def test_no_scopes_and_unknown_scopes_differ() -> None:
    assert canonical(Draft(type=EventType.TOKEN_EXCHANGED, scopes=Scopes()))["scopes"] == []
    assert "scopes" not in canonical(Draft(type=EventType.TOKEN_EXCHANGED))


def test_time_is_utc_with_microseconds() -> None:
    assert rfc3339(AT) == "2030-05-17T08:00:00.000120Z"
    assert rfc3339(AT.astimezone(timezone(timedelta(hours=9)))) == "2030-05-17T08:00:00.000120Z"
    event = Draft(type=EventType.KEY_ROTATED).canonical(event_id=uuid4(), at=rfc3339(AT), chain_key=str(CHAIN_KEY))
    assert columns_of(event)["at"] == AT


def test_private_members_are_nowhere_in_the_clear() -> None:
    draft = Draft(
        type=EventType.TOKEN_EXCHANGED,
        subject=subject_key(),
        connection_id=UUID(int=9),
        account="octocat@example.com",
        actor={"sub": "the agent"},
        ip="192.0.2.7",
        audit_context="for the case of Ada",
    )
    shown = str(canonical(draft))
    for private in (
        "alice",
        "login.example.com",
        "octocat",
        "the agent",
        "192.0.2.7",
        "for the case",
        str(UUID(int=9)),
    ):
        assert private not in shown
    opened = json.loads(subject_key().open_private(UUID(int=1), decode(canonical(draft)["private"])))
    assert opened == {
        "subject": {"issuer": "https://login.example.com", "sub": "alice"},
        "account": "octocat@example.com",
        "actor": {"sub": "the agent"},
        "ip": "192.0.2.7",
        "audit_context": "for the case of Ada",
        "connection_id": str(UUID(int=9)),
    }


def test_private_members_open_in_their_own_event_only() -> None:
    blob = subject_key().seal_private(UUID(int=1), b"{}")
    assert subject_key().open_private(UUID(int=1), blob) == b"{}"
    for key, event_id in ((subject_key(), UUID(int=2)), (subject_key(b"e" * 32), UUID(int=1))):
        with pytest.raises(CannotOpen):
            key.open_private(event_id, blob)


def test_references_are_the_subjects_own() -> None:
    draft = Draft(type=EventType.TOKEN_EXCHANGED, subject=subject_key(), connection_id=UUID(int=9))
    one, again = canonical(draft, UUID(int=1)), canonical(draft, UUID(int=2))
    assert one["subject_ref"] == again["subject_ref"]
    assert one["connection_ref"] == again["connection_ref"]
    assert one["private"] != again["private"]
    assert subject_key(b"e" * 32).ref("connection", str(UUID(int=9))) != decode(one["connection_ref"])


def test_base64url() -> None:
    for raw in (b"", b"\xff", b"\xfb\xff", b"abc", bytes(range(256))):
        assert decode(encode(raw)) == raw
        assert not set(encode(raw)) & set("+/=")


def test_a_subject_key_shows_nothing() -> None:
    assert repr(subject_key()) == "SubjectKey(…)"


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MEMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(EventType), "decision": st.sampled_from(Decision)},
    optional={
        **dict.fromkeys(("reason", "client_id", "connection", "subject_presence", "request_id", "window"), TEXT),
        **dict.fromkeys(("generation", "revision", "count"), st.integers(0, 2**53 - 1)),
        **dict.fromkeys(("scopes", "requested_scopes"), st.frozensets(TEXT).map(Scopes)),
    },
)


@given(MEMBERS)
def test_events_are_written_as_rfc_8785_says(members: dict[str, Any]) -> None:
    event = Draft(**members).canonical(event_id=FIRST, at=rfc3339(AT), chain_key=str(CHAIN_KEY))
    assert event == rfc8785.dumps(json.loads(event))


def test_what_has_no_canonical_form_is_no_event() -> None:
    for members in ({"count": 2**53}, {"reason": "\ud800"}):
        with pytest.raises(TypeError):
            canonical(Draft(type=EventType.KEY_ROTATED, **members))
