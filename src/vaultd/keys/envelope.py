"""The versioned blob in which everything secret is stored.

    version (1 byte) ‖ alg (1) ‖ key id (16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)

The associated data is the header's first 18 bytes followed by length-prefixed fields that name the place
the blob belongs to. A blob that was moved, or whose neighbours were edited, does not open.
Vectors: `tests/vectors/envelope.json`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaultd.errors import CannotOpen

VERSION = 1
ALG_AES_256_GCM = 1
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_HEADER = struct.Struct(">BB16s")
_BODY = _HEADER.size + NONCE_BYTES
_LENGTH = struct.Struct(">I")
_ABSENT = b"\xff\xff\xff\xff"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Random = Callable[[int], bytes]
"""Gives that many random bytes; `os.urandom` in service, a fixed source for the vectors."""


@dataclass(frozen=True, slots=True)
class Key:
    """A 256-bit key and its id. Its material never shows."""

    id: UUID
    material: bytes
    aead: AESGCM = field(init=False, repr=False, compare=False)
    header: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Made once: setting up the cipher costs more than using it, and a key mostly opens several fields.
        object.__setattr__(self, "aead", AESGCM(self.material))
        object.__setattr__(self, "header", _HEADER.pack(VERSION, ALG_AES_256_GCM, self.id.bytes))

    def __repr__(self) -> str:
        return f"Key({self.id})"


@dataclass(frozen=True, slots=True)
class Sealed:
    """Sealed bytes as they are stored; does no I/O and knows no key."""

    blob: bytes

    @property
    def key_id(self) -> UUID:
        """The id of the key that opens it, as the blob says; authenticated only by opening."""
        if len(self.blob) < _HEADER.size:
            raise CannotOpen(detail="the blob is shorter than its header")
        return UUID(bytes=self.blob[2:18])

    def __repr__(self) -> str:
        return f"Sealed({len(self.blob)} bytes)"


def bind(*fields: str | int | bytes | UUID | None) -> bytes:
    """Length-prefix each field, so that no two lists of fields share their bytes. None and empty differ.

    Two lists bound one after the other are the list of both.
    """
    parts = []
    for one in fields:
        if isinstance(one, str):
            raw = one.encode()
        elif isinstance(one, bytes):
            raw = one
        elif isinstance(one, int):
            raw = b"%d" % one
        elif one is None:
            parts.append(_ABSENT)
            continue
        else:
            raw = one.bytes
        parts.append(_LENGTH.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def microseconds(moment: datetime) -> int:
    """Since 1970, as PostgreSQL keeps them: how a moment is bound."""
    return round((moment - _EPOCH) / _MICROSECOND)


def seal(key: Key, plaintext: bytes, *, bound: bytes, random: Random = os.urandom) -> Sealed:
    """Encrypt under a fresh nonce. `bound` comes from `bind` and must be given again to open."""
    nonce = random(NONCE_BYTES)
    return Sealed(key.header + nonce + key.aead.encrypt(nonce, plaintext, key.header + bound))


def open_sealed(key: Key, sealed: Sealed, *, bound: bytes) -> bytes:
    """Decrypt, or raise `CannotOpen` when version, key, place or content is not what it was."""
    blob = sealed.blob
    if len(blob) < _BODY + TAG_BYTES or not blob.startswith(key.header):
        raise _not_ours(blob)
    try:
        return key.aead.decrypt(blob[_HEADER.size : _BODY], blob[_BODY:], key.header + bound)
    except InvalidTag:
        raise CannotOpen(detail="the tag does not match") from None


def _not_ours(blob: bytes) -> CannotOpen:
    if len(blob) < _BODY + TAG_BYTES:
        return CannotOpen(detail="the blob is too short")
    version, alg, _ = _HEADER.unpack_from(blob)
    if (version, alg) != (VERSION, ALG_AES_256_GCM):
        return CannotOpen(detail=f"unknown format {version}.{alg}")
    return CannotOpen(detail="sealed under another key")
