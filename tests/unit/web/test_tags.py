"""RFC 9110 §8.8.3 and §13.1.2: which `If-None-Match` names a tag."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from fastapi import Request

from vaultd.web.accounts.tags import tagged

OWNER = UUID("a1b2c3d4-0000-4000-8000-000000000000")
BODY: dict[str, list[str]] = {"accounts": []}


def asked(*if_none_match: str) -> Request:
    headers = [(b"if-none-match", value.encode("latin-1")) for value in if_none_match]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


TAG = tagged(asked(), BODY, owner=OWNER).headers["etag"]


@pytest.mark.parametrize(
    "given",
    [
        [TAG],
        [f"W/{TAG}"],
        [f'"a", {TAG}'],
        [f'W/"a",{TAG},"b"'],
        [f' \t{TAG} , "b"'],
        # RFC 9110 §5.6.1.2: empty elements count for nothing
        [f',, "a" ,,{TAG},'],
        [f'"a,b", {TAG}'],
        ['"a"', TAG],
        [f'"\xfc", {TAG}'],
        [f'"", {TAG}'],
        ["*"],
        ["  * "],
    ],
    ids=str,
)
def test_api_2_what_names_the_tag_is_answered_with_304_and_its_headers(given: list[str]) -> None:
    answer = tagged(asked(*given), BODY, owner=OWNER)
    assert (answer.status_code, answer.body) == (304, b"")
    whole = tagged(asked(), BODY, owner=OWNER)
    for name in ("etag", "cache-control", "vary"):
        assert answer.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    "given",
    [
        [],
        [""],
        ['"a"'],
        [TAG.strip('"')],
        [f"w/{TAG}"],
        [f"W/ {TAG}"],
        [TAG.upper()],
        [TAG[:-1]],
        [f'"a, {TAG}'],
        [f'"{TAG}"'],
        # A tag within another one, and a list that is none
        [f'"x,{TAG[1:]}'],
        [f"{TAG} {TAG}"],
        [f"{TAG};x"],
        [f'*, {TAG[:-2]}x"'],
        ['"a", *'],
        ['"' + "a" * 100_000],
        ['"a",' * 20_000 + "x"],
    ],
    ids=lambda value: str(value)[:60],
)
def test_api_2_anything_else_is_answered_whole(given: list[str]) -> None:
    answer = tagged(asked(*given), BODY, owner=OWNER)
    assert (answer.status_code, answer.headers["etag"]) == (200, TAG)


def test_api_2_a_tag_is_that_of_the_bytes_and_of_the_user() -> None:
    assert tagged(asked(), {"accounts": []}, owner=OWNER).headers["etag"] == TAG
    assert tagged(asked(), {"accounts": [], "next": "x"}, owner=OWNER).headers["etag"] != TAG
    assert tagged(asked(), BODY, owner=uuid4()).headers["etag"] != TAG
    # Strong, since no other bytes have it.
    assert not TAG.startswith("W/")
