"""The composition root: the only place where concrete parts are chosen and wired."""

from __future__ import annotations

from vaultd.app.factory import create_app, from_environment

__all__ = ["create_app", "from_environment"]
