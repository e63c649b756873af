"""Events that the serving role's password has put into the log: every reader shows them as not of this vault."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.wire.beside import Log
from tests.wire.inside.within import Inside
from tests.wire.vault import App, bearer
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.loopback import loopback_http

COLUMNS = "period, writer, seq, mac, bytes, id, at, type, decision, client_id, connection, subject_ref, connection_ref"
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join(f'${number}' for number in range(1, 14))})"  # noqa: S608
HUGE = "1" + "0" * 5_000


@dataclass(slots=True)
class Forger:
    """Writes events about one user, whose references are there for everybody to read in their genuine ones."""

    inside: Inside
    subject_ref: bytes
    connection_ref: bytes
    period: Any
    put_in: list[tuple[UUID, int]] = field(default_factory=list)

    async def lane(self) -> UUID:
        writer = uuid4()
        await self.inside.serving(
            "INSERT INTO lanes (writer, period, opened_at) VALUES ($1, $2, now())", writer, self.period
        )
        return writer

    async def put(self, raw: bytes, *, writer: UUID | None = None, seq: int = 1, **columns: Any) -> UUID:
        """One more event in a lane, of these bytes; of one's own where none is named."""
        writer = writer or await self.lane()
        row: dict[str, Any] = {
            "period": self.period,
            "writer": writer,
            "seq": seq,
            "mac": bytes(32),
            "bytes": raw,
            "id": uuid4(),
            "at": self.inside.clock() + timedelta(hours=2),
            "type": "token.exchanged",
            "decision": "allowed",
            "client_id": "sample-agent",
            "connection": "github",
            "subject_ref": self.subject_ref,
            "connection_ref": self.connection_ref,
            **columns,
        }
        await self.inside.serving(INSERT, *row.values())
        self.put_in.append((writer, seq))
        return writer

    def members(self, **changes: Any) -> bytes:
        """Bytes as this vault writes them."""
        at = self.inside.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        plain = {
            "v": 1,
            "id": str(uuid4()),
            "at": at,
            "type": "token.exchanged",
            "decision": "allowed",
            "key": self.chain_key,
            "client_id": "sample-agent",
            "connection": "github",
            "scopes": ["admin"],
            "subject_ref": encoded(self.subject_ref),
            "connection_ref": encoded(self.connection_ref),
        }
        return json.dumps({name: value for name, value in (plain | changes).items() if value is not ...}).encode()

    chain_key: str = ""


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def forger_of(inside: Inside, account: Mapping[str, Any]) -> Forger:
    """After a user has connected: their newest event has what is needed."""
    row = await inside.subject_of(account)
    (event,) = await inside.rows(
        "SELECT e.* FROM events e JOIN subjects s ON s.audit_ref = e.subject_ref WHERE s.id = $1"
        " AND e.connection_ref IS NOT NULL ORDER BY e.seq DESC LIMIT 1",
        row,
    )
    forger = Forger(inside, event["subject_ref"], event["connection_ref"], event["period"])
    forger.chain_key = json.loads(event["bytes"])["key"]
    return forger


