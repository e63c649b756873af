"""The campaigns, a few rounds of each: `python -m campaigns.…` makes as many as issue 5 asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from campaigns import hanging, kills, races, single_flight
from campaigns.report import Found, p99
from campaigns.setting import Setting, set_up
from vaultd.connections import lease
from vaultd.sandbox.world import World


@pytest.fixture(scope="module")
def setting() -> Iterator[Setting]:
    with set_up(2) as running:
        yield running


@pytest.fixture
def world(setting: Setting) -> World:
    return setting.world


async def test_c5_one_refresh_a_round(setting: Setting) -> None:
    found = await single_flight.run(setting, concurrent=40, rounds=3, alone=1)
    assert found.broken == []
    assert found.figures["rounds_with_one_refresh"] == 3
    assert found.figures["exchanges_a_round"] == 80


async def test_c8_a_provider_that_hangs_fails_no_exchange_at_another(setting: Setting) -> None:
    """Times are for the campaign; here, that those at the others go on, and that the hanging one was called."""
    found = await hanging.run(setting, phases=1, seconds=2.0, users=4)
    assert not [text for text in found.broken if "failed" in text]
    assert isinstance(found.figures["calls_that_hung"], int)
    assert found.figures["calls_that_hung"] >= 1


async def test_c5_c6_f2_a_kill_at_each_point_of_a_refresh(setting: Setting) -> None:
    found = await kills.run(setting, times=1)
    assert found.broken == []
    assert (found.figures["kills"], found.figures["at_points"]) == (12, 6)
    assert found.figures["reconnect_required_without"] == 2
    # At least one of them had to wait for the end of a lease, or none was held by the dead.
    assert float(str(found.figures["longest_until_relieved_s"])) > lease.LASTS.total_seconds() / 2


async def test_c7_revoking_against_refreshing(world: World) -> None:
    found = await races.run(world, processes=2, races=20)
    assert found.broken == []
    assert found.figures["races"] == 20
    assert found.figures["calls_to_the_provider"]


def test_a_bound_that_is_broken_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert Found("good", {"kills": 3}).tell() == 0
    assert Found("bad", {"lost_rows": 1}, ["a row was lost"]).tell() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "bad: lost rows 1: a row was lost"
    assert json.loads(lines[3]) == {"campaign": "bad", "figures": {"lost_rows": 1}, "broken": ["a row was lost"]}


def test_what_one_in_a_hundred_exceeds() -> None:
    assert p99([float(number) for number in range(1, 102)]) == 100
