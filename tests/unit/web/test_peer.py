"""Whose address a request is counted under."""

from __future__ import annotations

import pytest

from vaultd.web.peer import peer_ip


@pytest.mark.parametrize(
    ("client", "ip"),
    [
        (("192.0.2.1", 1234), "192.0.2.1"),
        (("fe80::1%eth0", 1234), "fe80::1%eth0"),
        (None, None),
        (("x" * 65, 0), None),
        (("x" * 60_000, 0), None),
    ],
)
def test_only_what_may_be_an_address_is_one(client: tuple[str, int] | None, ip: str | None) -> None:
    """Behind a proxy it is whatever the proxy handed on, and it goes into events."""
    assert peer_ip({"type": "http", "client": client}) == ip