async def read_everywhere(inside: Inside, log: Log, app: App, browser: Browser | None = None) -> list[dict[str, Any]]:
    """All that reads the log answers 200; gives this user's events as the operators' API shows them."""
    headers = bearer(await log.operator_token("audit:read connections:read"))
    who = {"subject_issuer": inside.world.places.issuer, "subject": app.user}
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    filters: list[dict[str, Any]] = [
        {},
        {"limit": 1},
        {"limit": 1000},
        {"type": "token.exchanged"},
        {"decision": "allowed"},
        {"decision": "refused"},
        {"client_id": "sample-agent"},
        {"connection": "github"},
        {"since": since},
        {"until": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
        who,
        {**who, "limit": 1000},
    ]
    whole: dict[str, Any] = {}
    for asked in filters:
        answer = await log.http.get("/v1/audit/events", params=asked, headers=headers)
        assert answer.status_code == 200, (asked, answer.text)
        whole = answer.json()
    connections = await log.http.get("/v1/connections", params=who, headers=headers)
    assert connections.status_code == 200
    for path in ("activity", "activity?take=1", "activity?take=100", "accounts"):
        assert (await app.http.get(path)).status_code == 200, path
    if browser is not None:
        for path in ("/connections", "/connections/activity"):
            page = await browser.open(f"{inside.world.places.vault}{path}")
            assert page.status == 200, page.text
    events: list[dict[str, Any]] = whole["events"]
    return events


def shown(events: list[dict[str, Any]], forger: Forger) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those that were put in, and the others."""
    places = {(str(writer), seq) for writer, seq in forger.put_in}
    theirs = [event for event in events if (event["writer"], event["seq"]) in places]
    return theirs, [event for event in events if event not in theirs]


async def named(inside: Inside, forger: Forger, before: set[str]) -> None:
    """Verification names each."""
    found = await inside.findings() - before
    for writer, seq in forger.put_in:
        assert any(finding.startswith(f"lane {writer} event {seq}: ") for finding in found), (seq, found)


NO_EVENTS = {
    "no JSON": b"not json at all",
    "an array": b"[]",
    "a number": b"17",
    "null": b"null",
    "no UTF-8": b"\xff\xfe\xfd",
    "NUL": b"\x00\x00",
    "deep": b"[" * 60_000,
    "deep members": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a huge number": f'{{"generation":{HUGE},"at":{HUGE}}}'.encode(),
    "infinity": b'{"generation":1e999,"revision":-1e999}',
    "NaN": b'{"generation":NaN}',
}


@pytest.mark.parametrize("name", NO_EVENTS)
async def test_bytes_that_are_no_event(inside: Inside, log: Log, victim: App, name: str) -> None:
    forger = await forger_of(inside, await victim.connect())
    assert (await log.exchange(inside.token(victim))).status_code == 200
    before = await inside.findings()
    for kind in ("token.exchanged", "token.refreshed", "connection.revoked", "away.refused", "session.opened"):
        await forger.put(NO_EVENTS[name], type=kind)
    theirs, genuine = shown(await read_everywhere(inside, log, victim), forger)
    assert {event["type"] for event in theirs} == {"event.unverified"}
    assert {event["reason"] for event in theirs} == {"its bytes are no event"}
    assert [event["type"] for event in genuine] == ["token.exchanged", "connection.connected"]
    await named(inside, forger, before)


WRONG: dict[str, list[Any]] = {
    "id": [7, None, [], {}, "x"],
    "at": [7, None, "yesterday", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00Z"],
    "type": [7, None, []],
    "subject_ref": [7, ["a"], "ä", "a", None],
    "private": [7, {}, "no base64 %", "", ["a"]],
    "scopes": ["admin", 7, {"a": 1}],
    "generation": ["9", -1, 1.5, 10**30],
    "client_id": [[], {}, 7],
    "key": [7, None, "x", str(UUID(int=0))],
}


@pytest.mark.parametrize("member", WRONG)
async def test_members_of_a_wrong_type(inside: Inside, log: Log, victim: App, member: str) -> None:
    forger = await forger_of(inside, await victim.connect())
    before = await inside.findings()
    for value in (*WRONG[member], ...):
        await forger.put(forger.members(**{member: value}))
    theirs, genuine = shown(await read_everywhere(inside, log, victim), forger)
    assert {event["type"] for event in theirs} == {"event.unverified"}
    assert [event["type"] for event in genuine] == ["connection.connected"]
    await named(inside, forger, before)


async def test_a_forged_event_that_looks_like_ours(inside: Inside, log: Log, carol: Browser) -> None:
    """To the user too: beside the genuine ones it says that this vault did not write it, and nothing that it says."""
    async with App(inside.world, user="carol") as app:
        forger = await forger_of(inside, await app.connect())
        before = await inside.findings()
        for seq in range(1, 4):
            at = inside.clock() + timedelta(seconds=seq)
            writer = await forger.put(forger.members(client_id="evil"), at=at, client_id="evil")
            await forger.put(forger.members(), writer=writer, seq=2, at=at)
        theirs, _ = shown(await read_everywhere(inside, log, app, carol), forger)
        assert {event["type"] for event in theirs} == {"event.unverified"}
        assert "admin" not in str(theirs)
        page = await carol.open(f"{inside.world.places.vault}/connections/activity")
        assert "An entry that this vault did not write" in page.text
        assert "You connected GitHub" in page.text
        own = (await app.http.get("activity?take=100")).json()["events"]
        assert {"event.unverified", "connection.connected"} <= {event["type"] for event in own}
        assert "evil" not in str(own)
    await named(inside, forger, before)
    code, said = await inside.command("audit", "verify")
    assert code == 1
    assert all(f"lane {writer} event {seq}: " in said for writer, seq in forger.put_in)


async def test_the_next_number_of_a_lane_that_is_written_just_now(inside: Inside, log: Log, victim: App) -> None:
    """The lane is given up, and exchanges go on in another."""
    forger = await forger_of(inside, await victim.connect())
    assert (await log.exchange(inside.token(victim))).status_code == 200
    before = await inside.findings()
    open_lanes = await inside.rows(
        "SELECT e.writer, max(e.seq) AS seq FROM events e JOIN lanes l USING (writer)"
        " WHERE l.closed_at IS NULL GROUP BY e.writer"
    )
    for lane in open_lanes:
        await forger.put(forger.members(), writer=lane["writer"], seq=lane["seq"] + 1)
    answers = [await log.exchange(inside.token(victim)) for _ in range(6)]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 503}, [answer.text for answer in answers]
    assert statuses[-2:] == [200, 200], "each lane is given up once"
    given = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    theirs, genuine = shown(await read_everywhere(inside, log, victim), forger)
    assert {event["type"] for event in theirs} == {"event.unverified"}
    # No event, no token: each that was given has its own.
    exchanged = [event for event in genuine if event["type"] == "token.exchanged"]
    assert len(exchanged) == len(given) + 1
    assert {event["type"] for event in genuine} == {"token.exchanged", "connection.connected"}
    await named(inside, forger, before)


async def copied(inside: Inside, forger: Forger, **columns: Any) -> dict[str, Any]:
    """The user's own genuine event, as a row to be put elsewhere."""
    (row,) = await inside.rows(
        f"SELECT {COLUMNS} FROM events WHERE subject_ref = $1 AND type = 'connection.connected'",  # noqa: S608
        forger.subject_ref,
    )
    return row | columns


async def test_a_genuine_event_that_is_copied_to_another_user(
    inside: Inside, log: Log, victim: App, attacker: App
) -> None:
    forger = await forger_of(inside, await victim.connect())
    other = await forger_of(inside, await attacker.connect())
    before = await inside.findings()
    row = await copied(inside, forger, writer=await forger.lane(), seq=1, subject_ref=other.subject_ref)
    await inside.serving(INSERT, *row.values())
    other.put_in.append((row["writer"], 1))
    theirs, genuine = shown(await read_everywhere(inside, log, attacker), other)
    assert [event["type"] for event in theirs] == ["event.unverified"]
    assert [event["type"] for event in genuine] == ["connection.connected"]
    await named(inside, other, before)


async def test_a_genuine_event_that_is_copied_to_another_place(inside: Inside, log: Log, victim: App) -> None:
    """Behind a row that carries the mac of the one before it: what is shown of it is shown once."""
    forger = await forger_of(inside, await victim.connect())
    before = await inside.findings()
    row = await copied(inside, forger)
    mac = row["writer"].bytes
    if row["seq"] > 1:
        mac = await inside.one("SELECT mac FROM events WHERE writer = $1 AND seq = $2", row["writer"], row["seq"] - 1)
    writer = await forger.put(forger.members(), mac=mac)
    await inside.serving(INSERT, *(row | {"writer": writer, "seq": 2}).values())
    events = await read_everywhere(inside, log, victim)
    assert sorted(event["type"] for event in events) == ["connection.connected", "event.unverified", "event.unverified"]
    await named(inside, forger, before)
    assert f"event {row['id']}: it stands in 2 places of the log" in await inside.findings()


async def test_events_with_the_ids_of_ours_hide_none_of_ours(inside: Inside, log: Log, victim: App) -> None:
    """Not from a user who reads page by page, either: a page goes on behind the very row that was the last one."""
    forger = await forger_of(inside, await victim.connect())
    for _ in range(2):
        assert (await log.exchange(inside.token(victim))).status_code == 200
    ids = await inside.rows("SELECT id, at FROM events WHERE subject_ref = $1 ORDER BY at, seq", forger.subject_ref)
    for row in ids:
        for at in (row["at"], row["at"] - timedelta(minutes=1), row["at"] + timedelta(hours=1)):
            await forger.put(forger.members(), id=row["id"], at=at)
    found, path = [], "activity?take=1"
    async with loopback_http(base_url=victim.http.base_url, headers=victim.http.headers) as http:
        for _ in range(13):
            body = (await http.get(path)).json()
            found += [event["type"] for event in body["events"]]
            if "next" not in body:
                break
            path = f"activity?take=1&from={body['next']}"
    assert len(found) == 12
    assert [kind for kind in found if kind != "event.unverified"] == [
        "token.exchanged",
        "token.exchanged",
        "connection.connected",
    ]


@pytest.mark.parametrize("statement", ["UPDATE events SET at = now()", "DELETE FROM events", "TRUNCATE events"])
async def test_nothing_is_taken_out(inside: Inside, statement: str) -> None:
    assert "permission denied" in await inside.refused(statement)


@pytest.mark.parametrize("statement", ["DELETE FROM lanes", "UPDATE lanes SET writer = gen_random_uuid()"])
async def test_nor_is_a_lane(inside: Inside, statement: str) -> None:
    assert "permission denied" in await inside.refused(statement)


@pytest.mark.parametrize(
    "columns",
    [
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"at": datetime(2999, 1, 1, tzinfo=UTC)},
        {"mac": b"short"},
        {"bytes": b"{" + b" " * 200_000 + b"}"},
        {"bytes": b""},
        {"seq": 0},
        {"seq": -1},
    ],
    ids=str,
)
async def test_what_no_event_can_be_is_not_taken(inside: Inside, victim: App, columns: dict[str, Any]) -> None:
    forger = await forger_of(inside, await victim.connect())
    plain = {"period": forger.period, "writer": uuid4(), "seq": 1, "mac": bytes(32), "bytes": b"{}", "id": uuid4()}
    plain |= {"at": inside.clock(), "type": "t", "decision": "allowed"}
    plain |= {"client_id": None, "connection": None, "subject_ref": None, "connection_ref": None}
    assert "violates check constraint" in await inside.refused(INSERT, *(plain | columns).values())


