"""The configured providers, by name and by the APIs that their tokens are for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from vaultd.config_types import split_url
from vaultd.errors import InvalidTarget, SettingsNeeded
from vaultd.providers.config import ProviderConfig
from vaultd.terms import ProviderName

Origin: TypeAlias = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True)
class Provider:
    """One `[providers.X]` table under its name. `display_name` is how people know it."""

    name: ProviderName
    display_name: str
    config: ProviderConfig

    def settings_from(self, given: Mapping[str, str]) -> dict[str, str]:
        """The settings of a connection to be made: what the operator fixed, what was given, or a default.

        Raises:
            SettingsNeeded: one is missing, is not what its pattern asks for, or was fixed otherwise.
        """
        config, settings = self.config, {}
        for name, setting in config.connection_settings.items():
            value = config.fixed_settings.get(name) or given.get(name) or setting.default
            if value is None:
                raise SettingsNeeded(f"{name} is missing. It looks like this: {setting.example}.")
            if given.get(name) not in {None, "", value} or not re.fullmatch(setting.pattern, value):
                raise SettingsNeeded(f"{name} is not accepted. It looks like this: {setting.example}.")
            settings[name] = value
        try:
            self.at(settings)
        except InvalidTarget as error:
            raise SettingsNeeded(f"{error.detail}.") from None
        return settings

    def at(self, settings: Mapping[str, Any]) -> Provider:
        """This provider with the gaps in its addresses filled for one connection (security C0).

        `settings` may hold more: a connection's metadata will do, where `settings_from` put them.

        Raises:
            InvalidTarget: a setting is missing, or one that is accepted no longer.
        """
        config = self.config
        if not config.connection_settings:
            return self
        values = {
            name: str(settings.get(name) or config.fixed_settings.get(name) or setting.default or "")
            for name, setting in config.connection_settings.items()
        }
        try:
            return replace(self, config=config.filled(values))
        except ValueError as error:
            raise InvalidTarget(reason="connection_settings", detail=str(error)) from None


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
            InvalidTarget: none lists its origin in its `resources`, or several do and none of them comes first.
        """
        found = self._by_resource.get(_origin(url), [])
        if not found:
            raise InvalidTarget(reason="unknown_resource")
        # A second app of a provider lists the same APIs; the provider itself is meant then.
        own = [provider for provider in found if provider.config.extends is None] or found
        if len(own) > 1:
            raise InvalidTarget(reason="ambiguous_resource")
        return own[0]

    def strategy(self, provider: Provider) -> str:
        """What kind of provider it is: of several apps at GitHub, whatever each is called here, `github`."""
        name = str(provider.name)
        # One may extend the catalogue's entry of its own name; a circle is refused when the file is read.
        while (parent := self._extended(name)) not in {None, name}:
            name = str(parent)
        return name

    def of_one_app(self, provider: Provider) -> tuple[Provider, ...]:
        """All tables of this one's app, itself among them: at the provider they have their grants in common.

        Tables that take different tokens out of one answer, as Slack's for the bot and for the person, have not.
        """
        app, kind = provider.config, self.strategy(provider)
        return tuple(
            other
            for other in self.all()
            if (other.config.app, other.config.token_path) == (app.app, app.token_path)
            and (other.config.token_endpoint == app.token_endpoint or self.strategy(other) == kind)
        )

    def told_together(self, provider: Provider) -> tuple[Provider, ...]:
        """All tables whose grants a notice to this one's app may name, itself among them: an app has one address.

        Tables of different tokens too, since a notice names whose they are.
        """
        own = provider.config
        return tuple(
            other
            for other in self.all()
            if (other.config.app, other.config.token_endpoint) == (own.app, own.token_endpoint)
        )

    def _extended(self, name: str) -> str | None:
        found = self._by_name.get(name)
        return found.config.extends if found else None

    def all(self) -> tuple[Provider, ...]:
        """Every provider, in the order of the configuration file."""
        return tuple(self._by_name.values())


def _by_resource(providers: Iterable[Provider]) -> dict[Origin, list[Provider]]:
    found: dict[Origin, list[Provider]] = {}
    for provider in providers:
        for resource in {_origin(url) for url in provider.config.resources}:
            found.setdefault(resource, []).append(provider)
    return found


def _origin(url: str) -> Origin:
    """Scheme, host in lower case, and port, a default one left out (RFC 6454 §4).

    Nothing else is made equal: a host with a dot at its end or in another alphabet is another host. An international
    name is written in ASCII, as in every URI (RFC 3986 §3.2.2).

    Raises:
        InvalidTarget: it is not an absolute URI, has a fragment (RFC 8707 §2), or a user in it.
    """
    try:
        parts = split_url(url)
    except ValueError:
        raise InvalidTarget(reason="malformed_resource") from None
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", None if parts.port == default else parts.port
