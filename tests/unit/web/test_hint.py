"""What a link may have the page say of an account: a name or an address, never a sentence."""

from __future__ import annotations

import pytest

from vaultd.web.hint import account_hint


@pytest.mark.parametrize(
    "hint", ["alice", "alice@example.com", "o'hara+work@example.co.uk", "1001", "Jürgen", "U0MADEUP", "a" * 100]
)
def test_names_and_addresses(hint: str) -> None:
    assert account_hint(hint) == hint


@pytest.mark.parametrize(
    "hint",
    [
        None,
        "",
        "Call +1 555 0100 at once",
        "alice@example.com call +1 555 0100",
        "Call\u00a0+1\u00a0555\u00a00100",
        "https://evil.example/help",
        "evil.example/help",
        "alice\u202eexample",
        "a" * 101,
        "请立即致电" * 10,
        "one@two@three",
        "<b>alice</b>",
    ],
)
def test_anything_else_is_not_shown(hint: str | None) -> None:
    assert account_hint(hint) is None
