"""Providers' own notices of revocation: `POST /notices/{provider}`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vaultd.audit.events import Draft, EventType
from vaultd.errors import NotFound
from vaultd.notices import Notice
from vaultd.revoke import ActOnNotice
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.standing import standing
from vaultd.web.wire import NO_STORE

PREFIX = "/notices"
Reader = Callable[[Mapping[str, str], bytes], Awaitable[Notice]]
"""Believes the headers and the body of a notice, or raises `NoticeRefused`."""


def router(*, readers: Mapping[str, Reader], act: ActOnNotice, refused: Refused) -> APIRouter:
    """The route. `readers` are those of the providers that tell us, by the name of the connection.

    Anyone can send a notice, so those that are refused are counted (A11).
    """
    routes = APIRouter(prefix=PREFIX, tags=["notices"], route_class=refused.routes(EventType.NOTICE_REFUSED))

    @routes.post("/{provider}", status_code=202, response_model=None)
    async def receive(request: Request, provider: str) -> Response:
        reader = readers.get(provider)
        if reader is None:
            raise NotFound
        standing(request).connection = provider
        notice = await reader(request.headers, await request.body())
        if notice.challenge is not None:
            return JSONResponse({"challenge": notice.challenge}, 200, NO_STORE)
        draft = Draft(
            type=EventType.CONNECTION_BROKEN,
            connection=provider,
            request_id=request.state.request_id,
            ip=client_ip(request),
        )
        await act(notice, provider=provider, draft=draft)
        # RFC 8935 §2.2
        return Response(status_code=202, headers=NO_STORE)

    return routes
