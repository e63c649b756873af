"""Pages of the accounts API (api.md §2): `from` is a place and not a number, so nothing is missed or shown twice."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import DatabaseUrls
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World

ID = "a1b2c3d4-0000-4000-8000-000000000000"
ENDPOINT = 'authorization_endpoint = "https://acme.example/a"\ntoken_endpoint = "https://acme.example/t"'


def cursor(place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).rstrip(b"=").decode()


async def walk(app: App, what: str, take: int, member: str | None = None) -> list[dict[str, Any]]:
    """Every page, one after the other."""
    seen: list[dict[str, Any]] = []
    params: dict[str, str | int] = {"take": take}
    while True:
        answer = await app.http.get(what, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        entries = page[member or what]
        assert len(entries) <= take
        seen += entries
        if "next" not in page:
            return seen
        assert len(entries) == take
        params["from"] = page["next"]


async def test_api_2_accounts_of_one_moment_and_the_next_come_in_one_order(app: App) -> None:
    made = [(await app.connect(provider))["id"] for provider in ("slack", "github", "google")]
    for take in (1, 2, 3, 100):
        assert [account["id"] for account in await walk(app, "accounts", take)] == made


async def test_api_2_accounts_that_come_and_go_move_nothing_between_pages(app: App) -> None:
    first, second = [(await app.connect(provider))["id"] for provider in ("github", "google")]
    page = (await app.http.get("accounts", params={"take": 1})).json()
    assert [account["id"] for account in page["accounts"]] == [first]
    # The very account that the cursor stands behind goes, and another one comes.
    assert (await app.http.delete(f"accounts/{first}")).status_code == 204
    third = (await app.connect("slack"))["id"]
    rest = (await app.http.get("accounts", params={"from": page["next"], "take": 100})).json()
    assert [account["id"] for account in rest["accounts"]] == [second, third]
    assert "next" not in rest


async def test_api_2_a_page_of_one_connection_only(app: App) -> None:
    for provider in ("github", "google"):
        await app.connect(provider)
    answer = await app.http.get("accounts", params={"connection": "github", "take": 1})
    assert [account["connection"] for account in answer.json()["accounts"]] == ["github"]
    # Whether there is more is said of that connection.
    assert "next" not in answer.json()
    for other in ("nowhere", "", "GITHUB"):
        assert (await app.http.get("accounts", params={"connection": other})).json() == {"accounts": []}


async def test_api_2_a_cursor_opens_nobody_elses_list(app: App, other_app: App) -> None:
    for provider in ("github", "slack"):
        await app.connect(provider)
        await other_app.connect(provider)
    following = (await app.http.get("accounts", params={"take": 1})).json()["next"]
    theirs = (await other_app.http.get("accounts", params={"from": following})).json()["accounts"]
    own = {account["id"] for account in (await other_app.http.get("accounts")).json()["accounts"]}
    assert {account["id"] for account in theirs} <= own
    event = (await app.http.get("activity", params={"take": 1})).json()["next"]
    assert (await other_app.http.get("activity", params={"from": event})).status_code == 400


PLACES: list[object] = [
    None,
    7,
    [],
    {},
    "x",
    ["2026-01-01T00:00:00+00:00"],
    ["2026-01-01T00:00:00", ID],
    ["yesterday", ID],
    ["2026-01-01T00:00:00+00:00", "x"],
    ["2026-01-01T00:00:00+00:00", 7],
    [[], {}],
    # Before the first and after the last moment that there is in UTC
    ["0001-01-01T00:00:00+14:00", ID],
    ["9999-12-31T23:59:59-14:00", ID],
    ["2026-01-01", "2026-01-01T00:00:00+00:00", ID, 1],
    "github",
    "behind github",
]
BAD_TAKES: list[str | int] = [0, -1, 101, "", "x", "1.0", " 1", "9" * 30]
BAD_CURSORS = ["", "x", "!", "a b", "é", "%00", "\x00", "A" * 513, "-1", "0", "50", *map(cursor, PLACES)]
BAD_PAGES: list[tuple[str, str | int]] = [
    *[("take", take) for take in BAD_TAKES],
    *[("from", text) for text in BAD_CURSORS],
]


@pytest.mark.parametrize(("name", "value"), BAD_PAGES, ids=lambda value: str(value)[:70])
async def test_api_2_a_page_that_is_none_is_400_and_says_which_parameter(app: App, name: str, value: str | int) -> None:
    for what in ("accounts", "connections", "activity"):
        answer = await app.http.get(what, params={name: value})
        assert answer.status_code == 400, (what, answer.text)
        problem = answer.json()
        assert (problem["type"], problem["status"]) == ("urn:vaultd:error:invalid_request", 400)
        (error,) = problem["validation_errors"]
        assert (error["source"], error["field"]) == ("query", name)


async def test_api_2_a_name_that_postgresql_cannot_hold_is_400(app: App) -> None:
    answer = await app.http.get("accounts?connection=a%00b")
    assert [error["field"] for error in answer.json()["validation_errors"]] == ["connection"]


async def test_api_2_cursors_are_not_taken_by_another_list(app: App) -> None:
    for provider in ("github", "slack"):
        await app.connect(provider)
    nexts = {
        what: (await app.http.get(what, params={"take": 1})).json()["next"]
        for what in ("accounts", "connections", "activity")
    }
    for what in nexts:
        for other, following in nexts.items():
            status = (await app.http.get(what, params={"from": following})).status_code
            assert status == (200 if what == other else 400), (what, other)


@pytest.fixture(scope="module")
def several(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A vault whose app may use six providers, two of them apps at GitHub."""
    own = f'client_id = "a"\nclient_secret = "b"\n{ENDPOINT}'
    tables = f"""
[clients.shop]
auth = "none"
[clients.shop.providers]
zeta = ["b", "a"]
work-github = []
github = ["repo"]
Acme = ["x"]
acme = []
second-work = ["repo"]

[clients.bare]
auth = "none"

[providers.zeta]
{own}
[providers.Acme]
{own}
[providers.acme]
{own}
[providers.work-github]
extends = "github"
client_id = "c"
client_secret = "d"
[providers.second-work]
extends = "work-github"
client_id = "e"
client_secret = "f"
"""
    folder = tmp_path_factory.mktemp("several")
    with vault_beside(world, database_url=module_database.service, folder=folder, tables=lambda _: tables) as running:
        yield running


