"""A7 over HTTP: no token leaves with a scope outside the client's list, narrowed at the provider where that can be."""

from __future__ import annotations

import pytest

from tests.wire.narrowing.conftest import Asking
from vaultd.terms import Scopes


async def test_a7_a_grant_within_the_list_leaves_as_it_is(asking: Asking) -> None:
    for scope in (None, "repo read:user", ""):
        (await asking.ask("whole", scope)).carries("repo read:user")
    assert asking.refreshes == 0
    assert await asking.kept() == []


async def test_a7_fewer_scopes_asked_for_are_what_leaves(asking: Asking) -> None:
    """api.md §1.1: `scope` is what the token really carries."""
    stored = (await asking.ask("whole")).token
    told = await asking.ask("whole", "read:user")
    told.carries("read:user")
    event = await asking.newest("token.exchanged")
    assert (event["scopes"], event["requested_scopes"]) == (["read:user"], ["read:user"])
    narrowed = await asking.newest("token.refreshed")
    assert (narrowed["reason"], narrowed["scopes"], narrowed["revision"]) == ("narrowed", ["read:user"], 2)
    assert (await asking.ask("whole")).token == stored, "the stored token is what it was"


async def test_a7_a_grant_wider_than_the_list_is_narrowed_to_the_list(asking: Asking) -> None:
    for scope in (None, "read:user"):
        (await asking.ask("reader", scope)).carries("read:user")
    assert (await asking.newest("token.exchanged"))["scopes"] == ["read:user"]


async def test_a7_a_narrowed_token_is_kept_and_shared_by_clients_and_replicas(asking: Asking) -> None:
    first = await asking.ask("reader")
    again = await asking.ask_all(
        [
            ("reader", None, asking.vaults.replica),
            ("whole", "read:user", asking.vaults.narrowing),
            ("lenient", None, asking.vaults.narrowing),
        ]
    )
    assert {told.token for told in again} == {first.token}
    assert asking.refreshes == 1


async def test_a7_a_provider_that_does_not_rotate(asking: Asking) -> None:
    asking.provider.grants.rotate = False
    for scope in ("repo", "read:user"):
        (await asking.ask("whole", scope)).carries(scope)
    (await asking.ask("whole")).carries("repo read:user")


async def test_a7_a_scope_outside_the_list(asking: Asking) -> None:
    for client, scope in (("reader", "repo"), ("reader", "read:user repo"), ("whole", "gist"), ("whole", "*")):
        (await asking.ask(client, scope)).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "scope_not_allowed"
    assert asking.refreshes == 0


async def test_a7_a_scope_of_the_list_that_the_user_never_granted(asking: Asking) -> None:
    told = await asking.ask("stranger", "gist")
    assert (told.answer.status_code, told.answer.json()["reason"]) == (400, "scope_missing")


@pytest.mark.parametrize("client", ["stranger", "foreigner"])
async def test_a7_nothing_in_common_with_the_grant(asking: Asking, client: str) -> None:
    (await asking.ask(client)).is_invalid_scope()
    assert (await asking.newest("token.refused"))["reason"] == "no_scope_in_common"
    assert asking.refreshes == 0


async def test_a7_where_the_provider_cannot_narrow(asking: Asking) -> None:
    """api.md §1.1: the whole token, provided all of it lies within the list; else none, or `on_wider_grant`."""
    plain = asking.vaults.plain
    for scope in (None, "read:user"):
        (await asking.ask("whole", scope, at=plain)).carries("repo read:user")
        (await asking.ask("lenient", scope, at=plain)).carries("repo read:user")
        (await asking.ask("reader", scope, at=plain)).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "wider_grant"
    (await asking.ask("stranger", at=plain)).is_invalid_scope()
    (await asking.ask("foreigner", at=plain)).carries("repo read:user")
    assert asking.refreshes == 0


async def test_a7_a_client_that_may_have_more_gets_the_narrowed_one_all_the_same(asking: Asking) -> None:
    (await asking.ask("lenient")).carries("read:user")


async def test_a7_a_provider_that_answers_wider_than_asked(asking: Asking) -> None:
    """What the token really carries decides, and what was got once is not asked for again."""
    asking.provider.faults.token = "widen"
    for _ in range(2):
        (await asking.ask("reader")).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "wider_grant"
    assert (await asking.newest("token.refreshed"))["scopes"] == ["read:user", "repo"]
    assert asking.refreshes == 1
    (await asking.ask("lenient")).carries("repo read:user")
    assert (await asking.newest("token.exchanged"))["scopes"] == ["read:user", "repo"]
    (await asking.ask("whole", "read:user")).carries("repo read:user")
    assert asking.refreshes == 1


async def test_a7_a_provider_that_refuses_to_narrow_breaks_nothing(asking: Asking) -> None:
    asking.family.scopes = Scopes({"repo"})
    for _ in range(2):
        (await asking.ask("reader")).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "narrowing_refused"
    (await asking.ask("whole", "repo")).carries("repo")
    (await asking.ask("whole")).carries("repo read:user")
