"""Providers' own notices of revocation: `POST /notices/{provider}`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.refusals import Refusals
from vaultd.errors import NotFound, NoticeRefused
from vaultd.limits import address_prefix
from vaultd.notices import Notice
from vaultd.revoke import ActOnNotice
from vaultd.web.peer import client_ip
from vaultd.web.wire import NO_STORE

PREFIX = "/notices"
Reader = Callable[[Mapping[str, str], bytes], Awaitable[Notice]]
"""Believes the headers and the body of a notice, or raises `NoticeRefused`."""


def router(*, readers: Mapping[str, Reader], act: ActOnNotice, refusals: Refusals) -> APIRouter:
    """The route. `readers` are those of the providers that tell us, by the name of the connection."""
    routes = APIRouter(prefix=PREFIX, tags=["notices"])

    @routes.post("/{provider}", status_code=202, response_model=None)
    async def receive(request: Request, provider: str) -> Response:
        reader = readers.get(provider)
        if reader is None:
            raise NotFound
        ip = client_ip(request)
        draft = Draft(type=EventType.CONNECTION_BROKEN, connection=provider, request_id=request.state.request_id, ip=ip)
        try:
            notice = await reader(request.headers, await request.body())
        except NoticeRefused as refused:
            # Anyone can send one, so they are counted (A11).
            await refusals.record(_refusal(draft, refused), address_prefix=address_prefix(ip))
            raise
        if notice.challenge is not None:
            return JSONResponse({"challenge": notice.challenge}, 200, NO_STORE)
        await act(notice, provider=provider, draft=draft)
        # RFC 8935 §2.2
        return Response(status_code=202, headers=NO_STORE)

    return routes


def _refusal(draft: Draft, refused: NoticeRefused) -> Draft:
    return Draft(
        type=EventType.NOTICE_REFUSED,
        decision=Decision.REFUSED,
        reason=refused.reason,
        connection=draft.connection,
        request_id=draft.request_id,
        ip=draft.ip,
    )
