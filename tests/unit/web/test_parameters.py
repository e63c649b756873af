"""Security A1 at its root: bytes become parameters or `invalid_request`, and nothing else ever happens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.nearly import ANY_BODY, CONTENT_TYPES, NAMES
from vaultd.errors import InvalidRequest
from vaultd.web.token.parameters import FORM, JSON, MAX_PARAMETERS, Parameters, flat, one, read_parameters, scope

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
FLAT = st.dictionaries(st.sampled_from(NAMES) | TEXT, TEXT, max_size=12)


def _used(body: bytes, content_types: list[str]) -> Parameters | None:
    """Everything that a reader of a grant does with the parameters; None when they are refused."""
    try:
        params = read_parameters(body, content_types)
        for name in NAMES:
            one(params, name)
        one(params, "grant_type", required=True)
        scope(params)
    except InvalidRequest:
        return None
    flat(params)
    return params


@given(ANY_BODY, CONTENT_TYPES)
@example(b"[" * 60_000, [JSON])
@example(b'{"grant_type":' * 9_000, [JSON])
@example(b"9" * 65_536, [JSON])
@example(b"grant_type=" + b"%25" * 20_000, [FORM])
@example(b"&".join(b"p%d=" % number for number in range(10_000)), [FORM])
@settings(deadline=None, max_examples=1_000)
def test_a1_any_bytes_are_parameters_or_invalid_request(body: bytes, content_types: list[str]) -> None:
    params = _used(body, content_types)
    if params is None:
        return
    assert len(params) <= MAX_PARAMETERS
    for name, values in params.items():
        assert len(values) <= 1 or name in {"audience", "resource"}
        for text in (name, *values):
            # What passed can be stored, logged and compared as text.
            assert text.encode("utf-8").decode("utf-8") == text
            assert not [letter for letter in text if letter < " " or letter == "\x7f"]


@given(FLAT)
@settings(deadline=None)
def test_a1_a_form_and_json_that_say_the_same_are_read_alike(said: Mapping[str, str]) -> None:
    by_form = read_parameters(urlencode(said).encode() or b"a=b", [FORM])
    by_json = read_parameters(json.dumps(said or {"a": "b"}).encode(), [JSON])
    assert by_form == by_json
    assert flat(by_form) == {name: value for name, value in (said or {"a": "b"}).items() if value}


@pytest.mark.parametrize("letter", ["\x00", "\x01", "\t", "\n", "\r", "\x1b", "\x7f"])
def test_a1_a_control_character_is_refused_in_either_form(letter: str) -> None:
    for name, value in (("login_hint", f"a{letter}b"), (f"a{letter}b", "c")):
        assert _used(f"grant_type=x&{quote_plus(name)}={quote_plus(value)}".encode(), [FORM]) is None
        assert _used(json.dumps({"grant_type": "x", name: value}).encode(), [JSON]) is None


@pytest.mark.parametrize("hint", ["zoë@example.com", "花子", "a\u00a0b", "\U0001f469\u200d\U0001f680", "a+b c"])
def test_a_hint_in_anyones_letters_is_read_in_either_form(hint: str) -> None:
    for body, content_type in ((urlencode({"login_hint": hint}), FORM), (json.dumps({"login_hint": hint}), JSON)):
        assert one(read_parameters(body.encode(), [content_type]), "login_hint") == hint


def test_audience_and_resource_may_repeat_in_either_form() -> None:
    form = read_parameters(b"audience=a&audience=&audience=b&resource=c&resource=d", [FORM])
    document = read_parameters(b'{"audience": "a", "resource": "c", "audience": "b", "resource": "d"}', [JSON])
    assert form == document == {"audience": ("a", "b"), "resource": ("c", "d")}


@pytest.mark.parametrize("name", ["connection", "requested_token_type", "login_hint", "subject_token", "é", "a b"])
def test_a1_no_other_parameter_repeats(name: str) -> None:
    for body, content_type in (
        (f"{quote_plus(name)}=a&{quote_plus(name)}=a", FORM),
        (f'{{"{name}": "a", "{name}": "a"}}', JSON),
    ):
        with pytest.raises(InvalidRequest) as refused:
            read_parameters(body.encode(), [content_type])
        assert refused.value.description.isascii()
