"""What one connection may send before anybody knows who sends it, and how many connections there may be."""

from __future__ import annotations

import resource
from dataclasses import dataclass

_FILES_FOR_CONNECTIONS = 2
"""One in so many of the files that the process may open: the database, the issuers and the providers need theirs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are in bytes, times in seconds. docs/limits.md explains them to operators.

    `head` is the request line and all header lines together. `body` is what a body may take on the wire with all of
    its framing; how much of it a route reads is less (`web/bounded.py`, `web/token/arrival.py`). `head_seconds` count
    from the opening of a connection, and from the first byte of each later request; `body_seconds` from the end of the
    headers, whatever has come since; `write_seconds` from when the peer stops reading. `idle_seconds` is between two
    requests, `linger_seconds` after a refusal that the peer may not have read yet. `pipelined` requests may wait for
    their turn on one connection, and `requests` be worked on in all.
    """

    head: int = 64 * 1024
    headers: int = 100
    target: int = 16 * 1024
    body: int = 1024 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: int = 5
    write_seconds: float = 30.0
    linger_seconds: float = 2.0
    pipelined: int = 4
    connections: int = 1024
    requests: int = 1024

    @property
    def shortest(self) -> float:
        """The shortest of the times."""
        return min(self.head_seconds, self.body_seconds, self.idle_seconds, self.write_seconds, self.linger_seconds)

    def places(self) -> int:
        """How many connections fit, as the system lets this process have them."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return self.connections if files < 0 else max(1, min(self.connections, files // _FILES_FOR_CONNECTIONS))
