"""Issue 7: what the client costs is measured by a command, of which only the figures are the machine's."""

from __future__ import annotations

import json

import pytest

from bench.client import Times, main


def test_the_arms_alternate_and_the_first_turns_do_not_count() -> None:
    times, called = Times(20), list[str]()
    for call in times.turns({"a": "a", "b": "b"}):
        called.append(call)
    assert called == ["a", "b"] * 22
    row = times.row("this", "a", "that", "b")
    assert row.ratio == row.microseconds / row.beside_microseconds


def test_the_command_tells_of_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tries", "2"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["what"], row["beside"]) for row in rows] == [
        ("exchange by the client", "by httpx alone"),
        ("token from memory", "exchange by httpx alone"),
        ("provider call with auth=vault.auth(…)", "with a fixed header"),
        ("three tools at once, vault on this machine", "one tool"),
        ("three tools one by one, vault on this machine", "one tool"),
        ("three tools at once, vault 20 ms away", "one tool"),
        ("three tools one by one, vault 20 ms away", "one tool"),
    ]
    assert all(row["microseconds"] > 0 for row in rows)
