"""An issuer's introspection endpoint: found, asked, and its answer read (RFC 7662 §2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from vaultd.errors import OutboundError, TemporarilyUnavailable
from vaultd.flights import Flights
from vaultd.jose import JwtRefused, read_json_object
from vaultd.jose.source import KeySourceFailed, check_scheme, discover, named_address
from vaultd.outbound import Outbound, Reply
from vaultd.subjects.config import IntrospectionConfig
from vaultd.terms import Clock, Secret

DISCOVERED_FOR = timedelta(hours=1)
_OK = 200
_BAD_REQUEST = 400
_OUR_CREDENTIALS = (401, 403)


class IntrospectionEndpoint:
    """Asks one issuer about tokens."""

    def __init__(
        self,
        *,
        name: str,
        issuer: str,
        config: IntrospectionConfig,
        allow_private: Collection[str],
        outbound: Outbound,
        clock: Clock,
    ) -> None:
        self._name = name
        self._issuer = issuer
        self._config = config
        self._allow_private = frozenset(allow_private)
        self._outbound = outbound
        self._clock = clock
        self._discovered: tuple[str, datetime] | None = None
        self._discoveries: Flights[str, str] = Flights()

    async def ask(self, token: Secret, hint: str | None, *, lane: str = "") -> Mapping[str, Any]:
        """What the issuer says of a token: `active`, a true or false, and the rest as it came.

        Calls of one `lane` do not wait for those of another (`Outbound.request`).

        Raises:
            JwtRefused: `wrong_type`: the issuer does not look at tokens of this form.
            TemporarilyUnavailable: there is no answer, or none that could be one.
        """
        form = {"token": token.reveal()} | ({"token_type_hint": hint} if hint else {})
        basic = None
        client_id, secret = self._config.client_id, self._config.client_secret
        if self._config.introspection_endpoint_auth_method == "client_secret_basic":
            # RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
            basic = (quote_plus(client_id), Secret(quote_plus(secret.reveal())))
        else:
            form |= {"client_id": client_id, "client_secret": secret.reveal()}
        try:
            reply = await self._outbound.request(
                "POST",
                await self._address(),
                allow_private=self._allow_private,
                headers={"accept": "application/json"},
                form=form,
                basic=basic,
                lane=lane,
            )
        except (KeySourceFailed, OutboundError) as error:
            raise self._unavailable(str(error)) from None
        return self._read(reply)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._discoveries.aclose()

    async def _address(self) -> str:
        if self._config.introspection_endpoint is not None:
            return self._config.introspection_endpoint
        if self._discovered is not None and self._clock() - self._discovered[1] < DISCOVERED_FOR:
            return self._discovered[0]
        return await self._discoveries.join("", self._discover)

    async def _discover(self) -> str:
        metadata = await discover(self._outbound, self._issuer, allow_private=self._allow_private)
        address = named_address(metadata, "introspection_endpoint")
        check_scheme(address, self._allow_private)
        self._discovered = (address, self._clock())
        return address

    def _read(self, reply: Reply) -> Mapping[str, Any]:
        if reply.status in _OUR_CREDENTIALS:
            raise self._unavailable(f"status {reply.status}: it does not accept our client_id and client_secret")
        if reply.status not in {_OK, _BAD_REQUEST}:
            self._discovered = None
            raise self._unavailable(f"status {reply.status}")
        try:
            document = read_json_object(reply.body)
        except JwtRefused:
            raise self._unavailable(f"status {reply.status}, and the body is no JSON object") from None
        if reply.status == _BAD_REQUEST:
            if document.get("error") == "unsupported_token_type":
                # RFC 7009 §2.2.1 has the word, and some servers use it here for the JWTs that they issue.
                raise JwtRefused("wrong_type", "the issuer does not introspect tokens of this form")
            raise self._unavailable(f"status {reply.status}")
        if not isinstance(document.get("active"), bool):
            raise self._unavailable("active is neither true nor false")
        # A member of null says nothing, which is what an absent one says.
        return {name: value for name, value in document.items() if value is not None}

    def _unavailable(self, detail: str) -> TemporarilyUnavailable:
        return TemporarilyUnavailable(
            reason="issuer_unreachable", detail=f"introspection at [issuers.{self._name}]: {detail}"
        )
