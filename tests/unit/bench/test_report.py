from __future__ import annotations

import pytest

from bench.goals import judge, judge_growth
from bench.measure import Run
from bench.report import medians


def run(part: str, connections: int, number: int, *, rate: float = 1000.0, **changed: float) -> Run:
    figures = {
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "cpu_us": 50.0,
        "postgres_cpu_us": 10.0,
        "commits": 0.1,
        "memory_mib": 90.0,
    }
    return Run(
        part=part, connections=connections, round=number, requests=5000, rate=rate, failed=0, **(figures | changed)
    )


def test_medians_are_those_of_the_rounds_and_the_spread_is_kept() -> None:
    rates = (900.0, 5000.0, 1000.0)
    rows = medians(run("exchange", 16, number, rate=rate, p50_ms=rate) for number, rate in enumerate(rates))

    row = rows["exchange", 16]
    assert (row.rounds, row.rate, row.p50_ms) == (3, 1000.0, 1000.0)
    assert (row.slowest, row.fastest) == (900.0, 5000.0)


def test_goals_at_64_connections_are_ratios_of_the_same_run() -> None:
    rows = medians(
        [
            run("exchange", 64, 1, rate=9000.0, p50_ms=5.0, p99_ms=25.0, cpu_us=99.0),
            run("issuer", 64, 1, rate=10_000.0),
            run("echo", 64, 1, rate=20_000.0),
        ]
    )

    verdicts = {one.goal: one for one in judge(rows)}

    issuer = verdicts["rate / oidc-provider's"]
    assert (issuer.measured, issuer.bound, issuer.met) == (0.9, 1.0, False)
    assert issuer.margin == pytest.approx(-0.1)
    echo = verdicts["rate / bare ASGI echo's"]
    assert (echo.measured, echo.met) == (0.45, True)
    assert echo.margin == pytest.approx(0.45 / 0.35 - 1)
    assert (verdicts["p99 / p50"].measured, verdicts["p99 / p50"].met) == (5.0, False)
    cpu = verdicts["server CPU, µs a request"]
    assert (cpu.bound, cpu.met) == (90.0, False)
    assert cpu.margin == pytest.approx(-0.1)


def test_goals_at_16_connections_count_nangos_quoted_figure() -> None:
    rows = medians([run("exchange", 16, 1, rate=6000.0), run("issuer", 16, 1, rate=9000.0)])

    verdicts = {one.goal: one for one in judge(rows)}

    nango, issuer = verdicts["rate / Nango's (quoted)"], verdicts["rate / oidc-provider's"]
    assert (nango.measured, nango.met) == (30.0, True)
    assert issuer.measured == pytest.approx(2 / 3)
    assert issuer.met


def test_the_goal_at_one_connection_is_what_a_commit_takes() -> None:
    rows = medians([run("exchange", 1, 1, p50_ms=0.9), run("commit", 1, 1, p50_ms=0.2)])

    (verdict,) = judge(rows)

    assert verdict.bound == pytest.approx(0.8)
    assert (verdict.measured, verdict.met) == (0.9, False)


def test_a_goal_whose_peer_was_not_measured_is_left_out() -> None:
    rows = medians([run("issuer", 64, 1), run("echo", 64, 1), run("commit", 1, 1)])

    assert judge(rows) == []


def test_growth_compares_the_fullest_database_with_the_emptiest() -> None:
    rows = medians(
        [
            run("1,000 rows", 1, 1, p50_ms=1.0),
            run("5,000 rows", 1, 1, p50_ms=9.0),
            run("9,000 rows", 1, 1, p50_ms=1.5, memory_mib=120.0),
        ]
    )

    p50, memory = judge_growth(rows, ["1,000 rows", "5,000 rows", "9,000 rows"])

    assert (p50.bound, p50.measured, p50.met) == (1.2, 1.5, False)
    assert (memory.bound, memory.measured, memory.met) == (200.0, 120.0, True)
    assert judge_growth(rows, ["1,000 rows"]) == []
