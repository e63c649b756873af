"""Every refusal is an event, at every door: one wrapper around a router's routes, which knows who is proven so far.

A refusal is an answer of 4xx: a decision about a caller or what they asked for. Anyone can cause one before it is known
who asks, so those are counted together, and so is what is asked too often (A11). All others are one event each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog, AuditTransaction
from vaultd.audit.refusals import Refusals
from vaultd.connect import ERASED
from vaultd.connections import store
from vaultd.errors import CannotOpen, ConsentRefused, InvalidRequest, SlowDown, VaultdError
from vaultd.limits import Buckets, Rate, address_prefix
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock
from vaultd.web.peer import client_ip
from vaultd.web.standing import Standing, standing
from vaultd.web.wire import status_of

_TOLD = frozenset({"foreign", "auth_session", "redirect_uri", "code_verifier", "account_limit", ERASED})
"""Reasons of `ConsentRefused` whose event the recipe writes itself, since it knows whose consent it was."""
_REASONS = {413: "body_too_large", 415: "unsupported_media_type"}
"""Of what the framework refuses by itself."""
_REFUSED = range(400, 500)
EACH = Rate(per_second=0.5, burst=60)
"""Refusals of one user that have an event each, in one process; those beyond are counted."""


class RecordingRoute(APIRoute):
    """A route whose every refusal is an event; which kind of event, `Refused.routes` says."""


class Refused:
    """Records refusals by their real reason, and lets them pass."""

    def __init__(self, *, refusals: Refusals, log: AuditLog, subjects: SubjectStore, clock: Clock) -> None:
        self._refusals = refusals
        self._each = Buckets(clock=clock)
        self._log = log
        self._subjects = subjects

    def routes(self, kind: EventType) -> type[APIRoute]:
        """For a router's `route_class`: whatever its routes refuse is an event of this kind."""
        refused = self

        class Recording(RecordingRoute):
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                handle = super().get_route_handler()

                async def recorded(request: Request) -> Response:
                    async with refused.of(request, kind):
                        return await handle(request)

                return recorded

        return Recording

    @asynccontextmanager
    async def of(self, request: Request, kind: EventType) -> AsyncIterator[None]:
        """Whatever is refused in this block is an event of this kind.

        Raises:
            TemporarilyUnavailable: instead, where the event cannot be written: no event, no decision (E1).
        """
        try:
            yield
        except (VaultdError, RequestValidationError, HTTPException) as error:
            reason = _reason_of(error)
            if reason is not None:
                await self._record(request, kind, reason, counted=isinstance(error, SlowDown))
            raise

    async def _record(self, request: Request, kind: EventType, reason: str, *, counted: bool) -> None:
        known, ip = standing(request), client_ip(request)
        draft = Draft(
            type=kind,
            decision=Decision.REFUSED,
            reason=reason,
            client_id=known.client_id,
            connection=known.connection,
            request_id=request.state.request_id,
            ip=ip,
        )
        if counted or not known.proven or self._too_often(known):
            await self._refusals.record(draft, address_prefix=address_prefix(ip))
            return
        async with self._log.transaction() as transaction:
            await transaction.append(await self._about(transaction, draft, known))

    def _too_often(self, known: Standing) -> bool:
        """Whether this user has been refused so often that their refusals are counted: no event is ever deleted."""
        if known.subject is None:
            return False
        try:
            self._each.take(str(known.subject.id), EACH)
        except SlowDown:
            return True
        return False

    async def _about(self, transaction: AuditTransaction, draft: Draft, known: Standing) -> Draft:
        """The event of a user who is still there, under their key, and with the account if it is one of theirs."""
        if known.subject is None:
            return draft
        subject = await self._subjects.hold(transaction.connection, known.subject.id)
        if subject is None:
            # E6: erased meanwhile. Their key is not used any more.
            return draft
        about = replace(draft, subject=subject.key)
        if known.unverified_account is None:
            return about
        row = await store.get(transaction.connection, known.unverified_account)
        if row is None or row.subject_id != subject.id:
            return about
        return replace(about, connection=row.provider, connection_id=row.id)


def _reason_of(error: Exception) -> str | None:
    """The reason of a refusal; None for what is none, or has its event already."""
    if isinstance(error, RequestValidationError):
        return InvalidRequest.code
    if isinstance(error, HTTPException):
        return _REASONS.get(error.status_code, InvalidRequest.code) if error.status_code in _REFUSED else None
    told = isinstance(error, ConsentRefused) and error.reason in _TOLD
    # A row that was moved or altered is our fault to the caller, and to the log a refusal with a cause.
    refused = isinstance(error, CannotOpen) or (isinstance(error, VaultdError) and status_of(error) in _REFUSED)
    return error.reason if isinstance(error, VaultdError) and refused and not told else None
