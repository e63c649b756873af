"""What every answer of the token endpoint must be, whatever it says."""

from __future__ import annotations

import re
from typing import Any

import httpx

_DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §5.2
EVERY_HEADER = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_LEAKS = ("Traceback", "vaultd/", ".py", "asyncpg", "sqlalchemy", "postgres", "0x", "detail")


def check_headers(answer: httpx.Response) -> None:
    """A12: nothing is cached, and the browser's protections are there, on any answer."""
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert {name: answer.headers.get(name) for name in EVERY_HEADER} == EVERY_HEADER
    assert "camera=()" in answer.headers["permissions-policy"]
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert len(answer.headers.get_list("x-request-id")) == 1


def check_refusal(answer: httpx.Response, status: int, error: str, *more: str) -> dict[str, Any]:
    """One row of api.md §1.5: this status and error, these members beside them and no others; gives the body."""
    assert (answer.status_code, answer.json().get("error")) == (status, error), answer.text
    check_headers(answer)
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    described = set() if error == "server_error" else {"error_description"}
    assert set(body) == {"error", *described, *more}
    if described:
        assert _DESCRIPTION.fullmatch(body["error_description"])
    assert not [leak for leak in _LEAKS if leak in answer.text]
    return body


def retry_after(answer: httpx.Response) -> int:
    """RFC 9110 §10.2.3, in seconds."""
    seconds = int(answer.headers["retry-after"])
    assert 0 < seconds <= 3600
    return seconds
