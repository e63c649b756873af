"""Asking a provider's addresses for an answer, without saying who asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from vaultd.cli.checks import Finding, reached, tried
from vaultd.errors import ProviderRefused
from vaultd.outbound import Outbound
from vaultd.providers.config import ProviderConfig
from vaultd.providers.registry import Provider
from vaultd.providers.revocation import endpoint_of


async def check_endpoints(provider: Provider) -> list[Finding]:
    """One finding for each address; the gaps in them are filled."""
    outbound = Outbound()
    private = provider.config.allow_private_hosts
    try:
        found = [await tried(what, reached(outbound, url, private)) for what, url in _addresses(provider.config)]
        return [*found, *_scopes(provider.config)]
    finally:
        await outbound.aclose()


def _scopes(config: ProviderConfig) -> Iterator[Finding]:
    """What vaultd asks for whatever the clients' lists say, or what to write if that is not known."""
    if config.scope_rules.own:
        yield Finding("own scopes", "ok", f"{config.scope_rules.own}: asked for besides, and counted against no list")
    elif config.account_source == "userinfo" and not config.scopes_of_app:
        text = "none are known: if userinfo refuses a token, write the scope that it wants into identity_scopes"
        yield Finding("own scopes", "ok", text)


def _addresses(config: ProviderConfig) -> Iterator[tuple[str, str]]:
    for key in ("authorization_endpoint", "token_endpoint", "refresh_endpoint", "userinfo_endpoint"):
        url = getattr(config, key)
        if url is not None:
            yield key, url
    with suppress(ProviderRefused):
        yield "revocation_endpoint", endpoint_of(config)
    if config.lookup is not None:
        yield "lookup", config.lookup.endpoint
