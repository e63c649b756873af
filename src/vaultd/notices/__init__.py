"""What providers tell of their own accord: whose authorization ended there. Pure; `revoke` acts on it.

Each kind is read by one function, which believes a notice only after its signature, and raises `NoticeRefused`.
"""

from __future__ import annotations

from vaultd.notices.notice import Notice, token_names

__all__ = ["Notice", "token_names"]
