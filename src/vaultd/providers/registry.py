"""The configured providers, by name and by the APIs that their tokens are for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from vaultd.errors import InvalidTarget
from vaultd.providers.config import ProviderConfig
from vaultd.terms import ProviderName


@dataclass(frozen=True, slots=True)
class Provider:
    """One `[providers.X]` table under its name. `display_name` is how people know it."""

    name: ProviderName
    display_name: str
    config: ProviderConfig


class Providers:
    """All providers. Fixed after construction."""

    def __init__(self, *, configs: Mapping[str, ProviderConfig]) -> None:
        self._by_name = {
            name: Provider(ProviderName(name), config.display_name or name[:1].upper() + name[1:], config)
            for name, config in configs.items()
        }
        self._by_resource = _by_resource(self._by_name.values())

    def get(self, name: str) -> Provider:
        """The provider of this connection name. Raises `InvalidTarget`."""
        provider = self._by_name.get(name)
        if provider is None:
            raise InvalidTarget(reason="unknown_provider")
        return provider

    def by_resource(self, url: str) -> Provider:
        """The provider whose tokens are for this API (RFC 8707 §2).

        Raises:
            InvalidTarget: none lists it in its `resources`, or several do and none of them comes first.
        """
        found = self._by_resource.get(_normal(url), [])
        if not found:
            raise InvalidTarget(reason="unknown_resource")
        # A second app of a provider lists the same APIs; the provider itself is meant then.
        own = [provider for provider in found if provider.config.extends is None] or found
        if len(own) > 1:
            raise InvalidTarget(reason="ambiguous_resource")
        return own[0]

    def all(self) -> tuple[Provider, ...]:
        """Every provider, in the order of the configuration file."""
        return tuple(self._by_name.values())


def _by_resource(providers: Iterable[Provider]) -> dict[str, list[Provider]]:
    found: dict[str, list[Provider]] = {}
    for provider in providers:
        for resource in {_normal(url) for url in provider.config.resources}:
            found.setdefault(resource, []).append(provider)
    return found


def _normal(url: str) -> str:
    """RFC 3986 §6.2.2.1 and §6.2.3: scheme and host in any case, an empty path or a slash."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower(), path=parts.path or "/").geturl()
