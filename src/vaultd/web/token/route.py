"""The endpoint: parse strictly, call the recipe, render.

It is plain ASGI, and stands in front of the framework: of all that vaultd answers, this is asked a thousand times more
often than the rest, and the framework's layers would cost more than the exchange itself.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.refusals import Refusals
from vaultd.errors import BodyTooLarge, RequestRefused, VaultdError
from vaultd.exchange import Exchange, ExchangeAnswer, ExchangeRequest
from vaultd.limits import address_prefix
from vaultd.operator_tokens import Issued, OperatorTokens
from vaultd.telemetry.metrics import Spread
from vaultd.web.token.arrival import Arrival, read_body
from vaultd.web.token.grants import ClientCredentialsRequest, read_request
from vaultd.web.wire import NO_STORE, Headers, name_request, note, oauth_error, server_error

PATH = "/oauth/token"


class TokenEndpoint:
    """POST /oauth/token. `headers` are those that every answer carries."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        operator_tokens: OperatorTokens,
        refusals: Refusals,
        durations: Spread,
        headers: Headers,
    ) -> None:
        self._exchange = exchange
        self._operator_tokens = operator_tokens
        self._refusals = refusals
        self._durations = durations
        named = {"content-type": "application/json", **NO_STORE}
        self._headers = [*((name.encode(), value.encode()) for name, value in named.items()), *headers]
        self._every_answer = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        began = perf_counter()
        request_id, known = name_request(scope)
        # Each request runs in a task, and so in a context, of its own.
        structlog.contextvars.bind_contextvars(**known)
        arrival = Arrival.of(scope, request_id)
        about = (b"x-request-id", request_id.encode())
        try:
            body = orjson.dumps(await self._answer(arrival, await read_body(receive)))
        except ClientDisconnect:
            return
        except VaultdError as error:
            note(error, PATH)
            response = oauth_error(error, with_challenge=b"authorization" in arrival.headers)
        except Exception as error:  # noqa: BLE001 - a bug is told to the log, and nobody else
            note(error, PATH)
            response = server_error()
        else:
            headers = [*self._headers, (b"content-length", str(len(body)).encode()), about]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            self._durations.add(perf_counter() - began, "200")
            return
        response.raw_headers += [*self._every_answer, about]
        await response(scope, receive, send)
        self._durations.add(perf_counter() - began, str(response.status_code))

    async def _answer(self, arrival: Arrival, body: bytes | None) -> dict[str, Any]:
        try:
            asked = _read(arrival, body)
        except RequestRefused as refusal:
            await self._record(arrival, refusal)
            raise
        if isinstance(asked, ExchangeRequest):
            return _exchanged(await self._exchange(asked))
        issued = await self._operator_tokens.issue(
            asked.credentials, asked.scope, ip=arrival.ip, request_id=arrival.request_id
        )
        return _issued(issued)

    async def _record(self, arrival: Arrival, refusal: RequestRefused) -> None:
        # Nobody is authenticated yet, so refusals of one kind are counted together (A11).
        draft = Draft(
            type=EventType.TOKEN_REFUSED,
            decision=Decision.REFUSED,
            reason=refusal.reason,
            request_id=arrival.request_id,
            ip=arrival.ip,
        )
        await self._refusals.record(draft, address_prefix=address_prefix(arrival.ip))


def _read(arrival: Arrival, body: bytes | None) -> ExchangeRequest | ClientCredentialsRequest:
    if body is None:
        raise BodyTooLarge
    return read_request(arrival, body)


def _exchanged(answer: ExchangeAnswer) -> dict[str, Any]:
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
    return body


def _issued(issued: Issued) -> dict[str, Any]:
    return {
        "access_token": issued.token.reveal(),
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": str(issued.scopes),
    }
