"""What callers of the accounts API send. The document of `web/openapi` is made from the same models."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from vaultd.audit.events import decode, encode
from vaultd.audit.read import Behind
from vaultd.errors import ForeignCursor, InvalidInput, Mistake
from vaultd.sizes import LONGEST_SCOPE, MOST_SCOPES
from vaultd.web.inputs import WHOLE, Cursor

PREFIX = "/me/v1/connected-accounts"
Take = Annotated[int, Field(ge=1, le=100), WHOLE]
Text = Annotated[str, Field(min_length=1, max_length=2048)]
ScopeText = Annotated[str, Field(min_length=1, max_length=LONGEST_SCOPE)]
_ID, _NUMBER = 16, 4
"""Bytes in a cursor."""
_BEHIND = re.compile(r"behind ([A-Za-z0-9._-]{1,64})")


class ConnectBody(BaseModel):
    """What an app asks for."""

    model_config = ConfigDict(extra="ignore")
    connection: Text
    redirect_uri: Text
    state: Text | None = None
    scopes: Annotated[list[ScopeText], Field(max_length=MOST_SCOPES)] | None = None
    code_challenge: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")] | None = None
    code_challenge_method: Literal["S256"] | None = None
    authorization_params: dict[str, Text] | None = None


class CompleteBody(BaseModel):
    """What the browser brought back to the app."""

    model_config = ConfigDict(extra="ignore")
    auth_session: Text
    connect_code: Text
    redirect_uri: Text
    # RFC 7636 §4.1
    code_verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")] | None = None


class PageQuery(BaseModel):
    """Which part of a list; `from` is what the page before gave as `next`.

    Parameters that later versions may know are ignored.
    """

    model_config = ConfigDict(extra="ignore")
    cursor: Annotated[Cursor | None, Field(alias="from")] = None
    take: Take = 50


class AccountsQuery(PageQuery):
    """The same, of one connection."""

    # PostgreSQL has no NUL in text: such a name would look like a failing database.
    connection: Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")] | None = None


@contextmanager
def reading_cursor() -> Iterator[None]:
    """Say which parameter a cursor was that the rooms below do not know. Raises `InvalidInput`."""
    try:
        yield
    except ForeignCursor as error:
        raise InvalidInput((Mistake(error.description, "query", ("from",)),), reason=error.reason) from None


def name_cursor(name: str) -> str:
    """The cursor behind a name."""
    return encode(f"behind {name}".encode())


def name_of(cursor: str) -> str:
    """The name that a cursor stands behind; it need not be there any more. Raises `ForeignCursor`."""
    try:
        found = _BEHIND.fullmatch(decode(cursor).decode())
    except (binascii.Error, UnicodeDecodeError):
        raise ForeignCursor from None
    if found is None:
        raise ForeignCursor
    return found[1]


def event_cursor(behind: Behind) -> str:
    """The cursor behind an event: its id, and a number only where there are copies of it."""
    return encode(behind.id.bytes + (behind.number.to_bytes(_NUMBER) if behind.number else b""))


def event_of(cursor: str) -> Behind:
    """The event that a cursor stands behind. Raises `ForeignCursor`."""
    try:
        raw = decode(cursor)
        if len(raw) not in {_ID, _ID + _NUMBER}:
            raise ForeignCursor
        return Behind(UUID(bytes=raw[:_ID]), int.from_bytes(raw[_ID:]))
    except (binascii.Error, ValueError):
        raise ForeignCursor from None
