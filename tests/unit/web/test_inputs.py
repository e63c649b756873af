"""The spellings that the JSON APIs take are those that the document of the API names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from vaultd.web.inputs import moment, path_id


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02t03:04:05z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5+01:30", datetime(2026, 1, 2, 1, 34, 5, 500_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789-00:00", datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        # RFC 3339 §5.7
        ("1990-12-31T23:59:60Z", datetime(1991, 1, 1, tzinfo=UTC)),
        ("1990-12-31T15:59:60.25-08:00", datetime(1991, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_moment_is_one_of_rfc_3339(text: str, read: datetime) -> None:
    assert moment(text) == read
    assert moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "1767323045",
        "yesterday",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05,5Z",
        "2026-02-30T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:05+25:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "٢٠٢٦-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="Input should be a"):
        moment(text)


def test_a_zone_does_not_change_a_moment() -> None:
    there = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=-11)))
    assert moment(there.isoformat()) == there


@pytest.mark.parametrize("text", ["", "x", "0" * 32, "{00000000-0000-4000-8000-000000000000}", "\x00"])
def test_what_is_no_id_names_nothing(text: str) -> None:
    assert path_id(text) is None


def test_an_id_may_be_written_large() -> None:
    assert path_id("ABCDEF00-0000-4000-8000-000000000000") == path_id("abcdef00-0000-4000-8000-000000000000")
