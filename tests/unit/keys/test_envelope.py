"""The envelope: what is sealed opens in its own place, unchanged, and nowhere else."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support import vectors
from vaultd.errors import CannotOpen
from vaultd.keys.envelope import KEY_BYTES, Key, Sealed, bind, open_sealed, seal

KEY = Key(UUID("0f0e0d0c-0b0a-4908-8706-050403020100"), bytes(range(32)))
BOUND = bind("connection", 1, "access_token", KEY.id)


def test_round_trip() -> None:
    for plaintext in (b"", b"x", os.urandom(70_000)):
        assert open_sealed(KEY, seal(KEY, plaintext, bound=BOUND), bound=BOUND) == plaintext


def test_two_seals_of_one_thing_differ() -> None:
    assert seal(KEY, b"token", bound=BOUND).blob != seal(KEY, b"token", bound=BOUND).blob


def test_the_blob_names_its_key() -> None:
    assert seal(KEY, b"token", bound=BOUND).key_id == KEY.id


@pytest.mark.parametrize("case", vectors.load("envelope"), ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    key = Key(UUID(case["key_id"]), bytes.fromhex(case["key"]))
    bound = bind(*(vectors.field(described) for described in case["bound_fields"]))
    assert bound.hex() == case["bound"]

    def fixed(size: int) -> bytes:
        assert size == 12
        return bytes.fromhex(case["nonce"])

    plaintext = bytes.fromhex(case["plaintext"])
    assert seal(key, plaintext, bound=bound, random=fixed).blob.hex() == case["blob"]
    assert open_sealed(key, Sealed(bytes.fromhex(case["blob"])), bound=bound) == plaintext


def test_every_flipped_bit_is_noticed() -> None:
    blob = seal(KEY, b"a token of some length", bound=BOUND).blob
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CannotOpen):
            open_sealed(KEY, Sealed(bytes(flipped)), bound=BOUND)


def test_every_cut_is_noticed() -> None:
    blob = seal(KEY, b"token", bound=BOUND).blob
    for altered in [*(blob[:end] for end in range(len(blob))), blob + b"\0", blob[1:]]:
        with pytest.raises(CannotOpen):
            open_sealed(KEY, Sealed(altered), bound=BOUND)


def test_a_header_that_is_cut_names_no_key() -> None:
    with pytest.raises(CannotOpen):
        _ = Sealed(seal(KEY, b"token", bound=BOUND).blob[:17]).key_id


def test_another_key_does_not_open_it() -> None:
    sealed = seal(KEY, b"token", bound=BOUND)
    for other in (Key(uuid4(), KEY.material), Key(KEY.id, os.urandom(KEY_BYTES))):
        with pytest.raises(CannotOpen):
            open_sealed(other, sealed, bound=BOUND)


@pytest.mark.parametrize(
    "elsewhere",
    [
        bind("connection", 1, "refresh_token", KEY.id),
        bind("connection", 2, "access_token", KEY.id),
        bind("connection", 1, "access_token", UUID(int=7)),
        bind("connection", 1, "access_token"),
        bind("connection", 1, "access_token", KEY.id, None),
        bind("connection", 1, KEY.id, "access_token"),
        b"",
    ],
)
def test_it_does_not_open_in_another_place(elsewhere: bytes) -> None:
    with pytest.raises(CannotOpen):
        open_sealed(KEY, seal(KEY, b"token", bound=BOUND), bound=elsewhere)


def test_no_two_lists_of_fields_share_their_bytes() -> None:
    lists: list[tuple[str | None, ...]] = [
        (),
        ("",),
        (None,),
        ("ab",),
        ("a", "b"),
        ("", "ab"),
        ("ab", ""),
        ("ab", None),
    ]
    bounds = sorted(bind(*fields) for fields in lists)
    assert all(one != other for one, other in pairwise(bounds))


def test_nothing_shows_in_a_repr() -> None:
    assert KEY.material.hex() not in repr(KEY)
    assert repr(KEY.material) not in repr(KEY)
    assert repr(seal(KEY, b"", bound=b"")) == "Sealed(46 bytes)"
