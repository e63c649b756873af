"""The route: parse strictly, call the recipe, render."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.refusals import Refusals
from vaultd.errors import InvalidRequest, RequestRefused
from vaultd.exchange import Exchange, ExchangeAnswer, ExchangeRequest
from vaultd.limits import address_prefix
from vaultd.operator_tokens import OperatorTokens
from vaultd.web.peer import client_ip
from vaultd.web.token.grants import ClientCredentialsRequest, read_request
from vaultd.web.wire import NO_STORE

MAX_BODY = 64 * 1024


def router(*, exchange: Exchange, operator_tokens: OperatorTokens, refusals: Refusals) -> APIRouter:
    """The token endpoint's route."""
    routes = APIRouter()

    @routes.post("/oauth/token", response_model=None)
    async def token(request: Request) -> Response:
        body = await _body(request)
        try:
            asked = _read(request, body)
        except RequestRefused as refusal:
            # Nobody is authenticated yet, so refusals of one kind are counted together (A11).
            draft = Draft(
                type=EventType.TOKEN_REFUSED,
                decision=Decision.REFUSED,
                reason=refusal.reason,
                request_id=request.state.request_id,
            )
            await refusals.record(draft, address_prefix=address_prefix(client_ip(request)))
            if body is None:
                return JSONResponse({"error": refusal.code, "error_description": refusal.description}, 413, NO_STORE)
            raise
        if isinstance(asked, ExchangeRequest):
            return _rendered(await exchange(asked))
        issued = await operator_tokens.issue(
            asked.credentials, asked.scope, ip=client_ip(request), request_id=request.state.request_id
        )
        answer = {
            "access_token": issued.token.reveal(),
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": str(issued.scopes),
        }
        return JSONResponse(answer, 200, NO_STORE)

    return routes


def _read(request: Request, body: bytes | None) -> ExchangeRequest | ClientCredentialsRequest:
    if body is None:
        raise InvalidRequest("The body is too large.", reason="body_too_large")
    return read_request(request, body)


async def _body(request: Request) -> bytes | None:
    """The body, or None when it is larger than allowed; a larger one is not read to its end."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_BODY:
            return None
    return bytes(read)


def _rendered(answer: ExchangeAnswer) -> Response:
    body: dict[str, Any] = {
        "access_token": answer.access_token.reveal(),
        "issued_token_type": answer.issued_token_type,
        "token_type": "Bearer",
        "expires_in": answer.expires_in,
        "scope": str(answer.scope),
        "connection": answer.connection,
        "account": answer.account,
    }
    if answer.connection_metadata:
        body["connection_metadata"] = answer.connection_metadata
    return JSONResponse(body, 200, NO_STORE)
