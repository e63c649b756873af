"""Requests to a provider, in the shape that its table asks for: who authenticates how, and what things are called."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, TypeAlias
from urllib.parse import quote_plus

from vaultd.errors import AnswerUnusable, OutboundError, OutboundFailed, ProviderUnavailable
from vaultd.outbound import Outbound, Reply
from vaultd.providers.config import ProviderConfig
from vaultd.providers.config_requests import RequestFormat, TokenEndpointAuth
from vaultd.providers.templates import gaps
from vaultd.terms import Secret

Params: TypeAlias = dict[str, str | Secret]

_JSON = {"accept": "application/json"}
"""GitHub answers with a form otherwise."""


class Sender:
    """Sends. Every call raises `ProviderUnavailable` when no answer came."""

    def __init__(self, *, outbound: Outbound) -> None:
        self._outbound = outbound

    async def as_client(
        self,
        url: str,
        config: ProviderConfig,
        params: Params,
        *,
        method: TokenEndpointAuth | None = None,
        written_as: RequestFormat | None = None,
    ) -> Reply:
        """POST `params` with the app's own proof, as is done at the token endpoint unless told otherwise."""
        method = method or config.token_endpoint_auth_method
        basic, proof = _proof(config, method)
        body = config.named({name: _reveal(value) for name, value in (params | proof).items()})
        as_json = "json" in {written_as or config.token_request_format, method}
        written: dict[str, Any] = {"json" if as_json else "form": body}
        if basic is not None:
            written["basic"] = basic
        return await self.call("POST", url, config, headers=_JSON | config.token_headers, **written)

    async def as_user(self, method: str, url: str, config: ProviderConfig, token: Secret, **request: Any) -> Reply:
        """A call of the provider's API that `token` allows (RFC 6750 §2.1)."""
        headers = _JSON | config.userinfo_headers
        headers["authorization"] = f"{config.userinfo_token_scheme} {token.reveal()}"
        return await self.call(method, url, config, headers=headers, **request)

    async def call(self, method: str, url: str, config: ProviderConfig, **request: Any) -> Reply:
        """One request, its answer whatever it is."""
        check_no_gap(url)
        try:
            return await self._outbound.request(method, url, allow_private=config.allow_private_hosts, **request)
        except OutboundError as error:
            # An address that is never called is a matter of the configuration, and no outage.
            down = isinstance(error, OutboundFailed) and not isinstance(error, AnswerUnusable)
            raise ProviderUnavailable(detail=f"{error.code}: {error.detail}", down=down) from None


def check_no_gap(url: str) -> None:
    """Nothing leaves for an address with a gap, should a caller have forgotten to fill it (C0)."""
    if gaps(url):
        raise ProviderUnavailable(detail="the address still has a gap")


def secrets_of(config: ProviderConfig, params: Params) -> list[Secret]:
    """Those that the request carries, so that no error repeats them."""
    sent = [value for value in params.values() if isinstance(value, Secret)]
    if config.client_secret is None:
        return sent
    # RFC 7617 §2: some repeat the header.
    basic = Secret(b64encode(f"{config.client_id}:{config.client_secret.reveal()}".encode()).decode())
    return [*sent, config.client_secret, basic]


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
    return None, {"client_id": config.client_id, "client_secret": secret}


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
