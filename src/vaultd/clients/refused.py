"""Refusals that are counted together: of whoever is not proven to be a client, and of clients that ask too often."""

from __future__ import annotations

from dataclasses import replace

from vaultd.audit.events import Draft
from vaultd.audit.refusals import Refusals
from vaultd.clients.credentials import PresentedCredentials
from vaultd.clients.registry import Clients
from vaultd.errors import CannotOpen, InvalidClient, RequestRefused, SlowDown
from vaultd.limits import address_prefix


class RefusedClients:
    """Counts them (security A11)."""

    def __init__(self, *, clients: Clients, refusals: Refusals) -> None:
        self._clients = clients
        self._refusals = refusals

    async def count(
        self,
        draft: Draft,
        refusal: RequestRefused | CannotOpen,
        *,
        unverified: PresentedCredentials | None,
        ip: str | None,
    ) -> None:
        """Record one. `unverified` is what somebody presented who is not proven; None where nobody did, or they are.

        Raises:
            TemporarilyUnavailable: as `Refusals.record` does.
        """
        # What each of them asked for is neither told apart nor a stranger's to write down here.
        draft, answer = replace(draft, requested_scopes=None), None
        if unverified is not None:
            # A name that is not configured is made up, and a kind of its own for each would be a stranger's to fill
            # the log with.
            draft = replace(draft, client_id=self._clients.id_of(unverified.client_id))
            if isinstance(refusal, InvalidClient | SlowDown):
                # A8: a client that is unknown and a wrong secret are not told apart, by the time it takes either.
                answer = refusal.code
        await self._refusals.record(draft, address_prefix=address_prefix(ip), answer=answer)