def app_of(world: World, client: str) -> App:
    app = App(world)
    app.http.headers.update(bearer(world.issuer.mint(app.user, azp=client, scope=ACCOUNT_SCOPES)))
    return app


async def test_api_2_connections_are_the_clients_by_name_and_kind(several: World) -> None:
    async with app_of(several, "shop") as app:
        for take in (1, 4, 100):
            entries = await walk(app, "connections", take)
            assert [(entry["name"], entry["strategy"], entry["scopes"]) for entry in entries] == [
                ("Acme", "Acme", ["x"]),
                ("acme", "acme", []),
                ("github", "github", ["repo"]),
                ("second-work", "github", ["repo"]),
                ("work-github", "github", []),
                ("zeta", "zeta", ["a", "b"]),
            ]
    for nobody in ("bare", "no-client-of-ours"):
        async with app_of(several, nobody) as app:
            assert (await app.http.get("connections")).json() == {"connections": []}
            refused = await app.begin()
            assert (refused.status_code, refused.json()["type"]) == (
                400,
                "urn:vaultd:error:" + ("invalid_request" if nobody == "bare" else "invalid_target"),
            )


async def test_api_2_a_connection_that_left_the_file_is_still_a_place(several: World) -> None:
    """The cursor holds the name itself: one that is there no more stands where it stood."""
    gone = base64.urlsafe_b64encode(b"behind mango").rstrip(b"=").decode()
    async with app_of(several, "shop") as app:
        entries = (await app.http.get("connections", params={"from": gone})).json()["connections"]
    assert [entry["name"] for entry in entries] == ["second-work", "work-github", "zeta"]


HIDDEN = {"writer", "seq", "ip", "generation", "revision", "count", "window"}


async def test_api_2_activity_is_what_operators_see_less_what_is_not_the_users(
    app: App, other_app: App, vault: Vault
) -> None:
    """Refusals too; each with the same id, moment and words as in §4."""
    await other_app.connect()
    account = await app.connect()
    assert (await vault.exchange(app.session_token)).status_code == 200
    refused = await vault.exchange(app.session_token, audience="nowhere")
    assert refused.json()["error"] == "invalid_target"
    begun = await other_app.begin("slack")
    stolen = await app.complete(begun, (await other_app.returned(begun))["connect_code"])
    assert stolen.status_code == 403
    await app.http.delete(f"accounts/{account['id']}")
    walks = [await walk(app, "activity", take, "events") for take in (1, 2, 100)]
    # At the provider the revocation is done meanwhile.
    one, two, events = [[event for event in walked if event["type"] != "provider.revoked"] for walked in walks]
    assert one == two == events
    assert [(event["type"], event["decision"], event.get("reason")) for event in events] == [
        ("connection.revoked", "allowed", "disconnected"),
        ("connection.refused", "refused", "foreign"),
        ("token.refused", "refused", "unknown_provider"),
        ("token.exchanged", "allowed", None),
        ("connection.connected", "allowed", None),
    ]
    issuer = vault.world.places.issuer
    assert {event["subject"]["sub"] for event in events} == {app.user}
    whole = (await vault.audit(subject_issuer=issuer, subject=app.user))["events"]
    assert HIDDEN & set().union(*whole) >= {"writer", "seq", "ip", "generation"}
    by_id = {event["id"]: event for event in whole}
    for event in events:
        assert event == {name: value for name, value in by_id[event["id"]].items() if name not in HIDDEN}
    connected = events[-1]
    assert (connected["client_id"], connected["connection"]) == (SAMPLE_AGENT, "github")
    assert connected["connection_id"] == account["id"]


async def test_api_2_what_happens_meanwhile_moves_no_event(app: App, vault: Vault) -> None:
    for _ in range(3):
        await vault.exchange(app.session_token)
    page = (await app.http.get("activity", params={"take": 2})).json()
    for _ in range(2):
        await vault.exchange(app.session_token)
    rest = (await app.http.get("activity", params={"from": page["next"]})).json()["events"]
    everything = (await app.http.get("activity")).json()["events"]
    assert len(everything) == 5
    assert [*everything[:2], *page["events"], *rest] == everything


async def test_api_2_a_cursor_of_activity_tells_nothing_of_the_log(app: App, vault: Vault) -> None:
    """Events are numbered over all users: the number must not come out in a cursor."""
    for _ in range(2):
        await vault.exchange(app.session_token)
    page = (await app.http.get("activity", params={"take": 1})).json()
    raw = base64.urlsafe_b64decode(page["next"] + "==")
    assert raw.hex() == page["events"][0]["id"].replace("-", "")
