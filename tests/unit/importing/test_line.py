"""`vaultd import`: what makes a line bad, and that no message repeats a value (issue 5, item 8)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from tests.unit.importing.lines import CANARY, ISSUER, NOW, line, members, providers, reader
from vaultd.connections.imported import LONG_OVER, NO_ACCESS_TOKEN
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.errors import ConfigurationError
from vaultd.importing.line import Line, LineReader, LineRefused
from vaultd.importing.source import LONGEST_LINE, numbered_lines
from vaultd.providers.registry import Providers
from vaultd.terms import Scopes, Secret, Subject


def read(raw: bytes) -> Line:
    return reader().read(raw, number=1, now=NOW)


def refused(raw: bytes) -> str:
    with pytest.raises(LineRefused) as caught:
        read(raw)
    said = str(caught.value)
    assert CANARY not in said
    return said


def test_a_line_with_a_refresh_token_alone_is_renewed_before_its_first_use() -> None:
    found = read(line())
    assert (found.subject, found.imported.scopes) == (Subject(ISSUER, "user-1"), Scopes({"calendar.readonly"}))
    assert found.imported.refresh_token == Secret(f"refresh-{CANARY}")
    assert (found.imported.access_token, found.imported.expires_at) == (NO_ACCESS_TOKEN, LONG_OVER)
    assert found.imported.account_id == UNNAMED_ACCOUNT


def test_an_access_token_is_used_until_its_end_and_not_at_all_where_its_end_is_not_known() -> None:
    known = read(line(access_token="access", expires_at="2030-01-01T01:30:00.1234567+01:00")).imported
    assert (known.access_token, known.expires_at) == (
        Secret("access"),
        datetime(2030, 1, 1, 0, 30, 0, 123456, tzinfo=UTC),
    )
    assert read(line(access_token="access")).imported.expires_at == LONG_OVER
    without_end = read(line(access_token="access", refresh_token=None)).imported
    assert (without_end.refresh_token, without_end.expires_at) == (None, None)


@pytest.mark.parametrize("given", ["openid email", "openid,email", ["email", "openid"]])
def test_scopes_are_a_list_or_a_text_as_providers_answer_it(given: object) -> None:
    assert read(line(scopes=given)).imported.scopes == Scopes({"openid", "email"})


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({}, {"read", "offline"}),
        ({"refresh_token": None, "access_token": "access"}, {"read"}),
        ({"scopes": []}, set()),
    ],
)
def test_a_refresh_token_proves_the_scope_without_which_none_comes(changes: dict[str, Any], scopes: set[str]) -> None:
    """But it makes no grant known whose scopes nobody has told."""
    renewing = providers().get("google").config.model_copy(update={"renewal_scopes": ("offline",)})
    one = LineReader(issuers={"app": ISSUER}, providers=Providers(configs={"google": renewing}))
    found = one.read(line(**{"scopes": ["read"], **changes}), number=1, now=NOW)
    assert found.imported.scopes == Scopes(scopes)


def test_the_issuer_goes_by_the_name_of_its_table_too() -> None:
    assert read(line(issuer="app")).subject == Subject(ISSUER, "user-1")


def test_the_account_is_the_one_given_and_where_the_provider_names_none_the_one_that_consent_stores() -> None:
    named = read(line(account={"id": 7, "label": "ada@example.com"})).imported
    assert (named.account_id, named.account_label) == ("7", "ada@example.com")
    labelled = read(line(account={"label": "ada@example.com"})).imported
    assert (labelled.account_id, labelled.account_label) == (UNNAMED_ACCOUNT, "ada@example.com")
    assert read(line(provider="plain")).imported.account_id == ""


@pytest.mark.parametrize("provider", ["slack", "linkedin"])
def test_an_account_that_no_userinfo_names_is_named_all_the_same(provider: str) -> None:
    """Consent takes it from the token's answer or the ID token, so a line may say it, and one that does not waits."""
    assert read(line(provider=provider, account={"id": "T1"})).imported.account_id == "T1"
    assert read(line(provider=provider)).imported.account_id == UNNAMED_ACCOUNT


