"""HTTP/1.1 as uvicorn speaks it, with an end to everything.

uvicorn's protocol on httptools takes a request line, headers and pipelined requests of any size, and waits for the
rest of them for ever. Here they are counted as the parser hands them over, before they are kept. What the parser keeps
for itself, such as half a header, is counted by the pieces in which it came, each at most as large as one read.

A request that comes whole costs a few assignments more than without.
"""

from __future__ import annotations

from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from vaultd.app.server import refusals
from vaultd.app.server.places import Places
from vaultd.app.server.refusals import Refusal, Refused
from vaultd.app.server.timed import BETWEEN, BODY, HEAD, NEVER, OVER, TimedProtocol

_LINE = 4
"""What a header takes beside its name and value."""
_CONNECT = b"CONNECT"
_BUSY = cast("ASGI3Application", refusals.busy)


class BoundedProtocol(TimedProtocol):
    """One connection. `places` are shared by all of one server."""

    __slots__ = ("_head", "_most", "_refusal")

    def __init__(self, *, places: Places, **given: Any) -> None:
        super().__init__(places=places, **given)
        self._head = 0
        """Bytes of the head, as far as they were handed over."""
        self._most = places.limits.head
        self._refusal = refusals.MALFORMED

    def data_received(self, data: bytes) -> None:
        """Count, parse, and see whether it was too much."""
        if self._stage == BETWEEN:
            self._stage = HEAD
            self._came = len(data)
        else:
            self._came += len(data)
            if self._stage == OVER:
                self._drop()
                return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._do_not_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        else:
            if self._stage != BETWEEN:
                self._check_rest()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        if self._stage == BETWEEN:
            # Behind another request in one piece: how much of the piece is this one's, nobody says.
            self._stage = HEAD
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
        if self._stage == BODY:
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
        if self.parser.should_upgrade() and self.parser.get_method() != _CONNECT:
            # Not started: it comes again, without what it asks for.
            return
        if len(self.pipeline) >= self._limits.pipelined:
            self._stop(refusals.PIPELINE)
        if self.timeout_keep_alive_task is not None:
            # Started within this piece, with the end of a body whose answer had gone before it.
            self._unset_keepalive_if_required()
        super().on_headers_complete()
        self._stage = BODY
        self._came = self._head = 0
        if self._until != NEVER:
            self._settle()

    def on_message_complete(self) -> None:
        """The whole request is here, with its trailers."""
        if self._stage == HEAD:
            return
        self._stage = BETWEEN
        self._head = 0
        if self._until != NEVER:
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
        if self.flow.read_paused:
            # Asked for before the next one was taken from those that wait.
            self.flow.resume_reading()
        if self._until != NEVER and self._stage != OVER:
            self._unset_keepalive_if_required()
            self._settle()
            self._check_rest()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if len(self.tasks) >= self._limits.requests:
            app = _BUSY
        super()._start_asgi_task(cycle, app)

    def _do_not_upgrade(self, rest: bytes) -> None:
        """Serve a request as if it had not asked for another protocol (RFC 9110 §7.8).

        The parser stopped behind its headers, and takes the body, if there is one, for the other protocol: read on as
        requests, it would be whatever somebody put into it. So the whole head is parsed anew, by a new parser, but for
        the header that asks.
        """
        self._came = self._head = 0
        if self._stage != HEAD:
            # CONNECT, which has no body (RFC 9110 §9.3.6); nothing that follows it is looked at.
            self._stage = OVER
            self.cycle.keep_alive = False
            return
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        lines = b"".join(b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn has it.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(line + lines + b"\r\n" + rest)

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise Refused

    def _check_rest(self) -> None:
        """Something is missing still: of the head, or of the body."""
        limits, places = self._limits, self._places
        if self._stage == HEAD:
            most, refusal, place, seconds = limits.head, refusals.HEAD, places.heads, limits.head_seconds
        else:
            most, refusal, place, seconds = limits.body, refusals.BODY, places.bodies, limits.body_seconds
        if self._came > most:
            self._refuse(refusal)
        elif self._until == NEVER:
            self._wait(place, seconds)

    def _drop(self) -> None:
        """Take no more than a body from whoever goes on sending."""
        if self._came > self._limits.body:
            self.give_up()
