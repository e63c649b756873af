"""Where a consent may lead its browser back to, by the configuration as it is at that moment (security B4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vaultd.clients.config import ClientConfig
from vaultd.connections.pending import Pending
from vaultd.errors import ConsentRefused


class ReturnPlaces:
    """The places that clients have registered, and those that the operator allows for all of them."""

    def __init__(
        self, *, public_url: str, configs: Mapping[str, ClientConfig], allowed_return_urls: Collection[str]
    ) -> None:
        self._configs = configs
        self._at_the_door = {f"{public_url}/connections", *allowed_return_urls}

    def check(self, waiting: Pending) -> None:
        """Raise `ConsentRefused` unless the place that a consent was begun with is still one of them.

        It was checked when the consent began. Since then the row was in the database, and the file may have changed.
        """
        client = self._configs.get(waiting.client_id or "")
        # Exact, character by character: nothing is normalised, so nothing can be disguised.
        if client is not None and waiting.redirect_uri in client.redirect_uris:
            return
        if client is not None and waiting.kind == "door" and waiting.redirect_uri in self._at_the_door:
            return
        raise ConsentRefused("This connection leads back to a place that is not allowed.", reason="redirect_uri")
