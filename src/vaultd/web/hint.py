"""A link's `login_hint` as it may be shown to a person: anyone can write a link, and a sentence is not an account."""

from __future__ import annotations

import re

_LONGEST = 100
_LONGEST_UNSPACED = 30
"""Where words are written without spaces between them, a name is this long at most."""
# A login, an id, or an e-mail address.
_NAME = re.compile(r"[\w.+'-]+(@[\w.-]+)?")


def account_hint(login_hint: str | None) -> str | None:
    """The account that a link means, where it has the form of a name or an address; else nothing is said of it."""
    if login_hint is None or not _NAME.fullmatch(login_hint):
        return None
    return login_hint if len(login_hint) <= (_LONGEST if login_hint.isascii() else _LONGEST_UNSPACED) else None
