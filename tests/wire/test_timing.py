"""The benchmark of security A8 runs against a served vault, and says what it found; how it judges: test_difference."""

from __future__ import annotations

import json

import pytest

from bench.indistinguishable import main


def test_a8_the_benchmark_times_what_must_not_be_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--tries", "12"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert set(found["told_apart"]) == set(found["rounds"])
    assert {what.partition(":")[0] for what in found["rounds"]} == {"provider", "client, counted", "client, written"}
    # So few tries prove nothing; the answers are what they should be, or it would have ended before.
    assert status == int(any(found["told_apart"].values()))
    assert all(each["tries"] == 12 for rounds in found["rounds"].values() for each in rounds)
    assert "Can they be told apart?" in said.err