async def test_a_flood_of_forged_events_hides_none_of_ours(inside: Inside, log: Log, victim: App) -> None:
    forger = await forger_of(inside, await victim.connect())
    writer = await forger.lane()
    await inside.serving(
        f"INSERT INTO events ({COLUMNS}) SELECT $1, $2, number, sha256('x'), 'xx', gen_random_uuid(),"  # noqa: S608
        " cast($5 AS timestamptz) + interval '1 hour', 'token.exchanged', 'allowed', 'sample-agent', 'github', $3, $4"
        " FROM generate_series(1, 2500) AS number",
        forger.period,
        writer,
        forger.subject_ref,
        forger.connection_ref,
        inside.clock(),
    )
    answer = await log.exchange(inside.token(victim))
    assert answer.status_code == 200
    who: dict[str, Any] = {"subject_issuer": inside.world.places.issuer, "subject": victim.user, "limit": 1000}
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await log.audit(**who, **cursor)
        found += [event for event in page["events"] if event["type"] != "event.unverified"]
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    assert [event["type"] for event in found] == ["token.exchanged", "connection.connected"]
    own, path = [], "activity?take=100"
    async with loopback_http(base_url=victim.http.base_url, headers=victim.http.headers) as http:
        while True:
            body = (await http.get(path)).json()
            own += [event["type"] for event in body["events"] if event["type"] != "event.unverified"]
            if "next" not in body:
                break
            path = f"activity?take=100&from={body['next']}"
    assert own == ["token.exchanged", "connection.connected"]
