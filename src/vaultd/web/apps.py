"""The clients as their users know them: apps that lead people here, and agents that use what is connected."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote, urlencode

from vaultd.clients.registry import Client, Clients
from vaultd.providers.registry import Provider, Providers
from vaultd.sizes import LONGEST_LINK_SCOPE


class Apps:
    """What the pages say of clients. `default_client` is the one meant by a link that names none."""

    def __init__(self, *, clients: Clients, providers: Providers, default_client: str | None) -> None:
        self._clients = clients
        self._providers = providers
        self._default = clients.get(default_client) if default_client else None

    def name(self, client_id: str | None) -> str | None:
        """How people know a client; None for one that is not configured any more."""
        client = self._clients.get(client_id) if client_id else None
        return client.display_name if client else None

    def provider_name(self, name: str | None) -> str | None:
        """How people know a provider; one that is not configured any more is called as it was."""
        shown: dict[str, str] = {provider.name: provider.display_name for provider in self._providers.all()}
        return shown.get(name, name) if name else None

    def using(self, provider: str) -> list[Client]:
        """Those that may use a provider at all."""
        return [client for client in self._clients.all() if provider in client.config.providers]

    def connectable(self) -> list[tuple[Provider, Client]]:
        """The providers that a user may connect from the page, each with the app that then asks for it.

        That is the default client where it has the provider, otherwise the first one that has it and leads people
        here itself, which its `redirect_uris` show. A client without any is a program in the background: it lives on
        what people connect for others, and its providers are not advertised to everybody who signs in.
        """
        leading = [client for client in self._clients.all() if client.config.redirect_uris]
        asking = [self._default, *leading] if self._default else leading
        found = []
        for provider in self._providers.all():
            first = next((client for client in asking if provider.name in client.config.providers), None)
            if first is not None:
                found.append((provider, first))
        return found

    def link(self, provider: Provider, client: Client, *, scopes: Collection[str] = (), account: str = "") -> str:
        """The door for this provider and app; to reconnect, with the scopes and the account that there were."""
        # What the policy does not allow any more would be refused at the door.
        kept = provider.config.scope_rules.common(scopes, client.config.providers[provider.name].scopes)
        hint = account if "login_hint" in provider.config.allowed_authorization_params else ""
        members = {
            "client_id": client.id if client is not self._default else "",
            # A longer one the door would not take; without it the person is asked for the usual ones.
            "scope": scope if len(scope := " ".join(sorted(kept))) <= LONGEST_LINK_SCOPE else "",
            "login_hint": hint,
        }
        query = urlencode({name: value for name, value in members.items() if value})
        return f"/auth/connect/{quote(provider.name, safe='')}" + (f"?{query}" if query else "")
