"""Sign-in at the `[login]` issuer: OpenID Connect with code, PKCE, state and nonce (security B8)."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import Column, DateTime, ForeignKey, LargeBinary, Table, Uuid, delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.db import Database, metadata
from vaultd.errors import ConsentRefused, OutboundError
from vaultd.jose import JwtRefused, KeyCache, read_audience, verify_jwt
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Sealed, bind, open_sealed, seal
from vaultd.outbound import Outbound
from vaultd.sessions.config import LoginConfig
from vaultd.terms import Clock, Secret, Subject

LASTS = timedelta(minutes=10)
_PURPOSE = "sign_in"
_OK = 200

sign_ins_table = Table(
    "sign_ins",
    metadata,
    Column("state_hash", LargeBinary, primary_key=True),
    Column("browser_hash", LargeBinary, nullable=False),
    Column("data_key_id", Uuid, ForeignKey("data_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginIssuer:
    """The issuer that `[login]` names."""

    issuer: str
    algorithms: Collection[str]
    allow_private: Collection[str]


class SignIn:
    """Sends a browser to the issuer and believes what it brings back only when everything fits."""

    def __init__(
        self,
        *,
        config: LoginConfig,
        issuer: LoginIssuer,
        redirect_uri: str,
        database: Database,
        data_keys: DataKeys,
        outbound: Outbound,
        clock: Clock,
    ) -> None:
        self._config = config
        self._issuer = issuer
        self._redirect_uri = redirect_uri
        self._database = database
        self._data_keys = data_keys
        self._outbound = outbound
        self._clock = clock
        self._keys = KeyCache(
            outbound=outbound, clock=clock, issuer=issuer.issuer, allow_private=tuple(issuer.allow_private)
        )

    async def begin(self, browser: str, continue_to: str) -> str:
        """The URL at the issuer. Raises `ConsentRefused` when the issuer does not answer."""
        endpoints = await self._discover()
        state = secrets.token_urlsafe(32)
        flow = {
            "verifier": secrets.token_urlsafe(48),
            "nonce": secrets.token_urlsafe(32),
            "continue_to": continue_to,
        }
        async with self._database.transaction() as connection:
            await connection.execute(delete(sign_ins_table).where(sign_ins_table.c.expires_at <= self._clock()))
            key = await self._data_keys.create(connection, _PURPOSE)
            await connection.execute(
                insert(sign_ins_table).values(
                    state_hash=_hash(state),
                    browser_hash=_hash(browser),
                    data_key_id=key.id,
                    sealed=seal(key, json.dumps(flow).encode(), bound=bind("sign_in", 1, _hash(state))).blob,
                    expires_at=self._clock() + LASTS,
                )
            )
        query = {
            "response_type": "code",
            "client_id": self._config.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid",
            "state": state,
            "nonce": flow["nonce"],
            "code_challenge": create_s256_code_challenge(flow["verifier"]),
            "code_challenge_method": "S256",
        }
        url: str = add_params_to_uri(endpoints["authorization_endpoint"], list(query.items()))
        return url

    async def finish(self, *, unverified_state: str, unverified_code: str, browser: str) -> tuple[Subject, str]:
        """Who signed in, and where they wanted to go. Raises `ConsentRefused`."""
        # 1. our own state, once, from the browser that began (login CSRF)
        async with self._database.transaction() as connection:
            flow = await self._take(connection, unverified_state, browser)
        # 2. the code for an ID token, with the verifier that only we know
        endpoints = await self._discover()
        id_token = await self._redeem(endpoints["token_endpoint"], unverified_code, flow["verifier"])
        # 3. the ID token, fully verified
        try:
            verified = await verify_jwt(
                id_token, key_for=self._keys.find, algorithms=self._issuer.algorithms, now=self._clock()
            )
            self._check_claims(verified.claims, flow["nonce"])
        except JwtRefused as error:
            raise ConsentRefused("The sign-in was not accepted.", reason="id_token", detail=str(error)) from None
        return Subject(self._issuer.issuer, verified.claims["sub"]), flow["continue_to"]

    async def _take(self, connection: AsyncConnection, state: str, browser: str) -> dict[str, Any]:
        table = sign_ins_table.c
        statement = (
            delete(sign_ins_table)
            .where(table.state_hash == _hash(state), table.browser_hash == _hash(browser))
            .where(table.expires_at > self._clock())
            .returning(table.data_key_id, table.sealed)
        )
        row = (await connection.execute(statement)).first()
        if row is None:
            raise ConsentRefused("This sign-in is no longer valid. Try again.", reason="state")
        key = await self._data_keys.load(connection, row.data_key_id, _PURPOSE)
        flow: dict[str, Any] = json.loads(open_sealed(key, Sealed(row.sealed), bound=bind("sign_in", 1, _hash(state))))
        await self._data_keys.erase(connection, key.id)
        return flow

    async def _redeem(self, endpoint: str, code: str, verifier: str) -> Secret:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
            "client_id": self._config.client_id,
        }
        secret = self._config.client_secret
        basic = None if secret is None else (self._config.client_id, secret)
        document = await self._fetch("POST", endpoint, form=form, basic=basic)
        id_token = document.get("id_token")
        if not isinstance(id_token, str):
            raise ConsentRefused("The sign-in service gave no ID token.", reason="id_token")
        return Secret(id_token)

    def _check_claims(self, claims: Mapping[str, Any], nonce: str) -> None:
        # OpenID Connect Core 1.0 §3.1.3.7
        if claims.get("iss") != self._issuer.issuer:
            raise JwtRefused("wrong_issuer")
        audience = read_audience(claims)
        if self._config.client_id not in audience:
            raise JwtRefused("wrong_audience")
        if len(audience) > 1 and claims.get("azp") != self._config.client_id:
            raise JwtRefused("wrong_audience")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise JwtRefused("missing_claim", "nonce")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise JwtRefused("missing_claim", "sub")

    async def _discover(self) -> dict[str, Any]:
        url = self._issuer.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._fetch("GET", url)
        if document.get("issuer") != self._issuer.issuer:
            raise ConsentRefused("The sign-in service is not set up rightly.", reason="discovery")
        return document

    async def _fetch(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        basic: tuple[str, Secret] | None = None,
    ) -> dict[str, Any]:
        try:
            reply = await self._outbound.request(
                method, url, allow_private=self._issuer.allow_private, form=form, basic=basic
            )
            document = reply.json()
        except OutboundError as error:
            raise ConsentRefused(
                "The sign-in service cannot be reached. Try again later.", reason="login_issuer", detail=error.detail
            ) from error
        if reply.status != _OK or not isinstance(document, dict):
            raise ConsentRefused("The sign-in was not accepted.", reason="login_issuer", detail=f"{reply.status}")
        return document


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()
