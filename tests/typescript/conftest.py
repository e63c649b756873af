from __future__ import annotations

from collections.abc import Iterator

import pytest

from vaultd.sandbox.world import World, start_world


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The whole sandbox on loopback ports."""
    with start_world(synced=False) as running:
        yield running
