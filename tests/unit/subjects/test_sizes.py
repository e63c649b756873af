"""What an issuer says is bounded, in a token and in an answer about one: it is remembered, and part of it recorded."""

from __future__ import annotations

from typing import Any

import pytest

from vaultd import sizes
from vaultd.jose import JwtRefused
from vaultd.subjects import rules

AUDIENCE = rules.Audience(as_id_token=False, only_trusted=False)


def chain(length: int) -> dict[str, Any]:
    actor: dict[str, Any] = {"sub": "first"}
    for number in range(length):
        actor = {"sub": f"relay-{number}", "act": actor}
    return actor


@pytest.mark.parametrize("name", ["act", "may_act"])
@pytest.mark.parametrize(
    "value",
    [
        {"sub": "s" * sizes.PARTY},
        chain(400),
        chain(900),
        {f"claim{number}": 1 for number in range(1_000)},
        {"sub": "\N{GRINNING FACE}" * 400},
    ],
    ids=["a long name", "a long chain", "one deeper than can be written", "many claims", "what is long when written"],
)
def test_who_acts_is_a_short_list(name: Any, value: dict[str, Any]) -> None:
    with pytest.raises(JwtRefused) as caught:
        rules.read_party({name: value}, name)
    assert caught.value.reason == "malformed"


def test_a_chain_of_some_length_is_well() -> None:
    assert rules.read_party({"act": chain(20)}, "act") == chain(20)


@pytest.mark.parametrize("written", [" ".join, list], ids=["a text", "a list"])
@pytest.mark.parametrize("name", ["scope", "scp"])
def test_scopes(name: str, written: Any) -> None:
    few = [f"scope{number}" for number in range(500)]
    assert rules.read_scopes({name: written(few)}, AUDIENCE) == frozenset(few)
    with pytest.raises(JwtRefused):
        rules.read_scopes({name: written(["s" * 8] * 2_000)}, AUDIENCE)


def test_names() -> None:
    long = "s" * (sizes.LONGEST_NAME + 1)
    assert rules.read_sub({"sub": long[1:]}) == long[1:]
    with pytest.raises(JwtRefused):
        rules.read_sub({"sub": long})
    with pytest.raises(JwtRefused):
        rules.read_presenter({"azp": long}, AUDIENCE, "azp")
    with pytest.raises(JwtRefused):
        rules.read_introspected_presenter({"client_id": long}, "access_token", "azp")
