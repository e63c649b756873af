"""The value types that every room speaks in. No I/O, no logic beyond what a value must know about itself."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NewType, NoReturn, Self
from uuid import UUID

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

ClientId = NewType("ClientId", str)
ProviderName = NewType("ProviderName", str)
ConnectionId = NewType("ConnectionId", UUID)
SubjectId = NewType("SubjectId", UUID)

Clock = Callable[[], datetime]
"""Gives the present moment, always with a UTC zone; an argument everywhere, so that tests bring their own."""


def system_clock() -> datetime:
    """The machine's own clock."""
    return datetime.now(UTC)


class Verdict(StrEnum):
    """What a provider's answer means for the grant that was asked about.

    `DEAD`: it has ended. `BUSY`: another request for it is under way. `APP`: the app is refused, which only an operator
    can mend. `DOWN`: the provider is. `UNKNOWN`: it refused, and nobody knows why.
    """

    DEAD = "dead"
    BUSY = "busy"
    APP = "app"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Subject:
    """A user: the issuer's URL and the issuer's name for them. Never an e-mail address."""

    issuer: str
    sub: str


class Scopes(frozenset[str]):
    """A set of OAuth scopes (RFC 6749 §3.3), written in sorted order so that equal sets have equal bytes."""

    @classmethod
    def parse(cls, text: str, separator: str = " ") -> Self:
        """Split a scope parameter; empty pieces are dropped."""
        return cls(piece for piece in text.split(separator) if piece)

    def __str__(self) -> str:
        return " ".join(sorted(self))

    def __repr__(self) -> str:
        return f"Scopes({str(self)!r})"


NO_SCOPES = Scopes()


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Where a narrowed token is good, and for what: permissions, written like scopes, at places of one owner."""

    target: str
    repositories: tuple[str, ...]
    permissions: Scopes

    @property
    def key(self) -> Scopes:
        """All of it, written like scopes: equal narrowings have equal bytes. A place has a slash, a permission none."""
        places = (f"{self.target}/{repository}" for repository in self.repositories or ("*",))
        return Scopes({*self.permissions, *places})


class Secret:
    """A string that must not be seen: it never shows in `repr`, `str`, formats or pickles.

    As a field of a configuration type it is filled by the resolver that the validation context
    carries (`resolve_secret`), so that a file holds references and not secrets.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; called only where it is used."""
        return self._value

    def is_equal(self, other: Secret) -> bool:
        """Whether it is that one, found out in a time that does not tell how much of it is alike."""
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(cls._from_reference)

    @classmethod
    def _from_reference(cls, value: object, info: core_schema.ValidationInfo) -> Secret:
        if isinstance(value, Secret):
            return value
        resolve = (info.context or {}).get("resolve_secret")
        if resolve is None:
            raise ValueError("a secret is given by reference only")
        if not isinstance(value, str):
            raise ValueError('write "env:NAME" or "file:path"')
        resolved: Secret = resolve(value)
        return resolved
