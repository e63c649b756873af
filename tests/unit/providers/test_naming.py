"""By what an account is known: paths in several answers, ids of several parts, and what the metadata tell."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.providers.conftest import provider_of, unavailable
from tests.unit.providers.test_identity import CLAIMS, ISSUER, grant_of, id_token
from tests.unit.scripted_server import ScriptedServer
from vaultd.providers.naming import joined, parts_of, read_id, split_id
from vaultd.providers.oauth import Account, OAuthClient
from vaultd.providers.recognising import account_in, is_account

SITE = {"pattern": "[a-z]+", "example": "acme", "description": "Your site."}


async def account_of(
    oauth: OAuthClient,
    server: ScriptedServer,
    answer: dict[str, Any],
    redirect: dict[str, str] | None = None,
    **keys: Any,
) -> Account | None:
    """The account of a grant whose token answer and userinfo are one."""
    provider = provider_of(server, **keys)
    grant = await grant_of(oauth, server, provider, **answer)
    return (await oauth.identify(provider, grant=grant, nonce="n-1", redirect=redirect)).account


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("user.id", "u"),
        (["team.id", "user.id"], "t:u"),
        (["team.id", ["none", "user.id"]], "t:u"),
        ([["none", "team.id"]], "t"),
        (["redirect:realmId", "user.id"], "7:u"),
        ("redirect:realmId", "7"),
        (["token:team.id", "userinfo:user.id"], "t:u"),
        (["id_token:sub", "user.id"], "u-1:u"),
        (["number", "user.id"], "12:u"),
    ],
)
async def test_the_parts_of_an_id(fields: Any, expected: str, oauth: OAuthClient, server: ScriptedServer) -> None:
    answer = {"team": {"id": "t"}, "user": {"id": "u"}, "number": 12, "id_token": id_token(CLAIMS)}
    keys = {"account_id_field": fields, "callback_metadata": {"realm": "realmId"}, "id_token_issuers": [ISSUER]}
    account = await account_of(oauth, server, answer, {"realmId": "7"}, **keys)
    assert account is not None
    assert account.id == expected


@pytest.mark.parametrize("fields", [["team.id", "none"], [["none", "neither"]], "redirect:realmId"])
async def test_an_id_that_lacks_a_part_is_none(fields: Any, oauth: OAuthClient, server: ScriptedServer) -> None:
    keys = {"account_id_field": fields, "callback_metadata": {"realm": "realmId"}}
    error = await unavailable(lambda: account_of(oauth, server, {"team": {"id": "t"}}, **keys))
    assert "the account has no usable" in str(error.detail)


@pytest.mark.parametrize(
    ("answer", "label", "names"),
    [
        ({"email": "a@b.example", "team": {"name": "Team"}}, "a@b.example (Team)", ("a@b.example", "Team")),
        ({"team": {"name": "Team"}}, "Team", ("Team",)),
        ({"email": "a@b.example"}, "a@b.example", ("a@b.example",)),
        ({"email": "Team", "team": {"name": "Team"}}, "Team", ("Team",)),
        ({}, "u", ()),
        ({"email": "x" * 300, "team": {"name": "y" * 300}}, f"{'x' * 97} ({'y' * 100})", None),
    ],
)
async def test_the_place_stands_behind_the_name(
    answer: dict[str, Any], label: str, names: tuple[str, ...] | None, oauth: OAuthClient, server: ScriptedServer
) -> None:
    keys: dict[str, Any] = {
        "account_id_field": "id",
        "account_label_fields": ["email"],
        "account_place_fields": ["team.name"],
    }
    account = await account_of(oauth, server, {"id": "u", **answer}, **keys)
    assert account is not None
    assert account.label == label
    if names is not None:
        assert account.names == tuple(dict.fromkeys([*([label] if names else []), *names]))


async def test_former_ids_in_their_order(oauth: OAuthClient, server: ScriptedServer) -> None:
    keys: dict[str, Any] = {
        "account_id_field": ["team", "id"],
        "former_account_id_fields": ["none", "id", ["id", "team"], "token:team"],
    }
    account = await account_of(oauth, server, {"id": "u", "team": "t"}, **keys)
    assert account is not None
    assert account.former_ids == (None, "u", "u:t", "t")


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20), min_size=2))
def test_two_accounts_have_one_id_only_if_they_are_one(values: list[str]) -> None:
    """The joint and what escapes it may stand in a part."""
    whole = joined(values)
    if whole is None:
        assert sum(map(len, values)) > 60
        return
    parts = split_id(whole)
    assert [part.replace("%3A", ":").replace("%25", "%") for part in parts] == values


def test_one_part_is_kept_as_it_is() -> None:
    assert read_id("id", {"userinfo": {"id": "a:b%c"}}, "userinfo") == "a:b%c"
    assert parts_of((("a", "b"), "c")) == (("a", "b"), ("c",))


class TestRecognising:
    KEYS: ClassVar[dict[str, Any]] = {
        "account_id_field": ["team.id", "user.id"],
        "account_source": "token",
        "metadata_fields": {"team_id": "team.id", "owner": "user.id"},
    }

    @pytest.mark.parametrize(
        ("metadata", "expected"),
        [
            ({"team_id": "t"}, True),
            ({"team_id": "t", "owner": "anything"}, True),
            ({"team_id": "x"}, False),
            ({}, None),
            ({"team_id": ""}, None),
        ],
    )
    def test_the_former_part_is_sure_and_the_metadata_tell_the_rest(
        self,
        metadata: dict[str, str],
        expected: bool | None,  # noqa: FBT001 - a column
        server: ScriptedServer,
    ) -> None:
        config = provider_of(server, **self.KEYS).config
        assert is_account(config, "t:u", "user.id", metadata) is expected

    @pytest.mark.parametrize(
        ("metadata", "expected"),
        [({"team_id": "t", "owner": "u"}, True), ({"team_id": "t", "owner": "v"}, False), ({"owner": "v"}, False)],
    )
    def test_one_part_that_differs_is_enough(
        self,
        metadata: dict[str, str],
        expected: bool,  # noqa: FBT001 - a column
        server: ScriptedServer,
    ) -> None:
        config = provider_of(server, **self.KEYS).config
        assert is_account(config, "t:u", "else", metadata) is expected

    def test_parts_that_are_escaped(self, server: ScriptedServer) -> None:
        config = provider_of(server, **self.KEYS).config
        assert account_in(config, {"team_id": "a:b", "owner": "c"}) == "a%3Ab:c"
        assert is_account(config, "a%3Ab:c", "else", {"team_id": "a:b", "owner": "c"}) is True

    def test_a_setting_and_the_redirect(self, server: ScriptedServer) -> None:
        config = provider_of(
            server,
            connection_settings={"site": SITE},
            callback_metadata={"realm": "realmId"},
            account_id_field=["setting:site", "redirect:realmId"],
        ).config
        assert account_in(config, {"site": "acme", "realm": "1"}) == "acme:1"
        assert account_in(config, {"site": "acme"}) is None


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"account_id_field": []}, "is no path; write one like"),
        ({"account_id_field": ""}, "is no path; write one like"),
        ({"account_id_field": [[]]}, "has an entry that is no path"),
        ({"account_id_field": ["a", 1]}, "has an entry that is no path"),
        ({"account_id_field": "redirect:realmId"}, "names redirect:realmId, which callback_metadata lacks"),
        ({"account_id_field": ["a", ["b", "setting:site"]]}, "names setting:site, which connection_settings lacks"),
        ({"account_id_field": "id_token:sub"}, "id_token_issuers"),
        ({"former_account_id_fields": [[]]}, "is no path; write one like"),
        ({"grant_for": "town"}, "grant_for"),
    ],
)
def test_mistakes(keys: dict[str, Any], told: str, server: ScriptedServer) -> None:
    with pytest.raises(ValidationError, match=told.replace("(", r"\(")):
        provider_of(server, **keys)
