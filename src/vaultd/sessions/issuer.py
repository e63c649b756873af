"""The `[login]` issuer: what it says of itself, and the one call that gives tokens for a code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_uri

from vaultd.errors import ConsentRefused, OutboundError, SignInUnavailable
from vaultd.flights import Flights
from vaultd.jose import JwtRefused, KeyCache, VerifiedJwt, read_json_object, verify_jwt
from vaultd.jose.source import KeySourceFailed, check_scheme, discover, named_address
from vaultd.outbound import Outbound
from vaultd.sessions.config import LoginConfig
from vaultd.sessions.logout_token import LoggedOut, verify_logout_token
from vaultd.terms import Clock, Secret

DISCOVERED_FOR = timedelta(minutes=5)
LANE = "sign-in"
"""Anyone may come back with a made-up code: that is not to hold up what clients ask of the issuer."""
_OK = 200
_OUR_FAULT = 500
_BASIC, _POST = "client_secret_basic", "client_secret_post"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What came for a code, and is not verified yet."""

    unverified_id_token: Secret
    access_token: Secret | None


class LoginIssuer:
    """One OpenID provider, found by discovery. `keys` are those that it signs with."""

    def __init__(
        self,
        *,
        config: LoginConfig,
        issuer: str,
        algorithms: Collection[str],
        allow_private: Collection[str],
        keys: KeyCache,
        outbound: Outbound,
        clock: Clock,
    ) -> None:
        self.name = issuer
        self.client_id = config.client_id
        self._secret = config.client_secret
        self._algorithms = algorithms
        self._allow_private = allow_private
        self._keys = keys
        self._outbound = outbound
        self._clock = clock
        self._discovered: tuple[Mapping[str, Any], datetime] | None = None
        self._discoveries: Flights[str, Mapping[str, Any]] = Flights()

    async def authorization_url(self, members: Mapping[str, str]) -> str:
        """Where the browser goes. Raises `SignInUnavailable`."""
        endpoint = self._address(await self._metadata(), "authorization_endpoint")
        url: str = add_params_to_uri(endpoint, [("client_id", self.client_id), *members.items()])
        return url

    async def end_session_url(self) -> str | None:
        """Where the person can sign out at the issuer too; None where that is not to be had."""
        # OpenID Connect RP-Initiated Logout 1.0 §2. Without an `id_token_hint`: a token does not go into a URL.
        try:
            endpoint = self._address(await self._metadata(), "end_session_endpoint")
        except SignInUnavailable:
            return None
        url: str = add_params_to_uri(endpoint, [("client_id", self.client_id)])
        return url

    async def check_answering(self, unverified_issuer: str | None) -> None:
        """RFC 9207 §2.4: who answered must be who was asked. Raises `ConsentRefused` or `SignInUnavailable`."""
        says_so = (await self._metadata()).get("authorization_response_iss_parameter_supported") is True
        if unverified_issuer != self.name and (says_so or unverified_issuer is not None):
            raise ConsentRefused("The sign-in was not accepted.", reason="invalid_issuer")

    async def redeem(self, *, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """Raises `ConsentRefused` or `SignInUnavailable`."""
        metadata = await self._metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        basic = self._authenticated(form, metadata)
        try:
            reply = await self._outbound.request(
                "POST",
                self._address(metadata, "token_endpoint"),
                allow_private=self._allow_private,
                headers={"accept": "application/json"},
                form=form,
                basic=basic,
                lane=LANE,
            )
        except OutboundError as error:
            raise SignInUnavailable(detail=error.detail) from None
        if reply.status >= _OUR_FAULT:
            raise SignInUnavailable(detail=f"the token endpoint answered {reply.status}")
        try:
            document = read_json_object(reply.body)
        except JwtRefused:
            document = {}
        id_token, access_token = document.get("id_token"), document.get("access_token")
        if reply.status != _OK or not isinstance(id_token, str):
            raise ConsentRefused("The sign-in was not accepted.", reason="code", detail=f"status {reply.status}")
        return Tokens(Secret(id_token), Secret(access_token) if isinstance(access_token, str) else None)

    async def verify(self, unverified_token: Secret) -> VerifiedJwt:
        """Signature and times of an ID token. Raises `JwtRefused` or `TemporarilyUnavailable`."""
        return await verify_jwt(
            unverified_token, key_for=self._keys.find, algorithms=self._algorithms, now=self._clock()
        )

    async def verify_logout(self, unverified_token: Secret) -> LoggedOut:
        """Raises `JwtRefused` or `TemporarilyUnavailable`."""
        return await verify_logout_token(
            unverified_token,
            key_for=self._keys.find,
            algorithms=self._algorithms,
            issuer=self.name,
            client_id=self.client_id,
            now=self._clock(),
        )

    async def aclose(self) -> None:
        """End what is under way."""
        await self._discoveries.aclose()

    async def _metadata(self) -> Mapping[str, Any]:
        if self._discovered is not None and self._clock() - self._discovered[1] < DISCOVERED_FOR:
            return self._discovered[0]
        # One call, however many strangers want to sign in while there is no answer.
        return await self._discoveries.join("", self._discover)

    async def _discover(self) -> Mapping[str, Any]:
        try:
            found = await discover(self._outbound, self.name, allow_private=self._allow_private)
        except (KeySourceFailed, OutboundError) as error:
            raise SignInUnavailable(detail=f"discovery: {error}") from None
        self._discovered = (found, self._clock())
        return found

    def _address(self, metadata: Mapping[str, Any], name: str) -> str:
        try:
            address = named_address(metadata, name)
            check_scheme(address, self._allow_private)
        except KeySourceFailed as error:
            raise SignInUnavailable(detail=str(error)) from None
        return address

    def _authenticated(self, form: dict[str, str], metadata: Mapping[str, Any]) -> tuple[str, Secret] | None:
        """One way of client authentication (RFC 6749 §2.3), that the issuer says it takes."""
        if self._secret is None:
            form["client_id"] = self.client_id
            return None
        # OpenID Connect Discovery 1.0 §3: who names none takes Basic.
        taken = metadata.get("token_endpoint_auth_methods_supported", [_BASIC])
        if isinstance(taken, list) and _BASIC not in taken and _POST in taken:
            form |= {"client_id": self.client_id, "client_secret": self._secret.reveal()}
            return None
        # RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
        return quote_plus(self.client_id), Secret(quote_plus(self._secret.reveal()))
