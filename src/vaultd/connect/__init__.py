"""Consent: begin, send the browser to the provider, take it back, complete. `flow` holds the rules of `recipe`."""

from __future__ import annotations

from vaultd.connect.flow import ERASED, Begun, Looked, Returned, Sought, Wish, declined_url
from vaultd.connect.recipe import Connect

__all__ = ["ERASED", "Begun", "Connect", "Looked", "Returned", "Sought", "Wish", "declined_url"]
