"""When a refresh token ends, and whether a refresh moves that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vaultd.connections.refresh_end import RefreshEnd, first_end, next_end

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def renewed(earlier: RefreshEnd, after: float, seconds: int | None, *, replaced: bool = True) -> RefreshEnd | None:
    return next_end(earlier, seconds, replaced=replaced, rotates=True, now=later(after))


@pytest.mark.parametrize("said", [None, 0])
def test_silence_and_zero_are_no_end(said: int | None) -> None:
    """Keycloak answers 0 for offline tokens."""
    assert first_end(said, rotates=True, now=START) is None


@pytest.mark.parametrize("life", [20, 3600, 90 * DAY])
def test_it_is_to_be_renewed_at_half_of_its_life(life: int) -> None:
    end = first_end(life, rotates=True, now=START)
    assert end is not None
    assert (end.at, end.renew_by) == (later(life), later(life / 2))
    assert RefreshEnd.from_json(end.to_json()) == end


def test_where_nothing_rotates_it_stands() -> None:
    end = first_end(365 * DAY, rotates=False, now=START)
    assert end is not None
    assert (end.fixed, end.renew_by) == (True, None)


@pytest.mark.parametrize("life", [20, 3600, 90 * DAY])
def test_a_refresh_that_is_due_moves_it_or_shows_that_none_will(life: int) -> None:
    end = first_end(life, rotates=True, now=START)
    assert end is not None
    due = life * 0.6
    assert renewed(end, due, life) == RefreshEnd(later(due + life), later(due))
    for said, replaced in ((round(life - due), True), (round(life - due), False), (None, False)):
        stands = renewed(end, due, said, replaced=replaced)
        assert stands is not None
        assert (stands.fixed, stands.renew_by) == (True, None)
        assert abs(stands.at - end.at) <= timedelta(seconds=1)


def test_a_refresh_that_is_not_due_yet_shows_nothing() -> None:
    """Intuit gives the same token for a day."""
    end = first_end(100 * DAY, rotates=True, now=START)
    assert end is not None
    for hour in range(1, 24):
        same = renewed(end, hour * 3600, 100 * DAY - hour * 3600, replaced=False)
        assert same is not None
        assert (same.fixed, same.renew_by) == (False, end.renew_by)
        end = same
    assert renewed(end, DAY + 3600, 100 * DAY) == RefreshEnd(later(101 * DAY + 3600), later(DAY + 3600))


def test_what_was_said_once_holds_for_the_next_token() -> None:
    end = first_end(100, rotates=True, now=START)
    assert end is not None
    assert renewed(end, 30, None) == RefreshEnd(later(130), later(30))
    assert renewed(end, 30, None, replaced=False) == end
    assert renewed(end, 30, 0) is None


@pytest.mark.parametrize("rotates", [True, False])
def test_an_end_after_which_the_token_was_still_good_is_none(rotates: bool) -> None:  # noqa: FBT001 - a column
    end = first_end(1, rotates=rotates, now=START)
    assert end is not None
    assert next_end(end, None, replaced=False, rotates=rotates, now=later(31)) is None
    assert next_end(end, 10, replaced=False, rotates=rotates, now=later(31)) == RefreshEnd(later(41), later(31))


def test_an_end_that_stood_and_moves_after_all_is_renewed_again() -> None:
    end = first_end(100, rotates=False, now=START)
    assert end is not None
    assert renewed(end, 60, 100) == RefreshEnd(later(160), later(60))
