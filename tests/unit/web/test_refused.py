"""The wrapper that makes every refusal an event: what it is called, whose it is, and what is none."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from fastapi import Request
from fastapi.exceptions import HTTPException, RequestValidationError
from sqlalchemy import text

from tests.support.house import House
from vaultd.audit import read
from vaultd.audit.events import EventType
from vaultd.audit.refusals import Refusals
from vaultd.errors import (
    BodyTooLarge,
    ConsentRefused,
    InsufficientScope,
    NotFound,
    SlowDown,
    TemporarilyUnavailable,
    VaultdError,
)
from vaultd.terms import ClientId, Subject
from vaultd.web.refused import EACH, Refused
from vaultd.web.standing import standing


@pytest.fixture
def refused(house: House) -> Refused:
    refusals = Refusals(log=house.log, clock=house.clock)
    return Refused(refusals=refusals, log=house.log, subjects=house.subjects, clock=house.clock)


def request() -> Request:
    scope = {"type": "http", "headers": [], "client": ("192.0.2.1", 50_000), "state": {"request_id": uuid4().hex}}
    return Request(scope)


async def refuse(refused: Refused, asked: Request, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with refused.of(asked, EventType.ACCOUNT_REFUSED):
            raise error


async def events(house: House) -> list[dict[str, Any]]:
    async with house.database.transaction() as connection:
        rows = await connection.execute(
            text("SELECT bytes FROM events WHERE type = 'account.refused' ORDER BY at, writer, seq")
        )
        return [json.loads(row.bytes) for row in rows]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFound(), "not_found"),
        (InsufficientScope("x"), "insufficient_scope"),
        (BodyTooLarge(), "body_too_large"),
        (ConsentRefused(reason="state"), "state"),
        (RequestValidationError([]), "invalid_request"),
        (HTTPException(400, "x"), "invalid_request"),
        (HTTPException(413, "x"), "body_too_large"),
        (HTTPException(415, "x"), "unsupported_media_type"),
    ],
)
async def test_whatever_is_answered_with_4xx_is_an_event(
    house: House, refused: Refused, error: Exception, reason: str
) -> None:
    for _ in range(2):
        await refuse(refused, request(), error)
    (event,) = await events(house)
    assert (event["decision"], event["reason"]) == ("refused", reason)


@pytest.mark.parametrize(
    "error",
    [
        TemporarilyUnavailable(),
        VaultdError(),
        RuntimeError("a bug"),
        HTTPException(503, "x"),
        *(ConsentRefused(reason=told) for told in ("foreign", "account_limit", "redirect_uri", "subject_erased")),
    ],
    ids=str,
)
async def test_what_is_no_decision_or_has_its_event_is_none(house: House, refused: Refused, error: Exception) -> None:
    await refuse(refused, request(), error)
    assert await events(house) == []


async def test_of_a_user_who_is_proven_each_is_one_event_under_their_key(house: House, refused: Refused) -> None:
    alice, bob = await house.subject("alice"), await house.subject("bob")
    own, foreign = await house.connect(alice), await house.connect(bob)
    for named in (own, foreign, uuid4()):
        asked = request()
        known = standing(asked)
        known.subject, known.client_id, known.unverified_account = alice, ClientId("agent"), named
        await refuse(refused, asked, InsufficientScope("x"))
    told = await events(house)
    assert [(event["client_id"], event.get("connection")) for event in told] == [
        ("agent", "github"),
        ("agent", None),
        ("agent", None),
    ]
    assert "alice" not in json.dumps(told)
    async with house.database.transaction() as connection:
        wanted = read.Query(subject_ref=alice.key.subject_ref, type=EventType.ACCOUNT_REFUSED, limit=10)
        rows, _ = await read.page(connection, wanted)
    shown = [read.render(row, alice.key) for row in reversed(rows)]
    assert [event.get("connection_id") for event in shown] == [str(own), None, None]
    assert {(event["subject"]["sub"], event["ip"]) for event in shown} == {("alice", "192.0.2.1")}
    assert not (await house.verify()).findings


async def test_e6_nothing_is_written_under_the_key_of_a_user_who_was_erased_meanwhile(
    house: House, refused: Refused
) -> None:
    alice, asked = await house.subject("alice"), request()
    standing(asked).subject = alice
    await house.erase(alice)
    await refuse(refused, asked, NotFound())
    (event,) = await events(house)
    assert not {"subject_ref", "private"} & set(event)
    assert await house.subjects.find(Subject(alice.key.subject.issuer, "alice")) is None


async def test_a11_what_comes_too_often_is_counted_and_names_nobody(house: House, refused: Refused) -> None:
    """It is counted over all users of a client, so that the first one's name would stand for all."""
    for name in ("alice", "bob", "alice"):
        asked = request()
        known = standing(asked)
        known.subject, known.client_id = await house.subject(name), ClientId("agent")
        await refuse(refused, asked, SlowDown(retry_after=1, reason="subject_limit"))
    (event,) = await events(house)
    assert (event["reason"], event["client_id"]) == ("subject_limit", "agent")
    assert "subject_ref" not in event


async def test_one_users_refusals_are_counted_when_they_are_too_many(refused: Refused, house: House) -> None:
    """No event is ever deleted, so that nobody may write as many as they like."""
    known = await house.subject()
    for _ in range(EACH.burst + 500):
        asked = request()
        standing(asked).subject = known
        await refuse(refused, asked, InsufficientScope("read:me:connected_accounts"))
    assert len(await events(house)) == EACH.burst + 1
    house.clock.forward(minutes=2)
    asked = request()
    standing(asked).subject = known
    await refuse(refused, asked, InsufficientScope("read:me:connected_accounts"))
    assert "subject_ref" in (await events(house))[-1], "told by themselves again"
