"""Signatures by a secret that the provider shares with us."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from vaultd.errors import NoticeRefused
from vaultd.terms import Secret


def check_hmac(secret: Secret, signed: bytes, unverified_hex: str) -> None:
    """HMAC-SHA-256 in hexadecimal, compared in constant time. Raises `NoticeRefused`, `bad_signature`."""
    genuine = hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()
    # As bytes: text that is not ASCII cannot be compared so.
    if not hmac.compare_digest(genuine.encode(), unverified_hex.encode()):
        raise NoticeRefused(reason="bad_signature")


def read_object(body: bytes) -> dict[str, Any]:
    """A signed body. Raises `NoticeRefused`, `malformed`."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise NoticeRefused(reason="malformed") from None
    if not isinstance(document, dict):
        raise NoticeRefused(reason="malformed")
    return document
