"""Words that a provider wrote, made fit to be kept, logged or shown.

An error's words pass only after everything that may be a token has been taken out of them: what the request sent,
as it is and as it may be written (`spellings`), and any run of characters long enough to be a token of the provider's
own.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from vaultd.providers.spellings import spellings
from vaultd.sizes import LONGEST_LABEL, LONGEST_NAME
from vaultd.telemetry.redaction import redact_text
from vaultd.terms import Secret

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,63}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TOKEN_LIKE = re.compile(r"(?=[^\s'\"<>]{0,500}\d)[^\s'\"<>]{24,}|[^\s'\"<>]{40,}")
"""Error codes and words are long without a digit at times; tokens have one, or are longer still."""
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""ECMA-48 §5.4: what a terminal obeys."""
_LARGEST_CODE = 10**9
"""Some providers number their errors. No secret is so short a number."""
_SHORTEST_SECRET = 6
"""Anything shorter is no secret, and taking it out would only spoil words."""
_LONGEST_READ = 500
_LONGEST_TOLD = 200
_MOST_LOOKED_AT = 2_000
_LABEL_READ = 4 * LONGEST_LABEL
"""Of a name, so much is looked at; what is not printable in it is left out."""


def error_code(given: object, sent: Collection[Secret]) -> str:
    """An OAuth `error` (RFC 6749 §5.2), or `unknown_error` for one that is not fit to be repeated."""
    if isinstance(given, dict):
        # Some providers nest: {"error": {"type": "OAuthException", "message": …}}.
        given = next((given[name] for name in ("type", "status", "code") if isinstance(given.get(name), str)), None)
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) < _LARGEST_CODE:
        return str(given)
    if isinstance(given, str) and " " in given:
        # Some write a sentence behind the word: "invalid_grant: Token is expired or invalid."
        given = given.partition(": ")[0]
    if isinstance(given, str) and _CODE.fullmatch(given) and _without_tokens(given, sent) == given:
        return given
    return "unknown_error"


def error_text(given: object, sent: Collection[Secret]) -> str:
    """An `error_description` for the log; an unusual one is left out rather than cut where a token may stand."""
    if not isinstance(given, str) or len(given) > _LONGEST_READ:
        return ""
    return _without_tokens(_seen(given), sent)[:_LONGEST_TOLD].strip()


def told_text(given: object, sent: Collection[Secret]) -> str | None:
    """Words for the log alone, also where there are many: cut between two of them, so that no half token is left."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    text = _cut_between_words(str(given), 2 * _MOST_LOOKED_AT)
    shown = redact_text(_without_tokens(_cut_between_words(_seen(text), _MOST_LOOKED_AT), sent))
    return _cut_between_words(shown, _LONGEST_TOLD).strip() or None


def plain_text(value: object) -> str | None:
    """An identifier as it is: a string or a whole number. None for anything that would have to be altered."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and 0 < len(text) <= LONGEST_NAME and text.isprintable():
        return text
    return None


def identifier_text(value: object) -> str | None:
    """An identifier that stays one in any URL; None for anything else. For what comes through a browser or a file."""
    text = plain_text(value)
    return text if text is not None and _IDENTIFIER.fullmatch(text) else None


def label_text(value: object) -> str | None:
    """A name for people to read, on one line, without characters that steer how text is shown."""
    if not isinstance(value, str):
        return None
    # Cut before it is looked at too: a name may fill the whole answer.
    return _printable(value[:_LABEL_READ]).strip()[:LONGEST_LABEL] or None


def _cut_between_words(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    # One that fills it all is no word.
    return text[:longest].rpartition(" ")[0]


def _seen(text: str) -> str:
    """The text with a space for each thing that cannot be seen: nothing hides the beginning of what is looked for.

    Left out before or after that look, it would let what stands around it grow together.
    """
    return "".join(each if each.isprintable() else " " for each in _ESCAPES.sub(" ", text))


def _without_tokens(text: str, sent: Collection[Secret]) -> str:
    for value in (secret.reveal() for secret in sent):
        if len(value) >= _SHORTEST_SECRET:
            for written in spellings(value):
                text = text.replace(written, "…")
    return _TOKEN_LIKE.sub("…", text)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
