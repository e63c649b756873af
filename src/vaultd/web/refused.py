"""What browsers and strangers are refused, in the audit log: counted together, since anyone can cause it (A11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.refusals import Refusals
from vaultd.errors import ConsentRefused, InvalidRequest
from vaultd.limits import address_prefix
from vaultd.web.peer import client_ip


class Refused:
    """Records refusals by their real reason, and lets them pass."""

    def __init__(self, *, refusals: Refusals) -> None:
        self._refusals = refusals

    @asynccontextmanager
    async def of(self, request: Request, kind: EventType, *, connection: str | None = None) -> AsyncIterator[None]:
        """Whatever is refused in this block is an event of this kind."""
        try:
            yield
        except (ConsentRefused, InvalidRequest) as refused:
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
