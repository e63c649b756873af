"""Exceptions as log values: type, message and stack, never a local variable.

An exception of our own tree is shown with its sentence and `detail`, which are written to be logged. Of any other
one, the first line is kept without its long words, because libraries like to repeat what they were given.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from structlog.typing import EventDict, WrappedLogger

from vaultd.errors import VaultdError
from vaultd.telemetry.redaction import HIDDEN, redact_text

MAX_CHAIN = 8
MAX_FRAMES = 40

_LONG_WORD = re.compile(r"[A-Za-z0-9_+=~-]{16,}")


def describe_failure(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor: `exc_info`, or an exception as any other value, becomes a description."""
    error = _exception(event.pop("exc_info", None))
    event.pop("stack_info", None)
    for key, value in event.items():
        if isinstance(value, BaseException):
            event[key] = f"{_name(value)}: {_message(value)}"
    if error is not None:
        event["exception"] = [_describe(each) for each in _chain(error, set())][:MAX_CHAIN]
    return event


def failures_as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor for a terminal: the description becomes lines."""
    described = event.get("exception")
    if isinstance(described, list):
        event["exception"] = "\n".join(
            "\n    ".join([f"{each['type']}: {each['message']}", *each["stack"]]) for each in described
        )
    return event


def _exception(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found = exc_info[1]
        return found if isinstance(found, BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _chain(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """The exception, the members of a group, and what caused it, outermost first."""
    if id(error) in seen:
        return
    seen.add(id(error))
    yield error
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _chain(member, seen)
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind is not None:
        yield from _chain(behind, seen)


def _describe(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return {
        "type": _name(error),
        "message": _message(error),
        "stack": [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames],
    }


def _name(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ in {"builtins", "vaultd.errors"}
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken `__str__` must not cost the line
        return HIDDEN
    if isinstance(error, VaultdError):
        return redact_text(text)
    first_line = text.strip().partition("\n")[0]
    return _LONG_WORD.sub(_unless_a_name, redact_text(first_line))


def _unless_a_name(word: re.Match[str]) -> str:
    # Long names of our code and of the database have no digits; a random token of that length nearly always has.
    return HIDDEN if any(character.isdigit() for character in word[0]) else word[0]