def test_an_account_that_is_a_setting_is_known_without_the_lines_word() -> None:
    unsaid = read(line(provider="shopify", account={"label": "Our shop"})).imported
    assert (unsaid.account_id, unsaid.account_label) == ("my-shop", "Our shop")
    assert read(line(provider="shopify", account={"id": "my-shop"})).imported.account_id == "my-shop"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"issuer": "https://login.example.com"}, "issuer is no configured issuer's URL or name; write one of app"),
    ({"issuer": 1}, "issuer is no configured issuer"),
    (
        {"provider": f"{CANARY}"},
        "provider is no configured provider; write one of books, google, linkedin, notes, plain, shopify, sites, ",
    ),
    ({"sub": 7}, "sub is not text"),
    ({"sub": ""}, "sub is empty"),
    ({"sub": " user"}, "sub has a space at an end"),
    ({"sub": "us\x00er"}, "sub has control characters"),
    ({"sub": "\ud800"}, "sub has control characters"),
    ({"sub": "x" * 256}, "sub is longer than 255"),
    ({"scopes": {}}, "scopes is not a list"),
    ({"scopes": ["read write"]}, "scopes has an entry that is not one scope"),
    ({"scopes": ["read,write"]}, "scopes has an entry that is not one scope"),
    ({"scopes": [""]}, "scopes has an entry that is not one scope"),
    ({"scopes": [f"scope{number}" for number in range(201)]}, "scopes has more than 200 scopes"),
    ({"scopes": " ".join(f"scope{number}" for number in range(201))}, "scopes has more than 200 scopes"),
    ({"scopes": ["s" * 256]}, "scopes has a scope that is longer than 255 characters"),
    ({"refresh_token": 5}, "refresh_token is not text"),
    ({"refresh_token": ""}, "refresh_token is empty"),
    ({"refresh_token": "NULL"}, "refresh_token is empty"),
    ({"refresh_token": f"Bearer {CANARY}"}, "refresh_token begins with the word Bearer"),
    ({"refresh_token": f"{CANARY}\n"}, "refresh_token has characters that no token has"),
    ({"refresh_token": f"{CANARY}é"}, "refresh_token has characters that no token has"),
    ({"refresh_token": CANARY + "x" * 16384}, "refresh_token is longer than 16384"),
    ({"access_token": f" {CANARY}"}, "access_token has characters that no token has"),
    ({"access_token": f"refresh-{CANARY}"}, "access_token and refresh_token are the same"),
    ({"refresh_token": None}, "has neither refresh_token nor access_token"),
    (
        {"refresh_token": None, "access_token": CANARY, "expires_at": "2030-01-01T01:00:00Z"},
        "refresh_token is missing, and the access token will end",
    ),
    (
        {"refresh_token": None, "access_token": CANARY, "expires_at": "2029-01-01T01:00:00Z"},
        "refresh_token is missing, and the access token has ended",
    ),
    ({"expires_at": "2030-01-01T01:00:00"}, "expires_at is no time with a zone"),
    ({"expires_at": "2030-01-01"}, "expires_at is no time with a zone"),
    ({"expires_at": 1893456000}, "expires_at is no time with a zone"),
    ({"expires_at": "2030-02-30T01:00:00Z"}, "expires_at is a time that does not exist"),
    ({"expires_at": "1970-01-20T21:57:00Z"}, "expires_at lies before the year 2000"),
    ({"expires_at": "2041-01-01T00:00:00Z"}, "expires_at lies before the year 2000 or more than ten years ahead"),
    ({"account": "ada"}, "account is no such object"),
    ({"account": {}}, "account is no such object"),
    ({"account": {"email": "ada@example.com"}}, "account is no such object"),
    ({"account": {"id": ""}}, "account has a mistake in id: it is empty"),
    ({"account": {"id": True}}, "account has a mistake in id: it is not text"),
    ({"account": {"id": "7"}, "provider": "plain"}, "account has an id, and this provider tells none"),
    (
        {"account": {"id": CANARY}, "provider": "shopify"},
        "account has an id, which shop in fixed_settings decides",
    ),
    ({"refreshtoken": CANARY}, 'the key "refreshtoken" is not known; did you mean "refresh_token"?'),
    ({f"ya29.{CANARY}": ""}, "a key is not known"),
]


@pytest.mark.parametrize(("changes", "told"), BAD, ids=[told for _, told in BAD])
def test_a_bad_member_is_told_without_its_value(changes: dict[str, Any], told: str) -> None:
    assert told in refused(line(**changes))


@pytest.mark.parametrize("key", ["issuer", "sub", "provider", "scopes"])
def test_a_missing_member_is_told(key: str) -> None:
    assert refused(line(**{key: None})) == f"{key} is missing; every line has it"
    assert f"{key} is missing" in refused(json.dumps(members() | {key: None}).encode())


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"{", "is not JSON"),
        (b'{"sub": NaN}', "is not JSON"),
        (b"[" * 20_000, "is not JSON"),
        (b'{"sub": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"7", "is no object"),
        (b"[{}]", "is a list; write one object a line"),
        (b'{"sub": "\xff"}', "is not UTF-8"),
        (b'{"sub": "a", "sub": "b"}', "has a key twice"),
        (b'{"account": {"id": "a", "id": "b"}}', "has a key twice"),
    ],
)
def test_what_is_no_object_is_told(raw: bytes, told: str) -> None:
    assert told in refused(raw)


def test_everything_that_is_wrong_with_a_line_is_told_at_once() -> None:
    said = refused(line(sub="", scopes=7, expires_at="soon", scope="x"))
    for key in ("sub is empty", "scopes is not", "expires_at is no", 'did you mean "scopes"?'):
        assert key in said


def test_a_mark_carriage_returns_and_blank_lines_are_no_mistakes_and_count_as_lines() -> None:
    file = BytesIO(b"\xef\xbb\xbf" + line() + b"\r\n\r\n   \n" + line(sub="user-2"))
    found = list(numbered_lines(file))
    assert [number for number, _ in found] == [1, 4]
    for _, raw in found:
        assert isinstance(raw, bytes)
        read(raw)


def test_a_line_without_an_end_is_not_read_into_memory() -> None:
    file = BytesIO(line() + b"\n" + CANARY.encode() * 20_000 + b"\n" + line())
    found = list(numbered_lines(file))
    assert [number for number, _ in found] == [1, 2, 3]
    assert isinstance(found[1][1], LineRefused)
    assert str(found[1][1]) == f"is longer than {LONGEST_LINE} bytes; write one object a line"
    longest = line() + b" " * (LONGEST_LINE - len(line()))
    assert [raw for _, raw in numbered_lines(BytesIO(longest + b"\r\n" + line()))] == [longest, line()]


def test_utf_16_is_told_as_such() -> None:
    with pytest.raises(ConfigurationError, match="UTF-16"):
        list(numbered_lines(BytesIO(line().decode().encode("utf-16"))))
