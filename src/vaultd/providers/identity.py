"""Whose token it is: from the token's own answer, from an ID token, or by asking the provider."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vaultd.errors import ProviderRefused
from vaultd.jose import JwtRefused, check_given_times, parse_jwt, read_audience
from vaultd.outbound import Reply
from vaultd.providers.answers import Account, Grant, read_account
from vaultd.providers.config import ProviderConfig
from vaultd.providers.config_endpoints import LookupConfig
from vaultd.providers.paths import at, texts
from vaultd.providers.replies import read_answer, read_list
from vaultd.providers.sender import Sender
from vaultd.providers.told import telling
from vaultd.providers.words import label_text, plain_text
from vaultd.sizes import METADATA
from vaultd.terms import Clock, Secret

_UNAUTHORIZED = 401
_LEEWAY = 60
_MOST_PLACES = 100


@dataclass(frozen=True, slots=True)
class Identity:
    """The account, None where the provider names none; and what an API call needs besides what the grant said."""

    account: Account | None
    metadata: dict[str, Any] = field(default_factory=dict)


class Identities:
    """Finds out. Keeps nothing."""

    def __init__(self, *, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock

    async def of(
        self, config: ProviderConfig, grant: Grant, *, nonce: str | None, redirect: Mapping[str, str]
    ) -> Identity:
        """The account of a grant just redeemed; `nonce` is what its authorization request carried.

        `redirect` is what came beside the code, as far as `callback_metadata` looks for it.

        Raises:
            ProviderUnavailable: an answer that names nobody.
            ProviderRefused: `invalid_token`, `invalid_id_token`, or an error of the provider's own.
        """
        answers: dict[str, object] = {"token": grant.account_fields, "redirect": redirect}
        answers["setting"] = config.fixed_settings
        metadata: dict[str, Any] = {}
        told: AbstractContextManager[None] = nullcontext()
        if config.reads_id_tokens:
            answers["id_token"] = _id_token_claims(grant.id_token, config, nonce=nonce, now=self._clock())
        if config.userinfo_endpoint and (config.asks_userinfo or config.userinfo_metadata):
            members, reply = await self._userinfo(config.userinfo_endpoint, config, grant.access_token)
            answers["userinfo"], told = members, telling(reply, config, (grant.access_token,))
            metadata |= texts(members, config.userinfo_metadata)
        if config.lookup is not None:
            places = await self._places(config.lookup, config, grant.access_token)
            metadata[config.lookup.metadata] = answers["lookup"] = places
        with told:
            account = read_account(answers, config) if config.names_accounts else None
        return Identity(account, metadata)

    async def by_userinfo(self, config: ProviderConfig, token: Secret) -> Account | None:
        """The account that userinfo names; None where it is not userinfo that does. Raises as `of` does."""
        if not config.named_in <= {"userinfo", "setting"} or config.userinfo_endpoint is None:
            return None
        members, _ = await self._userinfo(config.userinfo_endpoint, config, token)
        return read_account({"userinfo": members, "setting": config.fixed_settings}, config)

    async def check(self, endpoint: str, config: ProviderConfig, token: Secret) -> None:
        """Return where the provider takes the token. Raises as `of` does, with a word of `replies.TOKEN_GONE`."""
        reply = await self._sender.as_user("POST", endpoint, config, token)
        self._read(reply, config, token)

    async def _userinfo(self, endpoint: str, config: ProviderConfig, token: Secret) -> tuple[Mapping[str, Any], Reply]:
        body = {} if config.userinfo_body is None else {"json": json.loads(config.userinfo_body)}
        reply = await self._sender.as_user(config.userinfo_method, endpoint, config, token, **body)
        return self._read(reply, config, token), reply

    def _read(self, reply: Reply, config: ProviderConfig, token: Secret) -> Mapping[str, Any]:
        with telling(reply, config, (token,)):
            if reply.status == _UNAUTHORIZED:
                raise ProviderRefused("invalid_token", detail="the token is not accepted")  # RFC 6750 §3.1
            return read_answer(reply, config, sent=(token,), now=self._clock())

    async def _places(self, lookup: LookupConfig, config: ProviderConfig, token: Secret) -> list[dict[str, str]]:
        reply = await self._sender.as_user("GET", lookup.endpoint, config, token)
        with telling(reply, config, (token,)):
            found = read_list(reply, lookup.list_path, now=self._clock())[:_MOST_PLACES]
        return _within_metadata(_place(entry, lookup) for entry in found)


def _place(entry: object, lookup: LookupConfig) -> dict[str, str] | None:
    place_id = plain_text(at(entry, lookup.id_field))
    if place_id is None:
        return None
    return {"id": place_id, "name": label_text(at(entry, lookup.label_field)) or place_id}


def _within_metadata(places: Iterable[dict[str, str] | None]) -> list[dict[str, str]]:
    """As many as fit, the first ones: they leave with each token, so their sum is bounded too."""
    kept, room = [], METADATA
    for place in places:
        if place is None:
            continue
        room -= len(json.dumps(place)) + 2
        if room < 0:
            break
        kept.append(place)
    return kept


def _id_token_claims(
    id_token: Secret | None, config: ProviderConfig, *, nonce: str | None, now: datetime
) -> Mapping[str, Any]:
    """The claims of an ID token that the token endpoint itself gave us.

    OpenID Connect Core 1.0 §3.1.3.7 (6): what comes straight from the token endpoint over TLS is the issuer's, so the
    server's certificate stands for the signature. All else that section asks for is checked.
    """
    if id_token is None:
        raise ProviderRefused("invalid_id_token", detail="the answer has no id_token")
    try:
        unverified = parse_jwt(id_token).unverified_claims
        _check_claims(unverified, config, nonce=nonce, now=now)
    except JwtRefused as error:
        raise ProviderRefused("invalid_id_token", detail=str(error)) from None
    return unverified


def _check_claims(claims: Mapping[str, Any], config: ProviderConfig, *, nonce: str | None, now: datetime) -> None:
    # OpenID Connect Core 1.0 §3.1.3.7 (2) to (5), (9) and (11)
    if claims.get("iss") not in (config.id_token_issuers or (config.issuer,)):
        raise JwtRefused("wrong_issuer")
    audience = read_audience(claims)
    if config.client_id not in audience or claims.get("azp", config.client_id) != config.client_id:
        raise JwtRefused("wrong_audience")
    if len(audience) > 1 and "azp" not in claims:
        raise JwtRefused("wrong_audience")
    if check_given_times(claims, now=now, leeway=_LEEWAY) is None:
        raise JwtRefused("missing_claim", "exp")
    if nonce is not None and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise JwtRefused("missing_claim", "nonce")
