"""The numbers behind /metrics, in Prometheus' own words (api.md §5)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vaultd.telemetry.metrics import MOST_SERIES, Exhibit, Labels, Reading, Spread, Tally


def shown(*parts: Tally | Spread | Reading) -> dict[str, float]:
    """Every sample, by its name and labels, as Prometheus reads it."""
    exhibit, registry = Exhibit(), CollectorRegistry()
    for part in parts:
        exhibit.show(part)
    registry.register(exhibit)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_tally_counts_by_its_labels() -> None:
    tally = Tally("seen", "About.", ("provider", "outcome"))
    for provider, outcome, by in (("github", "refreshed", 1), ("github", "refreshed", 2), ('a "b"\n', "broken", 1)):
        tally.add((provider, outcome), by)
    assert shown(tally) == {
        "seen_total outcome=refreshed provider=github": 3,
        'seen_total outcome=broken provider=a "b"\n': 1,
    }
    assert (tally.count("github", "refreshed"), tally.count("github", "broken")) == (3, 0)


def test_a_tally_is_bounded() -> None:
    tally = Tally("seen", "About.", ("reason",))
    for number in range(MOST_SERIES + 50):
        tally.add((f"reason-{number}",))
    tally.add(("reason-0",))
    samples = shown(tally)
    assert len(samples) == MOST_SERIES + 1
    assert samples["seen_total reason=other"] == 50
    assert samples["seen_total reason=reason-0"] == 2


def test_a_spread_cumulates_as_prometheus_does() -> None:
    spread = Spread("took_seconds", "About.", (0.1, 1, 10), "status")
    for value in (0.05, 0.1, 0.5, 10.0, 11.0):
        spread.add(value, "200")
    spread.add(2.0, "503")
    samples = shown(spread)
    assert [samples[f"took_seconds_bucket le={end} status=200"] for end in ("0.1", "1.0", "10.0", "+Inf")] == [
        2,
        3,
        4,
        5,
    ]
    assert (samples["took_seconds_count status=200"], samples["took_seconds_sum status=200"]) == (5, 21.65)
    assert samples["took_seconds_bucket le=10.0 status=503"] == 1


def test_a_spread_without_a_label() -> None:
    spread = Spread("size", "About.", (1, 2))
    spread.add(2)
    samples = shown(spread)
    assert samples == {
        "size_bucket le=1.0": 0,
        "size_bucket le=2.0": 1,
        "size_bucket le=+Inf": 1,
        "size_count": 1,
        "size_sum": 2,
    }


def test_a_reading_is_taken_when_it_is_asked_for() -> None:
    values: dict[Labels, float] = {("acme",): 1.0}
    reading = Reading("open", "About.", ("provider",), lambda: values)
    assert shown(reading) == {"open provider=acme": 1}
    values[("acme",)] = 0.0
    values[("other",)] = 1.0
    assert shown(reading) == {"open provider=acme": 0, "open provider=other": 1}


def test_what_was_not_counted_yet_is_no_error() -> None:
    assert shown(Tally("seen", "About.", ("a",)), Spread("took", "About.", (1,))) == {}
