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
        answered = all(one.state == "ok" for one in found)
        return [*found, *_scopes(provider.config, answered=answered)]
    finally:
        await outbound.aclose()


def _scopes(config: ProviderConfig, *, answered: bool) -> Iterator[Finding]:
    """What vaultd asks for itself; where that is not known, what to write, unless there is worse to mend."""
    if config.scope_rules.own:
        text = f"{config.scope_rules.own}: vaultd asks for these itself, and they count against no client's list"
        yield Finding("own scopes", "ok", text)
    elif answered and config.account_source == "userinfo" and config.scopes_of_app == "never":
        identity = "if userinfo_endpoint refuses a token, write the scope that it needs into identity_scopes"
        renewal = "if no refresh token comes, the one that brings it into renewal_scopes"
        yield Finding("own scopes", "ok", f"none are known: {identity}; {renewal}")


def _addresses(config: ProviderConfig) -> Iterator[tuple[str, str]]:
    for key in ("authorization_endpoint", "token_endpoint", "refresh_endpoint", "userinfo_endpoint"):
        url = getattr(config, key)
        if url is not None:
            yield key, url
    with suppress(ProviderRefused):
        yield "revocation_endpoint", endpoint_of(config)
    if config.lookup is not None:
        yield "lookup", config.lookup.endpoint
