"""The OAuth 2 client toward a provider: one for all of them, steered by their tables alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from authlib.common.urls import add_params_to_uri

from vaultd.errors import InvalidRequest, ProviderRefused, ProviderUnavailable
from vaultd.outbound import Outbound, Reply
from vaultd.providers.answers import Account, Grant, read_grant
from vaultd.providers.config import ProviderConfig
from vaultd.providers.identity import Identities, Identity
from vaultd.providers.issued import Issued, issued_in
from vaultd.providers.registry import Provider
from vaultd.providers.replies import read_answer, unverified_members
from vaultd.providers.revocation import Revocations, TokenKind, endpoint_of, takes
from vaultd.providers.scoped import ScopedTokens
from vaultd.providers.sender import Params, Sender, check_no_gap, secrets_of
from vaultd.providers.told import at_step, telling
from vaultd.terms import Clock, Narrowing, Scopes, Secret, Verdict, system_clock

__all__ = ["Account", "Grant", "Identity", "Issued", "OAuthClient"]

Told: TypeAlias = Callable[[Issued], None]
"""Is told of the tokens in an answer before anything else in it is looked at."""


class OAuthClient:
    """Redeems, refreshes and revokes. Keeps nothing.

    A provider whose addresses have gaps is given with those of its connection filled: see `Provider.at`. All calls
    raise `ProviderUnavailable` when the provider did not answer as an OAuth server does (what it did
    with the request is then not known), and `ProviderRefused` for its own OAuth error.
    """

    def __init__(self, *, outbound: Outbound, clock: Clock = system_clock) -> None:
        self._sender = Sender(outbound=outbound)
        self._identities = Identities(sender=self._sender, clock=clock)
        self._revocations = Revocations(sender=self._sender, clock=clock)
        self._scoped = ScopedTokens(sender=self._sender, clock=clock)
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
        check_no_gap(config.authorization_endpoint)
        refused = sorted(set(extra) - set(config.allowed_authorization_params))
        if refused:
            raise InvalidRequest(f"authorization_params may not carry: {', '.join(refused)}.")
        params = {
            "response_type": "code",
            "client_id": config.client_id,
            "redirect_uri": redirect_uri,
            "scope": _joined(scopes, config),
            "state": state,
            "nonce": nonce or "",
        }
        if config.pkce:
            params |= {"code_challenge": code_challenge, "code_challenge_method": "S256"}
        own = config.named({name: value for name, value in params.items() if value})
        # What vaultd sets itself comes last, so that nothing takes its place.
        url: str = add_params_to_uri(config.authorization_endpoint, {**config.authorization_params, **extra, **own})
        return url

    async def redeem(
        self,
        provider: Provider,
        *,
        code: Secret,
        code_verifier: Secret,
        redirect_uri: str,
        scopes: Scopes,
        issued: Told | None = None,
    ) -> Grant:
        """Exchange an authorization code for tokens (RFC 6749 §4.1.3). `scopes` are those that were asked for.

        `issued` is told of the tokens in an answer before anything else is looked at: whatever else is wrong with it,
        they are alive.
        """
        params: Params = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
        }
        if provider.config.pkce:
            params["code_verifier"] = code_verifier
        config = provider.config
        if config.scope_with_code and scopes:
            params["scope"] = _joined(scopes, config)
        params |= config.token_params
        with at_step("token"):
            reply = await self._sender.as_client(config.token_endpoint, config, params)
            _tell(issued, reply, config)
            with telling(reply, config, secrets_of(config, params)):
                return read_grant(self._read(reply, config, params), config)

    async def refresh(
        self,
        provider: Provider,
        *,
        refresh_token: Secret,
        scopes: Scopes | None = None,
        issued: Told | None = None,
    ) -> Grant:
        """Exchange a refresh token for new tokens, narrowed to `scopes` where given (RFC 6749 §6).

        `issued` is told of them as by `redeem`. A refresh token that is no longer good is
        `ProviderRefused("invalid_grant")`, in whatever words it was said.
        """
        config = provider.config
        with at_step("refresh", provider=provider.name):
            members, reply = await self._refreshed(config, refresh_token, scopes, issued)
            with telling(reply, config, secrets_of(config, {"refresh_token": refresh_token})):
                return read_grant(members, config, refreshed=True)

    async def revoke(
        self,
        provider: Provider,
        *,
        token: Secret,
        hint: TokenKind,
        metadata: Mapping[str, Any],
        alone: bool = False,
    ) -> None:
        """Revoke a token (RFC 7009, or in the provider's own way); well too if it is gone already.

        Where a provider takes access tokens only, a refresh token is first turned into one: the access token beside
        it may have ended long ago, and the grant would live on. Where it takes refresh tokens only, an access token
        ends with its refresh token. `metadata` is that of the token's connection: it may name what is to be ended.
        With `alone` only the token ends, at a provider where otherwise the whole grant would.

        Raises:
            ProviderRefused: `unsupported` where the provider has no way to.
        """
        with at_step("revoke", provider=provider.name):
            await self._revoke(provider.config, token=token, hint=hint, metadata=metadata, alone=alone)

    async def _revoke(
        self, config: ProviderConfig, *, token: Secret, hint: TokenKind, metadata: Mapping[str, Any], alone: bool
    ) -> None:
        endpoint_of(config, alone=alone)
        if not takes(config, hint):
            if hint == "access_token" or config.revocation == "stripe":
                # Stripe's way ends all tokens of the account, when it is the access token's turn.
                return
            try:
                members, _ = await self._refreshed(config, token, None, None)
            except ProviderRefused as error:
                if error.verdict is Verdict.DEAD:
                    return
                raise
            # Whatever else is wrong with the answer: this token is to be ended, not to be used.
            issued = issued_in(members, config, refreshed=True)
            if issued is None or issued.access_token is None:
                raise ProviderUnavailable(detail="the answer has no usable access_token", outage=False)
            token, hint = issued.access_token, "access_token"
        await self._revocations.revoke(config, token=token, kind=hint, metadata=metadata, alone=alone)

    async def scope_down(
        self, provider: Provider, *, access_token: Secret, narrowing: Narrowing, issued: Told | None = None
    ) -> Grant:
        """A token that is good for no more than this, beside the one that it is asked for with.

        `issued` is told of it as by `redeem`.

        Raises:
            ProviderRefused: `invalid_token` for that one, `invalid_scope` for what is asked for, or another error.
        """
        with at_step("token", provider=provider.name):
            return await self._scoped.get(
                provider.config, access_token=access_token, narrowing=narrowing, issued=issued or (lambda _: None)
            )

    async def identify(
        self, provider: Provider, *, grant: Grant, nonce: str | None = None, redirect: Mapping[str, str] | None = None
    ) -> Identity:
        """Whose token this is, and what an API call needs besides. `nonce` is that of the authorization request.

        `redirect` is what came beside the code, as far as `callback_metadata` looks for it.

        Raises:
            ProviderRefused: `invalid_token`, `invalid_id_token`, or another error of the provider's own.
        """
        with at_step("userinfo"):
            return await self._identities.of(provider.config, grant, nonce=nonce, redirect=redirect or {})

    async def account(self, provider: Provider, *, access_token: Secret) -> Account | None:
        """Whose token this is, for one that was not redeemed here; None where asking with it does not tell.

        Raises:
            ProviderRefused: `invalid_token`, or another error of the provider's own.
        """
        with at_step("userinfo", provider=provider.name):
            return await self._identities.by_userinfo(provider.config, access_token)

    async def check(self, provider: Provider, *, access_token: Secret) -> None:
        """Ask the provider whether it takes a token, where it has a place for that or tells whose the token is.

        Raises:
            ProviderRefused: a word of `replies.TOKEN_GONE` where it does not, or another error of its own.
        """
        endpoint = provider.config.token_check_endpoint
        if endpoint is None:
            await self.account(provider, access_token=access_token)
            return
        with at_step("userinfo", provider=provider.name):
            await self._identities.check(endpoint, provider.config, access_token)

    async def _refreshed(
        self, config: ProviderConfig, refresh_token: Secret, scopes: Scopes | None, issued: Told | None
    ) -> tuple[Mapping[str, object], Reply]:
        params: Params = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        params |= config.refresh_params
        if scopes is not None:
            params["scope"] = _joined(scopes, config)
        try:
            reply = await self._sender.as_client(config.refreshed_at, config, params)
            _tell(issued, reply, config, refreshed=True)
            with telling(reply, config, secrets_of(config, params)):
                return self._read(reply, config, params), reply
        except ProviderRefused as error:
            if error.verdict is not Verdict.DEAD or error.error == "invalid_grant":
                raise
            detail = f"{error.error} {error.detail}".strip()
            gone = ProviderRefused("invalid_grant", detail=detail, verdict=error.verdict)
            gone.status, gone.said, gone.words = error.status, error.said, error.words
            raise gone from None

    def _read(self, reply: Reply, config: ProviderConfig, params: Params) -> Mapping[str, object]:
        return read_answer(reply, config, sent=secrets_of(config, params), now=self._clock())


def _tell(issued: Told | None, reply: Reply, config: ProviderConfig, *, refreshed: bool = False) -> None:
    tokens = issued_in(unverified_members(reply), config, refreshed=refreshed)
    if tokens is not None and issued is not None:
        issued(tokens)


def _joined(scopes: Scopes, config: ProviderConfig) -> str:
    return config.scope_separator.join(sorted(scopes))
