"""Bytes that are nearly a token request, since bytes at random are refused at their first one."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from vaultd.web.token.parameters import FORM, JSON

NAMES = ["grant_type", "subject_token", "scope", "audience", "resource", "client_id", "connection", "colour"]
FORM_LIKE = st.lists(
    st.sampled_from([b"&", b"=", b"+", b"%", b"%0", b"%00", b"%ff", b"%c3%a9", b"%ed%a0%80", b";", b"\x00", b"\xff"])
    | st.sampled_from([name.encode() for name in NAMES])
    | st.binary(max_size=6),
    max_size=30,
).map(b"".join)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
JSON_LIKE = st.one_of(
    DOCUMENTS.map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from([*'{}[]",:\\', "\\ud800", "\\u0000", "1e999", "null", "\ufeff", "é", *NAMES])).map(
        lambda pieces: "".join(pieces).encode()
    ),
)
CONTENT_TYPES = st.lists(
    st.sampled_from([FORM, JSON, "application/json; charset=utf-8", FORM.upper(), "text/plain", "", ";"])
    | st.text(st.characters(max_codepoint=255), max_size=10),
    max_size=2,
)
ANY_BODY = st.one_of(st.binary(), FORM_LIKE, JSON_LIKE)
