"""From the parameters of a token request to what is asked, one reader for each grant."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from vaultd.clients.credentials import PresentedCredentials, from_request
from vaultd.errors import InvalidRequest, UnsupportedGrantType
from vaultd.exchange import ACCESS_TOKEN, ExchangeRequest
from vaultd.terms import Scopes, Secret
from vaultd.web.peer import client_ip
from vaultd.web.token.parameters import Parameters, flat, one, read_parameters, scope

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant
CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True, slots=True)
class ClientCredentialsRequest:
    """RFC 6749 §4.4.2."""

    credentials: PresentedCredentials | None
    scope: Scopes | None


def read_request(request: Request, body: bytes) -> ExchangeRequest | ClientCredentialsRequest:
    """What a token request asks for. Raises `RequestRefused`."""
    if request.url.query:
        # RFC 6749 §3.2: parameters in the query would end up in logs
        raise InvalidRequest("Parameters belong in the body, not in the URL.")
    params = read_parameters(body, request.headers.getlist("content-type"))
    grant_type = one(params, "grant_type", required=True)
    if grant_type == TOKEN_EXCHANGE:
        return _exchange(request, params)
    if grant_type == CLIENT_CREDENTIALS:
        return ClientCredentialsRequest(_credentials(request, params), scope(params))
    raise UnsupportedGrantType


def _exchange(request: Request, params: Parameters) -> ExchangeRequest:
    actor_token, actor_type = one(params, "actor_token"), one(params, "actor_token_type")
    if (actor_token is None) != (actor_type is None):
        # RFC 8693 §2.1: either both or none
        raise InvalidRequest("actor_token and actor_token_type come together.")
    return ExchangeRequest(
        credentials=_credentials(request, params),
        subject_token=Secret(one(params, "subject_token", required=True) or ""),
        subject_token_type=one(params, "subject_token_type", required=True) or "",
        requested_token_type=one(params, "requested_token_type") or ACCESS_TOKEN,
        audience=params.get("audience", ()),
        resource=params.get("resource", ()),
        scope=scope(params),
        actor_token=Secret(actor_token) if actor_token else None,
        actor_token_type=actor_type,
        login_hint=one(params, "login_hint"),
        dpop=tuple(Secret(proof) for proof in request.headers.getlist("dpop")),
        ip=client_ip(request),
        request_id=request.state.request_id,
    )


def _credentials(request: Request, params: Parameters) -> PresentedCredentials | None:
    return from_request(request.headers.get("authorization"), flat(params))
