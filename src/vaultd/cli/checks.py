"""`vaultd check`: each part by itself, so that one fault hides no other."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text

from vaultd import schema
from vaultd.cli.database import transaction
from vaultd.cli.output import outside
from vaultd.cli.warnings import warnings
from vaultd.clients.config import ClientConfig
from vaultd.errors import InvalidTarget, NoKeysYet, OutboundError, TemporarilyUnavailable, VaultdError
from vaultd.jose.jwks import read_keys
from vaultd.jose.source import JwksSource, KeySourceFailed
from vaultd.keys.keyring import open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.outbound import Outbound
from vaultd.providers.registry import Providers
from vaultd.resealing import connections
from vaultd.serving_role import check_role, open_to_everybody
from vaultd.settings import Settings
from vaultd.subjects.config import IntrospectionConfig, IssuerConfig
from vaultd.subjects.endpoint import IntrospectionEndpoint
from vaultd.terms import Secret, system_clock

SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing."""

    what: str
    state: Literal["ok", "warning", "failed"]
    text: str = ""


async def check_all(settings: Settings) -> list[Finding]:
    """Check everything that the settings name. Raises nothing for what it finds."""
    findings = [Finding("configuration", "ok")]
    findings += [Finding(what, "warning", text) for what, text in warnings(settings)]
    findings += [
        await tried("keyring file", _keyring_file(settings)),
        await tried("database schema", _schema(settings)),
        await tried("database role", _role(settings)),
        await _doors(settings),
        await tried("database formats", _formats(settings)),
        await tried("database keys", _keys(settings)),
    ]
    outbound = Outbound()
    try:
        for what, url, private in _endpoints(settings):
            findings.append(await tried(what, reached(outbound, url, private)))
        for name, issuer in settings.issuers.items():
            if issuer.introspection is not None:
                asked = _introspected(outbound, name, issuer, issuer.introspection)
                findings.append(await tried(f"issuer {name}", asked))
        for name, client in settings.clients.items():
            if client.jwks_uri is not None or client.jwks_file is not None:
                findings.append(await tried(f"client {name}", _published_keys(outbound, client)))
    finally:
        await outbound.aclose()
    return findings


async def tried(what: str, doing: Awaitable[str]) -> Finding:
    """What came of it."""
    try:
        return Finding(what, "ok", outside(await doing))
    except (OutboundError, TemporarilyUnavailable) as error:
        return Finding(what, "failed", outside(f"{error.description} {error.detail}".strip()))
    except VaultdError as error:
        return Finding(what, "failed", outside(error.description))


async def _keyring_file(settings: Settings) -> str:
    return open_keyring_file(settings.keys.path).name


async def _schema(settings: Settings) -> str:
    async with transaction(settings) as connection:
        await schema.check(connection)
    return f"revision {schema.head()}"


async def _role(settings: Settings) -> str:
    async with transaction(settings) as connection:
        await check_role(connection)
    return "serves, and owns nothing"


async def _doors(settings: Settings) -> Finding:
    what = "database access"
    try:
        async with transaction(settings) as connection:
            if not await open_to_everybody(connection):
                return Finding(what, "ok", "vaultd's roles only")
            name = outside((await connection.execute(text("SELECT current_database()"))).scalar_one())
    except VaultdError as error:
        return Finding(what, "failed", error.description)
    quoted = '"' + name.replace('"', '""') + '"'
    groups = "vaultd_owner, vaultd_app, vaultd_sealer, vaultd_auditor"
    remedy = f"GRANT CONNECT ON DATABASE {quoted} TO {groups}; REVOKE CONNECT ON DATABASE {quoted} FROM PUBLIC"
    return Finding(what, "warning", f"every login of the server may connect; as the database's owner run: {remedy}")


async def _formats(settings: Settings) -> str:
    async with transaction(settings) as connection:
        if not await connections.finished(connection):
            raise VaultdError("Rows of an older release are still to be sealed anew: run `vaultd migrate`.")
    return "all is sealed in the newest format"


async def _keys(settings: Settings) -> str:
    backend = open_keyring_file(settings.keys.path)
    async with transaction(settings) as connection:
        await schema.check(connection)
        try:
            keyring = await open_keyring(connection, backend)
        except NoKeysYet:
            return "none yet; the first start makes them"
    return f"{len(keyring.entries())} keys open"


def _endpoints(settings: Settings) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for name, issuer in settings.issuers.items():
        if issuer.jwks_uri is not None:
            yield f"issuer {name}", issuer.jwks_uri, issuer.allow_private_hosts
        elif issuer.jwks_file is None and issuer.hs256_secret is None and issuer.introspection is None:
            discovery = f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
            yield f"issuer {name}", discovery, issuer.allow_private_hosts
    for provider in Providers(configs=settings.providers).all():
        # Where each user's provider is elsewhere, there is no address yet.
        with suppress(InvalidTarget):
            config = provider.at({}).config
            yield f"provider {provider.name}", config.token_endpoint, config.allow_private_hosts


async def reached(outbound: Outbound, url: str, private: tuple[str, ...]) -> str:
    """Ask an address for any answer. Raises `VaultdError`."""
    # Any answer below 500 will do: a token endpoint refuses a GET, and thereby shows that it is there.
    reply = await outbound.request("GET", url, allow_private=private)
    if reply.status >= SERVER_FAULT:
        raise VaultdError(f"{url} answers with status {reply.status}.")
    return f"{url} answers"


async def _introspected(outbound: Outbound, name: str, issuer: IssuerConfig, config: IntrospectionConfig) -> str:
    # A question about a token that nobody issued: its answer shows that the address and our credentials are right.
    endpoint = IntrospectionEndpoint(
        name=name,
        issuer=issuer.issuer,
        config=config,
        allow_private=issuer.allow_private_hosts,
        outbound=outbound,
        clock=system_clock,
    )
    answer = await endpoint.ask(Secret(secrets.token_urlsafe()), "access_token")
    if answer["active"]:
        raise VaultdError("It calls a token active that nobody issued.")
    return "introspection answers"


async def _published_keys(outbound: Outbound, client: ClientConfig) -> str:
    # Read, not only reached: a page that is no JWK Set refuses the client at every request.
    place = client.jwks_uri or client.jwks_file
    source = JwksSource(
        outbound=outbound,
        issuer=None,
        jwks_uri=client.jwks_uri,
        jwks_file=client.jwks_file,
        allow_private=client.allow_private_hosts,
    )
    try:
        usable = read_keys(await source.read())
    except (KeySourceFailed, OSError, ValueError, RecursionError) as error:
        raise VaultdError(f"{place} gives no JWK Set: {error}.") from error
    if not usable:
        raise VaultdError(f"{place} holds no key that a signature can be checked with.")
    return f"{len(usable)} keys at {place}"
