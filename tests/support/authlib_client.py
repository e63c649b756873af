"""authlib's client over httpx, imported in peace."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # authlib is about to leave httpx for its successor, and says so while it is imported.
    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client

__all__ = ["AsyncOAuth2Client"]
