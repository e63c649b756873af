"""HTTP/1.1 as uvicorn speaks it, with an end to everything.

uvicorn's protocol on httptools takes a request line, headers and pipelined requests of any size, and waits for the
rest of them for ever. Here they are counted as the parser hands them over, before they are kept. What the parser keeps
for itself, such as half a header, is counted by the pieces in which it came, each at most as large as one read.

A request that comes whole costs a few assignments more than without. Time is looked at by one timer for each
connection that no request touches: it wakes up as often as the shortest limit, and sees by then what is over.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httptools
import structlog
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from vaultd.app.server import refusals
from vaultd.app.server.places import Places, Waiting
from vaultd.app.server.refusals import Refusal, Refused

_BETWEEN, _HEAD, _BODY, _OVER = range(4)
"""What comes next: a new request, more of its head, more of its body, or nothing that is looked at any more."""
_LINE = 4
"""What a header takes beside its name and value."""
_NEVER = math.inf


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `places` are shared by all of one server."""

    # Measured: with more than 30 names in its dictionary, an object is slower to read throughout.
    __slots__ = (
        "_came",
        "_head",
        "_limits",
        "_most",
        "_place",
        "_places",
        "_refusal",
        "_stage",
        "_timer",
        "_unread_since",
        "_unsent",
        "_until",
    )

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
        self._most = places.limits.head
        self.timeout_keep_alive = places.limits.idle_seconds
        self._stage = _HEAD
        self._came = 0
        """Bytes of the head or the body that comes, in the pieces before this one and in it."""
        self._head = 0
        """Bytes of the head, as far as they were handed over."""
        self._until = _NEVER
        self._place: Waiting | None = None
        self._refusal = refusals.MALFORMED
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._unread_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, if there is room."""
        super().connection_made(transport)
        if self._places.make_room(self.connections, self):
            self._wait(self._places.heads, self._limits.head_seconds)
            self._timer = self.loop.call_later(self._limits.shortest, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everything go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count, parse, and see whether it was too much."""
        if self._stage == _BETWEEN:
            self._stage = _HEAD
            self._came = len(data)
        else:
            self._came += len(data)
            if self._stage == _OVER:
                self._drop()
                return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing is upgraded here. The parser took the body, if there is one, for what comes after the upgrade;
            # read as requests, it would be whatever somebody put into it.
            self._stage = _OVER
            self._came = 0
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        else:
            if self._stage != _BETWEEN:
                self._check_rest()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        if self._stage == _BETWEEN:
            # Behind another request in one piece: how much of the piece is this one's, nobody says.
            self._stage = _HEAD
            self._came = 0
        self._head += len(url)
        if self._head > self._limits.target:
            self._stop(refusals.TARGET)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or drop a trailer: headers that come when their request is at work already would be believed.

        RFC 9110 §6.5.1: a trailer is merged into the headers only where its definition says that it may be.
        """
        self._head = head = self._head + len(name) + len(value) + _LINE
        if head > self._most:
            self._stop(refusals.HEAD)
        if self._stage == _BODY:
            return
        if len(self.headers) >= self._limits.headers:
            self._stop(refusals.COUNT)
        # What uvicorn does with it, written out: there is no cheaper way to do it for each header.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, or let it wait for the ones before it."""
        self._stage = _BODY
        self._came = self._head = 0
        if self._until != _NEVER:
            self._settle()
        if len(self.pipeline) >= self._limits.pipelined:
            self._stop(refusals.PIPELINE)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self._stage = _BETWEEN
        if self._until != _NEVER:
            self._settle()
        super().on_message_complete()
        if self.cycle.response_complete:
            # Answered before its end: the clock that was started with the answer was stopped by what came since.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Whoever waited for this answer with half of the next request has the whole time for the rest of it."""
        super().on_response_complete()
        if self._until != _NEVER and self._stage != _OVER:
            self._unset_keepalive_if_required()
            self._settle()
            self._check_rest()

    def resume_writing(self) -> None:
        """The peer reads."""
        self._unread_since = self.loop.time()
        super().resume_writing()

    def unused_since(self) -> float | None:
        """Of use is a request that is worked on, unless its sender does not read the answer."""
        if self._answering() and not self.flow.write_paused:
            return None
        timer = self.timeout_keep_alive_task
        return 0.0 if timer is None else timer.when()

    def give_up(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if len(self.tasks) >= self._limits.requests:
            app = refusals.busy
        super()._start_asgi_task(cycle, app)

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise Refused

    def _wait(self, place: Waiting, seconds: float) -> None:
        self._until = self.loop.time() + seconds
        if self._stage != _HEAD or not self._answering():
            self._place = place
            place[self] = None

    def _settle(self) -> None:
        self._until = _NEVER
        if self._place is not None:
            self._place.pop(self, None)
            self._place = None

    def _check_rest(self) -> None:
        """Something is missing still: of the head, or of the body."""
        limits, places = self._limits, self._places
        if self._stage == _HEAD:
            most, refusal, place, seconds = limits.head, refusals.HEAD, places.heads, limits.head_seconds
        else:
            most, refusal, place, seconds = limits.body, refusals.BODY, places.bodies, limits.body_seconds
        if self._came > most:
            self._refuse(refusal)
        elif self._until == _NEVER:
            self._wait(place, seconds)

    def _look(self) -> None:
        """See whether the peer takes too long to send or to read."""
        now, limits = self.loop.time(), self._limits
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._unread_since = now
        self._unsent = unsent
        if now - self._unread_since >= limits.write_seconds:
            self._tell("the answer is not read")
            self.give_up()
        elif now >= self._until:
            self._time_out(now)
        wait = min(limits.shortest, self._until - now) if self._until > now else limits.shortest
        self._timer = self.loop.call_later(wait, self._look)

    def _time_out(self, now: float) -> None:
        if self.flow.read_paused or self.pipeline or (self._stage == _HEAD and self._answering()):
            # It is our turn, not the peer's.
            self._until = now + self._limits.shortest
        elif self._stage == _OVER:
            self.give_up()
        elif self._stage == _HEAD and not self._came:
            # Nothing was asked, and an answer could be taken for one to the next request.
            self.transport.close()
        else:
            self._refuse(refusals.SLOW)

    def _refuse(self, refusal: Refusal) -> None:
        self._tell(refusal.reason)
        self._settle()
        if self._stage == _BODY:
            answerable = not self.cycle.response_started and not self.pipeline
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            answerable = not self._answering()
        if not answerable or self.transport.is_closing():
            self.give_up()
            return
        # RFC 9112 §9.6: closed at once, while the peer sends, the connection would lose the answer.
        self._stage = _OVER
        self.transport.write(refusal.answer())
        self.transport.write_eof()
        self._wait(self._places.heads, self._limits.linger_seconds)

    def _drop(self) -> None:
        """Take no more than a body from whoever goes on sending."""
        if self._came > self._limits.body:
            self.give_up()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _tell(self, reason: str) -> None:
        structlog.stdlib.get_logger("vaultd.server").info("request cut off", reason=reason)
