"""Requests to a provider, in the shape that its table asks for: who authenticates how, and what things are called."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote_plus

from vaultd.errors import AnswerUnusable, OutboundError, OutboundFailed, ProviderUnavailable
from vaultd.outbound import Outbound, Reply
from vaultd.providers.config import ProviderConfig
from vaultd.providers.config_requests import RAW_BASIC, Renamed, RequestFormat, TokenEndpointAuth, check_raw
from vaultd.providers.templates import gaps
from vaultd.terms import Secret

Params: TypeAlias = dict[str, str | Secret]

_BASIC: Mapping[str, TokenEndpointAuth] = {"client_secret_basic": RAW_BASIC, RAW_BASIC: "client_secret_basic"}
"""Each of the two ways to write Basic, and the other."""
_JSON = {"accept": "application/json"}
"""GitHub answers with a form otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How one kind of request with the app's proof is made. `names` are those of its parameters, where it has own."""

    proved_by: TokenEndpointAuth
    written_as: RequestFormat
    method: str = "POST"
    names: Mapping[Renamed, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Sender:
    """Sends. Every call raises `ProviderUnavailable` when no answer came."""

    def __init__(self, *, outbound: Outbound) -> None:
        self._outbound = outbound

    async def as_client(self, url: str, config: ProviderConfig, params: Params) -> Reply:
        """POST `params` to the token endpoint with the app's own proof."""
        asking = Asking(proved_by=config.token_endpoint_auth_method, written_as=config.token_request_format)
        return await self.as_client_by(asking, url, config, params)

    async def as_client_by(self, asking: Asking, url: str, config: ProviderConfig, params: Params) -> Reply:
        """The same, in the way that this kind of request is made."""
        basic, proof = _proof(config, asking.proved_by)
        plain = {name: _reveal(value) for name, value in (params | proof).items()}
        as_json = "json" in {asking.written_as, asking.proved_by}
        written: dict[str, Any] = {"json" if as_json else "form": config.named(plain, asking.names)}
        if basic is not None:
            written["basic"] = basic
        headers = merged(_JSON, config.token_headers, asking.headers)
        return await self.call(asking.method, url, config, headers=headers, **written)

    async def as_user(
        self,
        method: str,
        url: str,
        config: ProviderConfig,
        token: Secret,
        *,
        headers: Mapping[str, str] | None = None,
        token_header: str | None = None,
        **request: Any,
    ) -> Reply:
        """A call of the provider's API that `token` allows (RFC 6750 §2.1), or that has it in a header of its own."""
        bearer = {"authorization": f"{config.userinfo_token_scheme} {token.reveal()}"}
        proof = {token_header: token.reveal()} if token_header else bearer
        sent = merged(_JSON, config.userinfo_headers, headers or {}, proof)
        return await self.call(method, url, config, headers=sent, **request)

    async def call(self, method: str, url: str, config: ProviderConfig, **request: Any) -> Reply:
        """One request, its answer whatever it is."""
        check_no_gap(url)
        try:
            return await self._outbound.request(method, url, allow_private=config.allow_private_hosts, **request)
        except OutboundError as error:
            # An address that is never called is a matter of the configuration, and no outage.
            outage = isinstance(error, OutboundFailed) and not isinstance(error, AnswerUnusable)
            raise ProviderUnavailable(detail=f"{error.code}: {error.detail}", outage=outage) from None


def merged(*headers: Mapping[str, str]) -> dict[str, str]:
    """Headers, of two with one name the later; their case means nothing (RFC 9110 §5.1)."""
    return {name.lower(): value for each in headers for name, value in each.items()}


def check_no_gap(url: str) -> None:
    """Nothing leaves for an address with a gap, should a caller have forgotten to fill it (C0)."""
    if gaps(url):
        raise ProviderUnavailable(detail="the address still has a gap", outage=False)


def secrets_of(config: ProviderConfig, params: Params) -> list[Secret]:
    """Those that the request carries, so that no error repeats them."""
    sent = [value for value in params.values() if isinstance(value, Secret)]
    if config.client_secret is None:
        return sent
    # RFC 7617 §2: some repeat the header, whichever of the two ways it is written in.
    plain = (config.client_id, config.client_secret.reveal())
    pairs = {":".join(plain), ":".join(map(quote_plus, plain))}
    return [*sent, config.client_secret, *(Secret(b64encode(pair.encode()).decode()) for pair in pairs)]


def written_otherwise(config: ProviderConfig) -> TokenEndpointAuth | None:
    """What to write instead of one way to write Basic, where the other has another id or secret in it."""
    methods = {config.token_endpoint_auth_method, config.revocation_auth_method}
    used = next((method for method in _BASIC if method in methods), None)
    if used is None or config.client_secret is None:
        return None
    plain = (config.client_id, config.client_secret.reveal())
    if all(quote_plus(value) == value for value in plain):
        return None
    try:
        check_raw(config.client_id, config.client_secret)
    except ValueError:
        # The other way cannot write them at all.
        return "client_secret_post"
    return _BASIC[used]


def _proof(
    config: ProviderConfig, method: TokenEndpointAuth
) -> tuple[tuple[str, Secret] | None, dict[str, str | Secret]]:
    """The app's proof: user and password, or parameters of the request."""
    secret = config.client_secret
    if secret is None or method == "none":
        return None, {"client_id": config.client_id}
    if method == "client_secret_basic":
        # RFC 6749 §2.3.1: both are form-encoded before they become user and password.
        return (quote_plus(config.client_id), Secret(quote_plus(secret.reveal()))), {}
    if method == RAW_BASIC:
        return (config.client_id, secret), {}
    return None, {"client_id": config.client_id, "client_secret": secret}


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
