"""How often a client may ask, in all and for one user (security A10)."""

from __future__ import annotations

from vaultd.clients.config import LimitsConfig
from vaultd.clients.registry import Client
from vaultd.limits import Buckets, Rate
from vaultd.terms import Clock, Subject

SUBJECTS = 50_000
"""Pairs of client and user that one process remembers; some 20 MB when all are in use."""


class ClientLimits:
    """The `limits` and `subject_limits` of the configured clients. A client without them is not limited.

    `clients` is how many there are, so that each has a place of its own.
    """

    def __init__(self, *, clock: Clock, clients: int, subjects: int = SUBJECTS) -> None:
        self._clients = Buckets(clock=clock, capacity=max(clients, 1), reason="client_limit")
        self._subjects = Buckets(clock=clock, capacity=subjects, reason="subject_limit")

    def take(self, client: Client) -> None:
        """Count one request of a client that is proven. Raises `SlowDown`."""
        _take(self._clients, client.id, client.config.limits)

    def take_for(self, client: Client, subject: Subject) -> None:
        """Count one request of a client for this user, who must be proven by now. Raises `SlowDown`."""
        # Neither a client id nor an issuer's URL has a space in it.
        _take(self._subjects, f"{client.id} {subject.issuer} {subject.sub}", client.config.subject_limits)


def _take(buckets: Buckets, key: str, limits: LimitsConfig | None) -> None:
    if limits is not None:
        buckets.take(key, Rate(per_second=limits.per_second, burst=limits.burst))
