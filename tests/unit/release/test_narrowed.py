"""Narrowed tokens at the counter: what is asked for, what may leave, and what is read for it (A7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.house import House
from tests.unit.release.test_decide import DOWN, MARGIN, NOW, ask, decide, row
from vaultd.audit.events import EventType
from vaultd.connections import narrowed
from vaultd.connections.labels import Labels
from vaultd.connections.narrowed import AccessToken, Narrowed, Place
from vaultd.connections.sealing import Delivery, data_key_of
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.release.decide import Allowed, Judge, Narrow, Refused, Stale, Verdict
from vaultd.release.narrowed import decide_narrowed
from vaultd.release.statement import Statement
from vaultd.terms import Scopes, Secret

DELIVERY = Delivery(Secret("wide"), "1", "account 1", {})
USER, REPO, BOTH = Scopes({"user"}), Scopes({"repo"}), Scopes({"repo", "user"})


@pytest.mark.parametrize(
    ("changes", "granted", "to"),
    [
        ({"requested": USER}, BOTH, USER),
        ({"requested": USER, "on_wider_grant": "allow"}, BOTH, USER),
        ({"allowed": USER}, BOTH, USER),
        ({"allowed": Scopes({"user", "gist"})}, BOTH, USER),
        ({"allowed": USER, "on_wider_grant": "allow"}, BOTH, USER),
        ({"requested": Scopes(), "allowed": USER}, BOTH, USER),
    ],
)
def test_a7_less_than_the_grant_is_narrowed(changes: dict[str, Any], granted: Scopes, to: Scopes) -> None:
    verdict = decide([row(granted_scopes=granted)], narrows=True, **changes)
    assert verdict == Narrow(row(granted_scopes=granted), to)


@pytest.mark.parametrize(
    ("changes", "granted"),
    [({}, BOTH), ({"requested": BOTH}, BOTH), ({}, USER), ({"on_wider_grant": "allow"}, Scopes())],
)
def test_a7_the_whole_grant_is_the_stored_token(changes: dict[str, Any], granted: Scopes) -> None:
    verdict = decide([row(granted_scopes=granted)], narrows=True, **changes)
    assert isinstance(verdict, Allowed)
    assert (verdict.narrowed, verdict.draft.scopes) == (None, granted)


def test_a7_without_a_refresh_token_it_is_as_where_the_provider_cannot() -> None:
    lone = row(refresh_token=None)
    verdict = decide([lone], narrows=True, requested=USER)
    assert isinstance(verdict, Allowed)
    assert verdict.draft.scopes == BOTH
    refused = decide([lone], narrows=True, allowed=USER)
    assert isinstance(refused, Refused)
    assert refused.error.reason == "wider_grant"
    assert isinstance(decide([lone], narrows=True, allowed=USER, on_wider_grant="allow"), Allowed)


def test_a_stored_token_that_has_ended_is_not_refreshed_for_a_narrowed_one() -> None:
    over = row(expires_at=NOW)
    assert isinstance(decide([over], narrows=True), Stale)
    assert isinstance(decide([over], narrows=True, requested=USER), Narrow)


def token(scopes: Scopes = USER, *, seconds: float = 600) -> AccessToken:
    return AccessToken(Secret("narrow"), scopes, NOW + timedelta(seconds=seconds))


def settle(found: AccessToken | None, **changes: Any) -> Verdict:
    return decide_narrowed(ask(narrows=True, **changes), Narrow(row(), USER), DELIVERY, found, NOW)


@pytest.mark.parametrize(
    ("found", "changes", "carries"),
    [
        (token(), {}, USER),
        (token(), {"allowed": USER}, USER),
        (token(Scopes()), {"allowed": USER, "on_wider_grant": "allow"}, Scopes()),
        (token(BOTH), {}, BOTH),
        (token(BOTH), {"allowed": USER, "on_wider_grant": "allow"}, BOTH),
        (token(seconds=60.000001), {}, USER),
        (token(seconds=60), {"narrowing_failed": DOWN}, USER),
        (token(seconds=0.000001), {"narrowing_failed": DOWN}, USER),
    ],
)
def test_a7_what_it_carries_leaves_and_is_told(found: AccessToken, changes: dict[str, Any], carries: Scopes) -> None:
    verdict = settle(found, requested=USER, **changes)
    assert isinstance(verdict, Allowed)
    assert (verdict.narrowed, verdict.delivery) == (found, DELIVERY)
    assert verdict.draft.type == EventType.TOKEN_EXCHANGED
    assert (verdict.draft.scopes, verdict.draft.account) == (carries, "account 1")
    assert (verdict.draft.generation, verdict.draft.revision, verdict.draft.connection_id) == (4, 5, row().id)


@pytest.mark.parametrize(
    ("found", "changes", "reason"),
    [
        (token(BOTH), {"allowed": USER}, "wider_grant"),
        (token(REPO), {"allowed": USER}, "wider_grant"),
        (token(Scopes({"admin"})), {}, "wider_grant"),
        (token(BOTH, seconds=1), {"allowed": USER, "narrowing_failed": DOWN}, "wider_grant"),
        (None, {"narrowing_failed": DOWN}, "provider_unavailable"),
    ],
)
def test_a7_what_may_not_leave(found: AccessToken | None, changes: dict[str, Any], reason: str) -> None:
    verdict = settle(found, **changes)
    assert isinstance(verdict, Refused)
    assert (verdict.error.reason, verdict.draft.reason) == (reason, reason)
    assert verdict.draft.type == EventType.TOKEN_REFUSED


@pytest.mark.parametrize("found", [None, token(seconds=60), token(seconds=1)])
def test_not_decided_while_it_is_to_be_fetched(found: AccessToken | None) -> None:
    assert settle(found) == Narrow(row(), USER)


class Room:
    """A statement over a database, which remembers what it sent there."""

    def __init__(self, house: House, connection: ConnectionRow, subject: Any) -> None:
        self.house = house
        self.connection = connection
        self.subject = subject
        self.sent: list[str] = []
        labels = Labels(data_keys=house.data_keys)
        judge = Judge(labels.of, labels.matches, labels.deliver)
        opener = Narrowed(data_keys=house.data_keys)
        self.statement = Statement(log=house.log, judge=judge, narrowed=opener, clock=house.clock)

    async def listen(self) -> None:
        """Note the statements of the one connection that the statement will find idle."""
        async with self.house.database.direct() as driver:
            driver.add_query_logger(lambda record: self.sent.append(record.query))

    def ask(self, **changes: Any) -> Any:
        plain = ask(subject_id=self.subject.id, subject=self.subject.key, narrows=True)
        return replace(plain, **{"event": replace(plain.event, subject=self.subject.key), **changes})

    async def keep(self, asked: Scopes, carries: Scopes) -> None:
        key, now = data_key_of(self.connection, self.house.data_keys), self.house.clock()
        place = Place.of(self.connection, "octocat", asked, now + MARGIN * 2)
        async with self.house.database.transaction() as connection:
            await narrowed.keep(connection, key, place, Secret(f"for {asked}"), carries, now=now)


@pytest.fixture
async def room(house: House) -> Room:
    known = await house.subject()
    return Room(house, await house.row(await house.connect(known)), known)


async def test_each_ask_of_a_batch_finds_its_own_and_one_that_has_none_has_no_event(room: Room) -> None:
    await room.keep(USER, USER)
    await room.keep(REPO, BOTH)
    asks = [room.ask(requested=USER), room.ask(), room.ask(requested=REPO), room.ask(requested=REPO, allowed=REPO)]
    first, second, third, fourth = await room.statement.run(asks)
    assert isinstance(first, Allowed)
    assert first.narrowed is not None
    assert first.narrowed.token == Secret("for user")
    assert isinstance(second, Allowed)
    assert second.narrowed is None
    assert isinstance(third, Allowed)
    assert third.draft.scopes == BOTH
    assert isinstance(fourth, Refused)
    assert (await room.house.verify()).events == 1 + 4
    room.house.clock.forward(seconds=MARGIN.total_seconds())
    assert isinstance((await room.statement.run([room.ask(requested=USER)]))[0], Narrow)
    assert (await room.house.verify()).events == 1 + 4
    assert (await room.house.verify()).findings == []


async def test_asks_that_need_none_read_none(room: Room) -> None:
    """The read is in the transaction of the release, and only where it is needed."""
    await room.keep(USER, USER)
    await room.listen()
    await room.statement.run([room.ask(), room.ask(narrows=False, requested=USER)])
    assert not any("narrowed_tokens" in sent for sent in room.sent)
    await room.statement.run([room.ask(), *(room.ask(requested=USER) for _ in range(5))])
    assert sum("narrowed_tokens" in sent for sent in room.sent) == 1


async def test_a_row_that_was_altered_is_refused_with_an_event(room: Room) -> None:
    await room.keep(USER, USER)
    table = narrowed.narrowed_table
    async with room.house.database.transaction() as connection:
        await connection.execute(table.update().values(access_token=b"\1\1" + b"\0" * 60))
    (verdict,) = await room.statement.run([room.ask(requested=USER)])
    assert isinstance(verdict, Refused)
    assert isinstance(verdict.error, CannotOpen)
    assert (await room.house.verify()).events == 2
