"""A connection that ends when its peer takes too long, to send or to read.

Time is looked at by one timer for each connection that no request touches: it wakes up as often as the shortest limit,
and sees by then what is over.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sized
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from vaultd.app.server import refusals
from vaultd.app.server.places import Places, Waiting
from vaultd.app.server.refusals import Refusal

BETWEEN, HEAD, BODY, OVER = range(4)
"""What comes next: a new request, more of its head, more of its body, or nothing that is looked at any more."""
NEVER = math.inf


class _Flow(FlowControl):
    """Reads nothing more while requests wait for their turn, so that what waits came in one read."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Read on, unless a request waits; the app before it asks for more, though its own is here whole."""
        if self.read_paused and not self._pipeline:
            super().resume_reading()


class TimedProtocol(HttpToolsProtocol):
    """One connection. `places` are shared by all of one server."""

    # Measured: with more than 30 names in its dictionary, an object is slower to read throughout.
    __slots__ = ("_came", "_limits", "_place", "_places", "_stage", "_timer", "_unread_since", "_unsent", "_until")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        places: Places,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._places = places
        self._limits = places.limits
        self.timeout_keep_alive = places.limits.idle_seconds
        self._stage = HEAD
        self._came = 0
        """Bytes of the head or the body that comes, in the pieces before this one and in it."""
        self._until = NEVER
        self._place: Waiting | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._unread_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, if there is room."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        if self._places.make_room(self.connections, self, now=self.loop.time()):
            self._wait(self._places.heads, self._limits.head_seconds)
            self._timer = self.loop.call_later(self._limits.shortest, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everything go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._settle()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """The peer reads."""
        self._unread_since = self.loop.time()
        super().resume_writing()

    def unused_since(self) -> float | None:
        """Of use is a request that is worked on, unless its sender does not read the answer, or one that comes."""
        if self._place is not None or (self._answering() and not self.flow.write_paused):
            return None
        timer = self.timeout_keep_alive_task
        return 0.0 if timer is None else timer.when()

    def give_up(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _wait(self, place: Waiting, seconds: float) -> None:
        now = self.loop.time()
        self._until = now + seconds
        if self._stage != HEAD or not self._answering():
            self._place = place
            place[self] = now

    def _settle(self) -> None:
        self._until = NEVER
        if self._place is not None:
            self._place.pop(self, None)
            self._place = None

    def _look(self) -> None:
        """See whether the peer takes too long to send or to read."""
        now, limits = self.loop.time(), self._limits
        unsent = self.transport.get_write_buffer_size()
        if not self._unsent or unsent < self._unsent:
            self._unread_since = now
        self._unsent = unsent
        if now - self._unread_since >= limits.write_seconds:
            self._places.tell_cut_off("the answer is not read")
            self.give_up()
        elif now >= self._until:
            self._time_out(now)
        wait = min(limits.shortest, self._until - now) if self._until > now else limits.shortest
        self._timer = self.loop.call_later(wait, self._look)

    def _time_out(self, now: float) -> None:
        if self._stage == OVER:
            self.give_up()
        elif self.flow.read_paused or self.pipeline or (self._stage == HEAD and self._answering()):
            # It is our turn, not the peer's.
            self._until = now + self._limits.shortest
        elif self._stage == HEAD and not self._came:
            # Nothing was asked, and an answer could be taken for one to the next request.
            self.transport.close()
        else:
            self._refuse(refusals.SLOW)

    def _refuse(self, refusal: Refusal) -> None:
        self._places.tell_cut_off(refusal.reason)
        self._settle()
        in_body = self._stage == BODY
        answered = in_body and self.cycle.response_complete
        answerable = not (self.cycle.response_started or self.pipeline) if in_body else not self._answering()
        if in_body:
            self.cycle.disconnected = True
            # Nobody reads it, and nobody would read on for more of it.
            self.cycle.body = bytearray()
            self.cycle.message_event.set()
        if not (answerable or answered) or self.transport.is_closing():
            self.give_up()
            return
        # RFC 9112 §9.6: closed at once, while the peer sends, the connection would lose the answer.
        self._stage = OVER
        self._came = 0
        if not answered:
            self.transport.write(refusal.answer())
        self.transport.write_eof()
        self.flow.resume_reading()
        self._wait(self._places.heads, self._limits.linger_seconds)

    def _answering(self) -> bool:
        # It is None before the first request, whatever uvicorn says of its type.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete
