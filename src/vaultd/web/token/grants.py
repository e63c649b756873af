"""From the parameters of a token request to what is asked, one reader for each grant."""

from __future__ import annotations

from dataclasses import dataclass

from vaultd.clients.credentials import PresentedCredentials, from_request
from vaultd.errors import InvalidRequest, UnsupportedGrantType
from vaultd.exchange import ACCESS_TOKEN, FEDERATED_TOKEN, ExchangeRequest
from vaultd.terms import Scopes, Secret
from vaultd.web.token.arrival import Arrival
from vaultd.web.token.parameters import Parameters, flat, hint, one, read_parameters, refused_token, scope

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant
FEDERATED_CONNECTION = "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"
CLIENT_CREDENTIALS = "client_credentials"
GRANT_TYPES = (TOKEN_EXCHANGE, FEDERATED_CONNECTION, CLIENT_CREDENTIALS)


@dataclass(frozen=True, slots=True)
class ClientCredentialsRequest:
    """RFC 6749 §4.4.2."""

    credentials: PresentedCredentials | None
    scope: Scopes | None


def read_request(arrival: Arrival, body: bytes) -> ExchangeRequest | ClientCredentialsRequest:
    """What a token request asks for. Raises `RequestRefused`."""
    if arrival.query:
        # RFC 6749 §3.2: parameters in the query would end up in logs
        raise InvalidRequest("Parameters belong in the body, not in the URL.")
    params = read_parameters(body, arrival.headers.get(b"content-type", []))
    grant_type = one(params, "grant_type", required=True)
    if grant_type == TOKEN_EXCHANGE:
        return _exchange(arrival, params, audience=params.get("audience", ()), token_type=ACCESS_TOKEN)
    if grant_type == FEDERATED_CONNECTION:
        return _federated(arrival, params)
    if grant_type == CLIENT_CREDENTIALS:
        return ClientCredentialsRequest(_credentials(arrival, params), scope(params))
    raise UnsupportedGrantType


def _federated(arrival: Arrival, params: Parameters) -> ExchangeRequest:
    """The same exchange in other words: `connection` is the target, and the token has a type of its own."""
    connection = one(params, "connection", required=True) or ""
    # Auth0's SDKs send no audience beside it. One that comes all the same must mean the same provider.
    audience = (connection, *params.get("audience", ()))
    return _exchange(arrival, params, audience=audience, token_type=FEDERATED_TOKEN)


def _exchange(arrival: Arrival, params: Parameters, *, audience: tuple[str, ...], token_type: str) -> ExchangeRequest:
    """`token_type` is what is meant by a request that names none."""
    actor_token, actor_type = one(params, "actor_token"), one(params, "actor_token_type")
    if (actor_token is None) != (actor_type is None):
        # RFC 8693 §2.1: either both or none
        raise InvalidRequest("actor_token and actor_token_type come together.")
    return ExchangeRequest(
        credentials=_credentials(arrival, params),
        subject_token=Secret(one(params, "subject_token", required=True) or ""),
        subject_token_type=one(params, "subject_token_type", required=True) or "",
        requested_token_type=one(params, "requested_token_type") or token_type,
        audience=audience,
        resource=params.get("resource", ()),
        scope=scope(params),
        actor_token=Secret(actor_token) if actor_token else None,
        actor_token_type=actor_type,
        login_hint=hint(params),
        refused_token=refused_token(params),
        dpop=tuple(Secret(proof) for proof in arrival.headers.get(b"dpop", ())),
        ip=arrival.ip,
        request_id=arrival.request_id,
    )


def _credentials(arrival: Arrival, params: Parameters) -> PresentedCredentials | None:
    headers = arrival.headers.get(b"authorization", [])
    if len(headers) > 1:
        # RFC 6749 §2.3
        raise InvalidRequest("Use one method of client authentication.", reason="two_authentication_methods")
    return from_request(headers[0] if headers else None, flat(params))
