"""What browsers and strangers are refused, in the audit log: counted together, since anyone can cause it (A11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.refusals import Refusals
from vaultd.connect import ERASED
from vaultd.errors import ConsentRefused, InvalidRequest, InvalidScope, InvalidTarget
from vaultd.limits import address_prefix
from vaultd.web.peer import client_ip

_TOLD = frozenset({"foreign", ERASED})
"""Reasons whose event the recipe writes itself, since it knows whose consent it was."""


class Refused:
    """Records refusals by their real reason, and lets them pass."""

    def __init__(self, *, refusals: Refusals) -> None:
        self._refusals = refusals

    @asynccontextmanager
    async def of(self, request: Request, kind: EventType, *, connection: str | None = None) -> AsyncIterator[None]:
        """Whatever is refused in this block is an event of this kind.

        `connection` is a name that the configuration has; one that somebody made up would be a kind of its own.
        """
        try:
            yield
        except (ConsentRefused, InvalidRequest, InvalidScope, InvalidTarget) as refused:
            if refused.reason in _TOLD:
                raise
            ip = client_ip(request)
            draft = Draft(
                type=kind,
                decision=Decision.REFUSED,
                reason=refused.reason,
                connection=connection,
                request_id=request.state.request_id,
                ip=ip,
            )
            await self._refusals.record(draft, address_prefix=address_prefix(ip))
            raise
