"""What is answered before any app sees the request, and why."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from vaultd.errors import TemporarilyUnavailable
from vaultd.web.wire import note, oauth_error


@dataclass(frozen=True, slots=True)
class Refusal:
    """`reason` is for the log; `status` is what the peer gets where it can be answered at all."""

    status: HTTPStatus
    reason: str

    def answer(self) -> bytes:
        """The whole of it, as it is sent."""
        text = self.status.phrase.encode()
        return (
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"cache-control: no-store\r\nconnection: close\r\n\r\n%s" % (self.status, text, len(text), text)
        )


MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "not HTTP")
TARGET = Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "the request target is too long")  # RFC 9110 §15.5.15
HEAD = Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large")  # RFC 6585 §5
COUNT = Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many headers")
BODY = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")  # RFC 9110 §15.5.14
PIPELINE = Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many requests wait on one connection")
SLOW = Refusal(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")  # RFC 9110 §15.5.9


class Refused(Exception):
    """Stops the parser, which hands on that something stopped it."""


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for the app, which has as many requests as it can have."""
    error = TemporarilyUnavailable(retry_after=1, reason="busy")
    note(error, scope["path"])
    await oauth_error(error)(scope, receive, send)
