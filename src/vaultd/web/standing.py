"""Who a request is proven to come from, as far as that is known at each moment of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import Request

from vaultd.subjects.store import KnownSubject
from vaultd.terms import ClientId


@dataclass(slots=True)
class Standing:
    """Who a request is proven to come from so far, and what it is about. Doors fill it in as they find out.

    `connection` is the name of a provider that the configuration has; one that somebody made up would be a kind of its
    own. `unverified_account` is what a user names as an account of theirs; it is kept only if it is.
    """

    subject: KnownSubject | None = None
    client_id: ClientId | None = None
    connection: str | None = None
    unverified_account: UUID | None = None

    @property
    def proven(self) -> bool:
        """Whether anybody is."""
        return self.subject is not None or self.client_id is not None


def standing(request: Request) -> Standing:
    """What is known of a request; the same object for as long as it is answered."""
    known: dict[str, Any] = request.scope.setdefault("state", {})
    found: Standing = known.setdefault("standing", Standing())
    return found
