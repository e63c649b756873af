"""The `[login]` issuer tells that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0 §2.5)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vaultd.audit.events import Draft, EventType
from vaultd.errors import InvalidRequest, LogoutTokenRefused, VaultdError
from vaultd.jose import JwtRefused
from vaultd.revoke import ActOnLogout
from vaultd.sessions.issuer import LoginIssuer
from vaultd.terms import Secret
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.wire import NO_STORE, note, oauth_error

PATH = "/auth/login/backchannel"
_FORM = "application/x-www-form-urlencoded"


def router(*, issuer: LoginIssuer, act: ActOnLogout, refused: Refused) -> APIRouter:
    """The route. Its caller is the issuer and no browser, so errors are OAuth's (§2.8)."""
    routes = APIRouter(tags=["browser"], include_in_schema=False)

    async def heard(request: Request) -> None:
        token = await _token(request)
        try:
            logged_out = await issuer.verify_logout(token)
        except JwtRefused as error:
            raise LogoutTokenRefused(reason=error.reason, detail=error.detail) from None
        draft = Draft(
            type=EventType.SESSION_ENDED,
            reason="issuer",
            request_id=request.state.request_id,
            ip=client_ip(request),
        )
        await act(logged_out, issuer=issuer.name, draft=draft)

    @routes.post(PATH, response_model=None)
    async def receive(request: Request) -> Response:
        try:
            async with refused.of(request, EventType.SESSION_REFUSED):
                await heard(request)
        except VaultdError as error:
            note(error, PATH)
            return oauth_error(error)
        return Response(status_code=200, headers=NO_STORE)

    return routes


async def _token(request: Request) -> Secret:
    content_types = request.headers.getlist("content-type")
    if [name.partition(";")[0].strip().lower() for name in content_types] != [_FORM]:
        raise InvalidRequest(f"Send {_FORM}.", reason="malformed")
    async with request.form() as form:
        given = form.getlist("logout_token")
    if len(given) != 1 or not isinstance(given[0], str) or not given[0]:
        raise InvalidRequest("logout_token is missing, or came twice.", reason="malformed")
    return Secret(given[0])
