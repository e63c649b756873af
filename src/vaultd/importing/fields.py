"""The values of a line. A check raises `ValueError` with what is wrong and what to write; it repeats no value.

Not even a harmless one: in an export whose columns were mixed up, a token stands where a name should.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from vaultd.sizes import LONGEST_NAME, LONGEST_SCOPE, LONGEST_TOKEN, MOST_SCOPES
from vaultd.terms import Scopes, Secret

_VISIBLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")  # RFC 6749 §A.12 and §A.17, without spaces around
_SCOPE = re.compile(r"[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3, without the comma that joins several
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)  # RFC 3339 §5.6
_WORDS_FOR_NOTHING = frozenset({"null", "none", "nil", "undefined"})
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST_LIFE = timedelta(days=3653)


def name(value: object) -> str:
    """A name of at most 255 characters, as it is."""
    if not isinstance(value, str):
        raise ValueError("is not text; write it in quotes")
    if not value:
        raise ValueError("is empty; write a value")
    if len(value) > LONGEST_NAME:
        raise ValueError(f"is longer than {LONGEST_NAME} characters; write the name alone")
    if value != value.strip():
        raise ValueError("has a space at an end; write it without")
    if not value.isprintable():
        # Lone surrogates, which no encoding has, are not printable either.
        raise ValueError("has control characters; write it without")
    return value


def token(value: object) -> Secret:
    """A token that fits into a header."""
    if not isinstance(value, str):
        raise ValueError("is not text; write the token in quotes, or leave the key out")
    if not value or value.casefold() in _WORDS_FOR_NOTHING:
        raise ValueError("is empty; write the token, or leave the key out")
    if len(value) > LONGEST_TOKEN:
        raise ValueError(f"is longer than {LONGEST_TOKEN} characters; write the token alone")
    if value[:7].casefold() == "bearer ":
        raise ValueError("begins with the word Bearer; write the token alone")
    if not _VISIBLE.fullmatch(value):
        raise ValueError("has characters that no token has; write it as the provider gave it, decrypted and unquoted")
    return Secret(value)


def scopes(value: object) -> Scopes:
    """A list of scopes, or one text with them as providers answer it: between spaces or commas."""
    if isinstance(value, str):
        value = [piece for piece in re.split(r"[,\s]+", value) if piece]
    if not isinstance(value, list) or not all(isinstance(piece, str) for piece in value):
        raise ValueError('is not a list of texts; write ["read", "write"]')
    if not all(_SCOPE.fullmatch(piece) for piece in value):
        raise ValueError('has an entry that is not one scope; write one scope a text, like ["read", "write"]')
    if len(value) > MOST_SCOPES:
        raise ValueError(f"has more than {MOST_SCOPES} scopes; look whether several grants were joined")
    if not all(len(piece) <= LONGEST_SCOPE for piece in value):
        raise ValueError(f"has a scope that is longer than {LONGEST_SCOPE} characters; write one scope a text")
    return Scopes(value)


def moment(value: object, now: datetime) -> datetime:
    """A moment between the year 2000 and ten years from now, with its zone."""
    remedy = "write it like 2030-01-31T12:00:00Z (RFC 3339, with its zone)"
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError(f"is no time with a zone; {remedy}")
    try:
        at = datetime.fromisoformat(_to_microseconds(value).upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"is a time that does not exist; {remedy}") from None
    if not _EARLIEST <= at <= now + _LONGEST_LIFE:
        raise ValueError("lies before the year 2000 or more than ten years ahead; look whether its unit was mistaken")
    return at


def account(value: object) -> tuple[str | None, str | None]:
    """The account's id and label, one of which may be missing."""
    remedy = 'write {"id": "…", "label": "…"}, one of the two at least'
    if not isinstance(value, dict) or not value or not value.keys() <= {"id", "label"}:
        raise ValueError(f"is no such object; {remedy}")
    return _member(value, "id"), _member(value, "label")


def _member(value: dict[str, Any], key: str) -> str | None:
    given = value.get(key)
    if given is None:
        return None
    # GitHub's ids are numbers; consent keeps them as text too.
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    try:
        return name(given)
    except ValueError as error:
        raise ValueError(f"has a mistake in {key}: it {error}") from None


def _to_microseconds(text: str) -> str:
    return re.sub(r"(\.\d{6})\d+", r"\1", text)
