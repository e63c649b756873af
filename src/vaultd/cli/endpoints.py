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
        return [await tried(what, reached(outbound, url, private)) for what, url in _addresses(provider.config)]
    finally:
        await outbound.aclose()


def _addresses(config: ProviderConfig) -> Iterator[tuple[str, str]]:
    for key in ("authorization_endpoint", "token_endpoint", "refresh_endpoint", "userinfo_endpoint"):
        url = getattr(config, key)
        if url is not None:
            yield key, url
    with suppress(ProviderRefused):
        yield "revocation_endpoint", endpoint_of(config)
    if config.lookup is not None:
        yield "lookup", config.lookup.endpoint
