"""The rooms in which connections live and end, for checks that read what they leave."""

from __future__ import annotations

from tests.unit.refresh.conftest import room, servers
from tests.unit.revoke.conftest import ends, served

__all__ = ["ends", "room", "served", "servers"]
