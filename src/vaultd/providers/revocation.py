"""Giving tokens back at the provider: by RFC 7009, or in one of the ways of those that have another.

A named way is one that data cannot say: GitHub deletes a grant as an API of its own, with the app's proof and the
token in a JSON body; Slack and others take the token in the header, as any call of theirs does, and nothing else.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import quote

from vaultd.errors import ProviderRefused
from vaultd.outbound import Reply
from vaultd.providers.config import ProviderConfig
from vaultd.providers.replies import read_revocation
from vaultd.providers.sender import Params, Sender, secrets_of
from vaultd.providers.templates import CLIENT_ID
from vaultd.terms import Clock, Secret

TokenKind: TypeAlias = Literal["refresh_token", "access_token"]

_BEARER_METHODS = {"slack": "POST", "bearer_post": "POST", "delete_bearer": "DELETE"}
_UNAUTHORIZED = 401
_NO_SUCH_GRANT = (404, 422)
"""What GitHub answers for a token that is none any more."""


class Revocations:
    """Gives back. Keeps nothing."""

    def __init__(self, *, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock

    async def revoke(self, config: ProviderConfig, *, token: Secret, kind: TokenKind) -> None:
        """Revoke a token of a kind that the provider takes; well too if it is gone already.

        Raises:
            ProviderUnavailable: it is not known to be gone.
            ProviderRefused: `unsupported` where the provider has no way to, or the provider's own error.
        """
        endpoint = endpoint_of(config)
        if config.revocation == "github_grant":
            await self._delete_grant(endpoint, config, token)
        elif config.revocation in _BEARER_METHODS:
            await self._with_bearer(_BEARER_METHODS[config.revocation], endpoint, config, token)
        else:
            params: Params = {"token": token, "token_type_hint": kind, **config.revocation_params}
            self._read(await self._sender.as_client(endpoint, config, params), config, params)

    async def _delete_grant(self, endpoint: str, config: ProviderConfig, token: Secret) -> None:
        basic = (config.client_id, config.client_secret or Secret(""))
        headers = {"accept": "application/vnd.github+json", **config.token_headers}
        reply = await self._sender.call(
            "DELETE", endpoint, config, headers=headers, basic=basic, json={"access_token": token.reveal()}
        )
        self._read(reply, config, {"token": token}, gone=_NO_SUCH_GRANT)

    async def _with_bearer(self, method: str, endpoint: str, config: ProviderConfig, token: Secret) -> None:
        body = {"json": config.revocation_params} if config.revocation_params else {}
        reply = await self._sender.as_user(method, endpoint, config, token, **body)
        # RFC 6750 §3.1: a token that is not accepted cannot do harm any more either.
        self._read(reply, config, {"token": token}, gone=(_UNAUTHORIZED,))

    def _read(self, reply: Reply, config: ProviderConfig, params: Params, gone: tuple[int, ...] = ()) -> None:
        read_revocation(reply, config, sent=secrets_of(config, params), now=self._clock(), gone=gone)


def takes(config: ProviderConfig, kind: TokenKind) -> bool:
    """Whether the provider's way of revoking takes this kind of token."""
    if config.revocation == "rfc7009":
        return config.revocation_token in {"both", kind}
    return kind == "access_token"


def endpoint_of(config: ProviderConfig) -> str:
    """Where tokens are given back. Raises `ProviderRefused`: `unsupported`."""
    endpoint = config.revocation_endpoint
    if endpoint is None or config.revocation == "none":
        raise ProviderRefused("unsupported", detail="no revocation_endpoint")
    return endpoint.replace(f"{{{CLIENT_ID}}}", quote(config.client_id, safe=""))
