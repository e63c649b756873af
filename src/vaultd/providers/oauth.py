"""The OAuth 2 client toward a provider: one for all of them, steered by their tables alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri

from vaultd.errors import InvalidRequest, OutboundError, ProviderRefused, ProviderUnavailable
from vaultd.outbound import Outbound, Reply
from vaultd.providers.answers import Account, Grant, read_account, read_answer, read_grant, read_revocation
from vaultd.providers.config import ProviderConfig
from vaultd.providers.registry import Provider
from vaultd.terms import Clock, Scopes, Secret, system_clock

__all__ = ["Account", "Grant", "OAuthClient"]

_Params = dict[str, str | Secret]

_UNAUTHORIZED = 401
_GRANT_IS_GONE = frozenset({"bad_refresh_token", "invalid_refresh_token", "token_expired", "token_revoked"})
"""What GitHub, Slack and others say after a refresh where RFC 6749 §5.2 has `invalid_grant`."""


class OAuthClient:
    """Redeems, refreshes and revokes. Keeps nothing; every call is one request.

    All calls raise `ProviderUnavailable` when the provider did not answer as an OAuth server does (what it did
    with the request is then not known), and `ProviderRefused` for its own OAuth error.
    """

    def __init__(self, *, outbound: Outbound, clock: Clock = system_clock) -> None:
        self._outbound = outbound
        self._clock = clock

    def authorization_url(
        self,
        provider: Provider,
        *,
        redirect_uri: str,
        state: str,
        scopes: Scopes,
        code_challenge: str,
        extra: Mapping[str, str],
        nonce: str | None = None,
    ) -> str:
        """Where the user's browser goes to consent (RFC 6749 §4.1.1, RFC 7636 §4.3).

        Raises:
            InvalidRequest: `extra` has a parameter that this provider's table does not allow.
        """
        config = provider.config
        refused = sorted(set(extra) - set(config.allowed_authorization_params))
        if refused:
            raise InvalidRequest(f"authorization_params may not carry: {', '.join(refused)}.")
        params = {**config.authorization_params, **extra}
        if config.pkce:
            params |= {"code_challenge": code_challenge, "code_challenge_method": "S256"}
        url = prepare_grant_uri(
            config.authorization_endpoint,
            client_id=config.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=_joined(scopes, config),
            state=state,
            nonce=nonce,
        )
        with_params: str = add_params_to_uri(url, params)
        return with_params

    async def redeem(self, provider: Provider, *, code: Secret, code_verifier: Secret, redirect_uri: str) -> Grant:
        """Exchange an authorization code for tokens (RFC 6749 §4.1.3)."""
        params: _Params = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        if provider.config.pkce:
            params["code_verifier"] = code_verifier
        return await self._grant(provider, params)

    async def refresh(self, provider: Provider, *, refresh_token: Secret, scopes: Scopes | None = None) -> Grant:
        """Exchange a refresh token for new tokens, narrowed to `scopes` where given (RFC 6749 §6).

        A refresh token that is no longer good is `ProviderRefused("invalid_grant")`, in whatever words it was said.
        """
        params: _Params = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        if scopes is not None:
            params["scope"] = _joined(scopes, provider.config)
        try:
            return await self._grant(provider, params)
        except ProviderRefused as error:
            if error.error not in _GRANT_IS_GONE:
                raise
            raise ProviderRefused("invalid_grant", detail=f"{error.error} {error.detail}".strip()) from None

    async def revoke(
        self, provider: Provider, *, token: Secret, hint: Literal["refresh_token", "access_token"]
    ) -> None:
        """Revoke a token (RFC 7009); well too if it is gone already.

        Raises:
            ProviderRefused: `unsupported` where the provider has no revocation endpoint.
        """
        endpoint = provider.config.revocation_endpoint
        if endpoint is None:
            raise ProviderRefused("unsupported", detail="no revocation_endpoint")
        params: _Params = {"token": token, "token_type_hint": hint}
        reply = await self._post(endpoint, provider.config, params)
        read_revocation(reply, sent=_secrets(provider.config, params), now=self._clock())

    async def account(self, provider: Provider, *, access_token: Secret) -> Account | None:
        """Whose token this is; None where the provider has no userinfo endpoint.

        Raises:
            ProviderRefused: `invalid_token`, or another error of the provider's own.
        """
        endpoint = provider.config.userinfo_endpoint
        if endpoint is None:
            return None
        headers = {"authorization": f"Bearer {access_token.reveal()}", "accept": "application/json"}
        reply = await self._call("GET", endpoint, provider.config, headers=headers)
        if reply.status == _UNAUTHORIZED:
            raise ProviderRefused("invalid_token", detail="userinfo does not accept the token")  # RFC 6750 §3.1
        members = read_answer(reply, sent=(access_token,), now=self._clock())
        return read_account(members, provider.config)

    async def _grant(self, provider: Provider, params: _Params) -> Grant:
        reply = await self._post(provider.config.token_endpoint, provider.config, params)
        return read_grant(read_answer(reply, sent=_secrets(provider.config, params), now=self._clock()))

    async def _post(self, url: str, config: ProviderConfig, params: _Params) -> Reply:
        revealed = {name: value.reveal() if isinstance(value, Secret) else value for name, value in params.items()}
        headers = {"accept": "application/json"}  # GitHub answers with a form otherwise
        secret = config.client_secret
        if secret is None:
            form = revealed | {"client_id": config.client_id}
            return await self._call("POST", url, config, headers=headers, form=form)
        if config.token_endpoint_auth_method == "client_secret_basic":  # noqa: S105 - a method's name
            # RFC 6749 §2.3.1: both are form-encoded before they become user and password.
            basic = (quote_plus(config.client_id), Secret(quote_plus(secret.reveal())))
            return await self._call("POST", url, config, headers=headers, form=revealed, basic=basic)
        body = revealed | {"client_id": config.client_id, "client_secret": secret.reveal()}
        written = {"json": body} if config.token_endpoint_auth_method == "json" else {"form": body}  # noqa: S105
        return await self._call("POST", url, config, headers=headers, **written)

    async def _call(self, method: str, url: str, config: ProviderConfig, **request: Any) -> Reply:
        try:
            return await self._outbound.request(method, url, allow_private=config.allow_private_hosts, **request)
        except OutboundError as error:
            raise ProviderUnavailable(detail=f"{error.code}: {error.detail}") from None


def _joined(scopes: Scopes, config: ProviderConfig) -> str:
    return config.scope_separator.join(sorted(scopes))


def _secrets(config: ProviderConfig, params: _Params) -> list[Secret]:
    sent = [value for value in params.values() if isinstance(value, Secret)]
    return sent if config.client_secret is None else [*sent, config.client_secret]
