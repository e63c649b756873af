"""POST /oauth/token: parse strictly, call the recipe, render (api.md §1)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.refusals import Refusals
from vaultd.clients.credentials import PresentedCredentials, from_request
from vaultd.errors import InvalidRequest, RequestRefused, UnsupportedGrantType
from vaultd.exchange import ACCESS_TOKEN, Exchange, ExchangeAnswer, ExchangeRequest
from vaultd.limits import address_prefix
from vaultd.operator_tokens import OperatorTokens
from vaultd.terms import Scopes, Secret
from vaultd.web.openapi import TOKEN_ENDPOINT
from vaultd.web.wire import NO_STORE

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant
CLIENT_CREDENTIALS = "client_credentials"
MAX_BODY = 64 * 1024
MAX_PARAMETERS = 100
_MAY_REPEAT = frozenset({"audience", "resource"})

Parameters = dict[str, tuple[str, ...]]


def router(*, exchange: Exchange, operator_tokens: OperatorTokens, refusals: Refusals) -> APIRouter:
    """The token endpoint's route."""
    routes = APIRouter()

    @routes.post("/oauth/token", summary="Token endpoint", tags=["tokens"], **TOKEN_ENDPOINT)
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


@dataclass(frozen=True, slots=True)
class _ClientCredentials:
    """RFC 6749 §4.4.2."""

    credentials: PresentedCredentials | None
    scope: Scopes | None


def _read(request: Request, body: bytes | None) -> ExchangeRequest | _ClientCredentials:
    if body is None:
        raise InvalidRequest("The body is too large.", reason="body_too_large")
    params = _parameters(request, body)
    grant_type = _one(params, "grant_type", required=True)
    if grant_type == TOKEN_EXCHANGE:
        return _exchange_request(request, params)
    if grant_type == CLIENT_CREDENTIALS:
        credentials = from_request(request.headers.get("authorization"), _flat(params))
        return _ClientCredentials(credentials, _scope(params))
    raise UnsupportedGrantType


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


def client_ip(request: Request) -> str | None:
    """The peer's address, as the server sees it."""
    return request.client.host if request.client else None


def _exchange_request(request: Request, params: Parameters) -> ExchangeRequest:
    actor_token, actor_type = _one(params, "actor_token"), _one(params, "actor_token_type")
    if (actor_token is None) != (actor_type is None):
        # RFC 8693 §2.1: either both or none
        raise InvalidRequest("actor_token and actor_token_type come together.")
    return ExchangeRequest(
        credentials=from_request(request.headers.get("authorization"), _flat(params)),
        subject_token=Secret(_one(params, "subject_token", required=True) or ""),
        subject_token_type=_one(params, "subject_token_type", required=True) or "",
        requested_token_type=_one(params, "requested_token_type") or ACCESS_TOKEN,
        audience=params.get("audience", ()),
        resource=params.get("resource", ()),
        scope=_scope(params),
        actor_token=Secret(actor_token) if actor_token else None,
        actor_token_type=actor_type,
        login_hint=_one(params, "login_hint"),
        ip=client_ip(request),
        request_id=request.state.request_id,
    )


async def _body(request: Request) -> bytes | None:
    """The body, or None when it is larger than allowed; a larger one is not read to its end."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_BODY:
            return None
    return bytes(read)


def _parameters(request: Request, body: bytes) -> Parameters:
    if request.url.query:
        # RFC 6749 §3.2: parameters in the query would end up in logs
        raise InvalidRequest("Parameters belong in the body, not in the URL.")
    media_type = _media_type(request.headers)
    if media_type == "application/x-www-form-urlencoded":
        pairs = _form(body)
    elif media_type == "application/json":
        pairs = _json(body)
    else:
        raise InvalidRequest("Send application/x-www-form-urlencoded.")
    return _collect(pairs)


def _media_type(headers: Headers) -> str:
    types = headers.getlist("content-type")
    return types[0].partition(";")[0].strip().lower() if len(types) == 1 else ""


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise InvalidRequest("The body is not form-encoded.") from None


def _json(body: bytes) -> list[tuple[str, str]]:
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON.") from None
    if not isinstance(document, _Members) or len(document) > MAX_PARAMETERS:
        raise InvalidRequest("The body is not a flat object of strings.")
    pairs: list[tuple[str, str]] = []
    for name, value in document:
        # An unpaired surrogate is legal in JSON and in no text that could be stored.
        if not isinstance(value, str) or not (name + value).isprintable():
            raise InvalidRequest("The body is not a flat object of strings.")
        pairs.append((name, value))
    return pairs


class _Members(list[tuple[str, object]]):
    """A JSON object with every member it had, repeated ones too."""


def _collect(pairs: Iterable[tuple[str, str]]) -> Parameters:
    params: Parameters = {}
    for name, value in pairs:
        if "\x00" in name or "\x00" in value:
            raise InvalidRequest("A parameter has a NUL in it.")
        if name in params and name not in _MAY_REPEAT:
            # RFC 6749 §3.2
            raise InvalidRequest(f"{name[:64]} came twice." if name.isidentifier() else "A parameter came twice.")
        if value or name == "grant_type":
            params[name] = (*params.get(name, ()), value)
        else:
            params.setdefault(name, ())
    return params


def _one(params: Parameters, name: str, *, required: bool = False) -> str | None:
    values = params.get(name, ())
    if values and values[0]:
        return values[0]
    if required:
        raise InvalidRequest(f"{name} is missing.")
    return None


def _flat(params: Parameters) -> dict[str, str]:
    return {name: values[0] for name, values in params.items() if values}


def _scope(params: Parameters) -> Scopes | None:
    text = _one(params, "scope")
    return Scopes.parse(text) if text else None
