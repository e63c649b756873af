"""Giving tokens back at the provider: by RFC 7009, or in one of the ways of those that have another.

A named way is one that data cannot say: GitHub deletes a grant, or one token of it, as an API of its own, with the
app's proof and the token in a JSON body; Slack and others take the token in the header, as any call of theirs does, and
nothing else; Stripe is told the account and no token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from vaultd.errors import ProviderRefused
from vaultd.outbound import Reply
from vaultd.providers.config import ProviderConfig
from vaultd.providers.replies import read_revocation
from vaultd.providers.sender import Asking, Params, Sender, merged, secrets_of
from vaultd.providers.templates import CLIENT_ID
from vaultd.providers.told import telling
from vaultd.terms import Clock, Secret

TokenKind: TypeAlias = Literal["refresh_token", "access_token"]

UNSUPPORTED = "unsupported"
"""The reason where the provider has no way to end this token."""
_BEARER_METHODS = {"slack": "POST", "bearer_post": "POST", "delete_bearer": "DELETE"}
_STRIPE_ACCOUNT = "stripe_user_id"
_UNAUTHORIZED = 401
_NO_SUCH_GRANT = (404, 422)
"""What GitHub answers for a token that is none any more."""


class Revocations:
    """Gives back. Keeps nothing."""

    def __init__(self, *, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock

    async def revoke(
        self, config: ProviderConfig, *, token: Secret, kind: TokenKind, metadata: Mapping[str, Any], alone: bool
    ) -> None:
        """Revoke a token of a kind that the provider takes; well too if it is gone already.

        `metadata` is that of the token's connection. With `alone` nothing but this token ends.

        Raises:
            ProviderUnavailable: it is not known to be gone.
            ProviderRefused: `unsupported` where the provider has no way to, or the provider's own error.
        """
        endpoint = endpoint_of(config, alone=alone)
        if config.revocation == "github_grant":
            await self._delete_grant(endpoint, config, token)
        elif config.revocation in _BEARER_METHODS:
            await self._with_bearer(_BEARER_METHODS[config.revocation], endpoint, config, token)
        elif config.revocation == "stripe":
            await self._end_account(endpoint, config, metadata)
        else:
            await self._as_the_standard_says(endpoint, config, token, kind)

    async def _as_the_standard_says(
        self, endpoint: str, config: ProviderConfig, token: Secret, kind: TokenKind
    ) -> None:
        params: Params = {"token": token, **config.revocation_params}
        if config.revocation_hint:
            params["token_type_hint"] = kind
        asking = Asking(
            proved_by=config.revocation_auth_method or config.token_endpoint_auth_method,
            written_as=config.revocation_request_format or config.token_request_format,
            method=config.revocation_method,
            names=config.revocation_parameter_names,
            headers=config.revocation_headers,
        )
        reply = await self._sender.as_client_by(asking, endpoint, config, params)
        self._read(reply, config, params)

    async def _delete_grant(self, endpoint: str, config: ProviderConfig, token: Secret) -> None:
        basic = (config.client_id, config.client_secret or Secret(""))
        own = {"accept": "application/vnd.github+json"}
        headers = merged(own, config.token_headers, config.revocation_headers)
        reply = await self._sender.call(
            "DELETE", endpoint, config, headers=headers, basic=basic, json={"access_token": token.reveal()}
        )
        self._read(reply, config, {"token": token}, gone=_NO_SUCH_GRANT)

    async def _with_bearer(self, method: str, endpoint: str, config: ProviderConfig, token: Secret) -> None:
        written_as = config.revocation_request_format or ("json" if config.revocation_params else None)
        body = {} if written_as is None else {written_as: config.revocation_params}
        reply = await self._sender.as_user(
            method,
            endpoint,
            config,
            token,
            headers=config.revocation_headers,
            token_header=config.revocation_token_header,
            **body,
        )
        # RFC 6750 §3.1: a token that is not accepted cannot do harm any more either.
        self._read(reply, config, {"token": token}, gone=(_UNAUTHORIZED,))

    async def _end_account(self, endpoint: str, config: ProviderConfig, metadata: Mapping[str, Any]) -> None:
        account = metadata.get(_STRIPE_ACCOUNT)
        if account is None or config.client_secret is None:
            raise ProviderRefused(UNSUPPORTED, detail="the account is not known")
        # https://docs.stripe.com/connect/oauth-reference: the platform's secret key is the user, without a password.
        reply = await self._sender.call(
            "POST",
            endpoint,
            config,
            headers=merged({"accept": "application/json"}, config.revocation_headers),
            basic=(config.client_secret.reveal(), Secret("")),
            form={"client_id": config.client_id, _STRIPE_ACCOUNT: str(account)},
        )
        self._read(reply, config, {})

    def _read(self, reply: Reply, config: ProviderConfig, params: Params, gone: tuple[int, ...] = ()) -> None:
        sent = secrets_of(config, params)
        with telling(reply, config, sent):
            read_revocation(reply, config, sent=sent, now=self._clock(), gone=gone)


def takes(config: ProviderConfig, kind: TokenKind) -> bool:
    """Whether the provider's way of revoking takes this kind of token."""
    if config.revocation == "rfc7009":
        return config.revocation_token in {"both", kind}
    return kind == "access_token"


def endpoint_of(config: ProviderConfig, *, alone: bool = False) -> str:
    """Where tokens are given back, or where one `alone` is. Raises `ProviderRefused`: `unsupported`."""
    endpoint = config.token_revocation_endpoint if alone else config.revocation_endpoint
    if endpoint is None or config.revocation == "none":
        raise ProviderRefused(UNSUPPORTED, detail=f"no {'token_' if alone else ''}revocation_endpoint")
    return endpoint.replace(f"{{{CLIENT_ID}}}", quote(config.client_id, safe=""))
