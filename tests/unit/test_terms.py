"""The value types: a secret that does not show, and scopes that are a set."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from datetime import UTC
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from vaultd.terms import Scopes, Secret, Subject, system_clock

CANARY = "canary-9f2b7c1e4d8a6b3f5e0c"


class Holder(BaseModel):
    secret: Secret


class TestSecret:
    @pytest.mark.parametrize(
        "show",
        [
            repr,
            str,
            ascii,
            lambda secret: f"{secret}",
            lambda secret: f"{secret!r:>40}",
            lambda secret: f"{secret:>40}",
            "{:s}".format,
            lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - as logging formats
            lambda secret: repr([secret, {"key": secret}, Holder(secret=secret)]),
            lambda secret: str(Holder(secret=secret)),
            lambda secret: str(dir(secret)),
        ],
    )
    def test_it_never_shows(self, show: Any) -> None:
        assert CANARY not in show(Secret(CANARY))

    def test_it_is_revealed_on_demand_only(self) -> None:
        assert Secret(CANARY).reveal() == CANARY
        assert not hasattr(Secret(CANARY), "__dict__")

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickling_is_refused(self, protocol: int) -> None:
        with pytest.raises(TypeError) as caught:
            pickle.dumps(Secret(CANARY), protocol)
        assert CANARY not in str(caught.value)

    @pytest.mark.parametrize(
        "write", [copy.copy, copy.deepcopy, json.dumps, lambda s: Holder(secret=s).model_dump_json()]
    )
    def test_so_is_every_other_way_to_write_it(self, write: Any) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each refuses in its own way
            write(Secret(CANARY))
        assert CANARY not in "".join(traceback.format_exception(caught.value))

    def test_equality_is_by_value_and_with_secrets_only(self) -> None:
        assert Secret("a") == Secret("a")
        assert hash(Secret("a")) == hash(Secret("a"))
        assert Secret("a") != Secret("b")
        assert Secret("a") != "a"

    def test_a_model_takes_a_secret_or_a_resolved_reference(self) -> None:
        assert Holder(secret=Secret("a")).secret == Secret("a")
        context = {"resolve_secret": lambda reference: Secret(reference + "!")}
        assert Holder.model_validate({"secret": "env:A"}, context=context).secret == Secret("env:A!")

    @pytest.mark.parametrize("value", [CANARY, 1, None, {"secret": CANARY}])
    def test_a_model_takes_nothing_else(self, value: object) -> None:
        with pytest.raises(ValidationError):
            Holder.model_validate({"secret": value})
        if not isinstance(value, str):
            with pytest.raises(ValidationError):
                Holder.model_validate({"secret": value}, context={"resolve_secret": Secret})


class TestScopes:
    def test_equal_sets_have_equal_text(self) -> None:
        assert str(Scopes.parse("write read  write")) == "read write"
        assert Scopes.parse("b a") == Scopes(("a", "b"))
        assert repr(Scopes.parse("b a")) == "Scopes('a b')"

    @pytest.mark.parametrize(
        ("text", "separator", "scopes"),
        [
            ("", " ", set()),
            ("  ", " ", set()),
            ("a,b", ",", {"a", "b"}),
            ("a,b", " ", {"a,b"}),
            ("https://x.example/auth/a b", " ", {"https://x.example/auth/a", "b"}),
        ],
    )
    def test_parse(self, text: str, separator: str, scopes: set[str]) -> None:
        assert Scopes.parse(text, separator) == Scopes(scopes)

    def test_subsets(self) -> None:
        assert Scopes.parse("a") <= Scopes.parse("a b")
        assert not Scopes.parse("a c") <= Scopes.parse("a b")


def test_a_user_is_issuer_and_sub() -> None:
    assert Subject("https://a.example", "1") != Subject("https://b.example", "1")
    assert len({Subject("https://a.example", "1"), Subject("https://a.example", "1")}) == 1


def test_the_clock_has_a_zone() -> None:
    assert system_clock().tzinfo is UTC
