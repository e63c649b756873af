"""The configured clients, and proof that a request comes from one of them."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from vaultd.clients.assertion import ClientAssertions
from vaultd.clients.config import ClientConfig
from vaultd.clients.credentials import PresentedCredentials
from vaultd.config_types import HASH_PREFIX
from vaultd.errors import ConfigurationError, InvalidClient
from vaultd.limits import FailureThrottle
from vaultd.terms import ClientId, Secret

_NOBODY = b"\0" * 32
"""Compared with where there is no digest: the digest of no string that anyone knows."""


@dataclass(frozen=True, slots=True)
class Client:
    """One `[clients.X]` table under its name."""

    id: ClientId
    config: ClientConfig

    @property
    def display_name(self) -> str:
        """How people know it; without a name for them, by its id."""
        return self.config.display_name or self.id

    @property
    def subject_azp(self) -> tuple[str, ...]:
        """The names by which subject tokens mean this client; by default its own."""
        names = self.config.subject_azp
        return (self.id,) if names is None else names

    @property
    def actor_azp(self) -> tuple[str, ...]:
        """The names by which actor tokens mean this client: those in subject tokens, and those for actors alone."""
        return (*self.subject_azp, *self.config.actor_azp)

    @property
    def public(self) -> bool:
        """Whether it proves itself by nothing, so that anyone may say to be it (RFC 6749 §2.1)."""
        return self.config.auth == "none"


@dataclass(frozen=True, slots=True)
class _Entry:
    client: Client
    digest: bytes = field(repr=False)


class Clients:
    """All clients. Fixed after construction, but for the throttle on failures."""

    def __init__(
        self,
        *,
        configs: Mapping[str, ClientConfig],
        assertions: ClientAssertions,
        throttle: FailureThrottle | None = None,
    ) -> None:
        self._assertions = assertions
        self._throttle = throttle or FailureThrottle()
        self._entries = {
            name: _Entry(Client(ClientId(name), config), _digest(name, config)) for name, config in configs.items()
        }
        self._any_implicit = any(config.implicit for config in configs.values())

    def get(self, client_id: str) -> Client | None:
        """The client of this name, not authenticated."""
        entry = self._entries.get(client_id)
        return None if entry is None else entry.client

    def id_of(self, unverified_name: str) -> ClientId | None:
        """The id of a configured client that somebody claims to be; None for a name that is made up.

        What is not configured is not kept: a stranger could fill the log with names of their own.
        """
        entry = self._entries.get(unverified_name)
        return None if entry is None else entry.client.id

    def all(self) -> tuple[Client, ...]:
        """Every client, in the order of the configuration file."""
        return tuple(entry.client for entry in self._entries.values())

    async def authenticate(self, presented: PresentedCredentials, *, ip: str | None) -> Client:
        """Return the client that the credentials prove (security A8, A10).

        Raises:
            InvalidClient: `reason` is `unknown_client`, `wrong_method`, `wrong_secret`, `address_not_allowed`, or for
                an assertion `client_keys_unreachable` or one of `jose.REASONS`.
            SlowDown: this pair of client id and address has failed too often.
            TemporarilyUnavailable: an assertion cannot be checked at this moment.
        """
        self._throttle.check(presented.client_id, ip)
        try:
            client = await self._prove(presented)
            _check_address(client.config, ip)
        except InvalidClient:
            self._throttle.failed(presented.client_id, ip)
            raise
        return client

    async def _prove(self, presented: PresentedCredentials) -> Client:
        entry = self._entries.get(presented.client_id)
        failure = None
        # First, and the same work whether or not the client exists, so that the time taken does not tell.
        try:
            if presented.unverified_assertion is not None:
                await self._assertions.verify(presented.unverified_assertion, client_id=presented.client_id)
            elif presented.method != "none":
                _check_secret(presented.secret, _NOBODY if entry is None else entry.digest)
        except InvalidClient as refused:
            failure = refused
        if entry is None:
            raise InvalidClient(reason="unknown_client")
        if entry.client.config.auth != presented.method:
            raise InvalidClient(reason="wrong_method")
        if failure is not None:
            raise failure
        return entry.client

    def for_presenter(self, presenter: str | None) -> Client | None:
        """The client that a token issued to `presenter` means: the one of that name, else the first to list it."""
        meant = self._meant_by(presenter)
        return meant[0] if meant else None

    def implicit_for(self, presenter: str | None, *, ip: str | None) -> Client:
        """The client of a request that names none: the one implicit client that the subject token was issued to.

        Raises:
            InvalidClient: `no_implicit_client`, `ambiguous_client` or `address_not_allowed`.
        """
        implicit = [
            client for client in self._meant_by(presenter) if client.config.auth == "none" and client.config.implicit
        ]
        if not implicit:
            raise InvalidClient(reason="no_implicit_client")
        if len(implicit) > 1:
            raise InvalidClient(reason="ambiguous_client", detail=f"{presenter!r} means several implicit clients")
        _check_address(implicit[0].config, ip)
        return implicit[0]

    def check_implicit(self) -> None:
        """Raise `InvalidClient` when no client may leave its name out, so that no token need be looked at."""
        if not self._any_implicit:
            raise InvalidClient(reason="no_implicit_client")

    def _meant_by(self, presenter: str | None) -> list[Client]:
        if presenter is None:
            return []
        meant = [entry.client for entry in self._entries.values() if presenter in entry.client.subject_azp]
        return sorted(meant, key=lambda client: client.id != presenter)


def hash_secret(secret: Secret) -> str:
    """The form in which a secret may stand in a configuration without being one: `sha256:` and 64 hex digits."""
    return HASH_PREFIX + hashlib.sha256(secret.reveal().encode()).hexdigest()


def _digest(name: str, config: ClientConfig) -> bytes:
    if config.secret is None:
        return _NOBODY
    value = config.secret.reveal()
    if not value.startswith(HASH_PREFIX):
        return hashlib.sha256(value.encode()).digest()
    try:
        digest = bytes.fromhex(value.removeprefix(HASH_PREFIX))
    except ValueError:
        digest = b""
    if len(digest) != len(_NOBODY):
        raise ConfigurationError(f"[clients.{name}] secret: write sha256: and 64 hex digits.") from None
    return digest


def _check_secret(secret: Secret | None, expected: bytes) -> None:
    value = "" if secret is None else secret.reveal()
    given = hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
    if not hmac.compare_digest(given, expected):
        raise InvalidClient(reason="wrong_secret")


def _check_address(config: ClientConfig, ip: str | None) -> None:
    if not config.ip_allowlist:
        return
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        raise InvalidClient(reason="address_not_allowed") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if not any(address in ipaddress.ip_network(network) for network in config.ip_allowlist):
        raise InvalidClient(reason="address_not_allowed")
