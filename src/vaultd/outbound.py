"""The one HTTP client with which vaultd calls other servers (security C1).

A name is resolved once, every address it stands for is checked, and the connection is made to a checked address,
so that a name cannot mean one thing when it is checked and another when it is called. TLS still proves the name,
and `Host` carries it. Calls to hosts that the operator named as private go through a connection pool of their own:
a connection opened with that permission is never reused for a call without it.

Redirects are not followed, cookies are not kept, and no proxy or `.netrc` of the environment is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json as jsonlib
import math
import re
import socket
import ssl
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, zip_longest
from typing import NoReturn
from weakref import WeakValueDictionary

import httpcore
import httpx

from vaultd.errors import AddressRefused, AnswerUnusable, OutboundFailed
from vaultd.terms import Secret

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses that a host name stands for. Raises `OSError` or `UnicodeError` when there are none."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_CALLS_PER_HOST = 64
"""At the same time: a host that hangs holds up its own callers and nobody else's (security C8)."""
_CALLS_PER_LANE = 16
"""Of those that somebody causes who is not to be in the way of anybody else."""
_MOST_IN_LANE = 128
"""With those that wait for a place: each of them holds up a request to us, of which there are so many only."""
_IDLE_SECONDS = 4.0
"""Servers close idle connections after 5 s or more; letting go first, no request meets a closing connection."""
_ADDRESSES_TRIED = 4
_LOOKUPS_AT_ONCE = 16

_CHARSET = re.compile(r";\s*charset=\"?([A-Za-z0-9-]+)", re.IGNORECASE)
_ONE_BYTE_EACH = frozenset({"iso-8859-1", "iso-8859-15", "windows-1252"})

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_CLOUD_OWN = (
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's machine agent, on an address that looks public
    ipaddress.IPv4Network("192.0.0.0/24"),  # RFC 6890 §2.2.2; Oracle Cloud's metadata is in there
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status. Header names are in lower case; `body` is decompressed."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> object:
        """The body read as JSON, whatever its content type says. Raises `OutboundFailed`."""
        try:
            parsed: object = jsonlib.loads(self._text(), parse_constant=_no_such_json)
        except (ValueError, RecursionError):
            # The parser's own error carries the whole body, and a token may be in it.
            raise OutboundFailed(detail=f"status {self.status}, and the body is not JSON") from None
        return parsed

    def _text(self) -> str | bytes:
        """RFC 8259 §8.1 has UTF-8 alone and no charset; some servers name an older one, and mean it."""
        try:
            self.body.decode()
        except UnicodeDecodeError:
            charset = _CHARSET.search(self.headers.get("content-type", ""))
            if charset is not None and charset[1].lower() in _ONE_BYTE_EACH:
                return self.body.decode(charset[1])
        return self.body


def check_address(text: str) -> None:
    """Let only an address on the public internet pass.

    Raises:
        AddressRefused: loopback, private, link-local, multicast, reserved, or a cloud's metadata service.
    """
    address = _inner(ipaddress.ip_address(text))
    if isinstance(address, ipaddress.IPv4Address):
        public = address.is_global and not (address.is_multicast or address.is_reserved)
        public = public and not any(address in network for network in _CLOUD_OWN)
    else:
        # 6to4 carries an IPv4 address of anyone's choice; Teredo is not global.
        public = address in _GLOBAL_UNICAST and address.is_global and address.sixtofour is None
    if not public:
        raise AddressRefused(detail=f"{text} is not a public address")


class _Place:
    """Where calls to one host wait for their turn: `at_once` of them have it, and there are `most` in all."""

    def __init__(self, at_once: int, *, most: float) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._most = most
        self._here = 0

    @property
    def full(self) -> bool:
        """Whether nobody else should come."""
        return self._here >= self._most

    async def __aenter__(self) -> None:
        self._here += 1
        try:
            await self._turns.acquire()
        except BaseException:
            self._here -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()
        self._here -= 1


class Outbound:
    """Sends requests. Times are in seconds, `max_bytes` counts the body after decompression."""

    def __init__(
        self,
        *,
        connect_timeout: float = 3.0,
        total_timeout: float = 10.0,
        max_bytes: int = 1 << 20,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._total_timeout = total_timeout
        self._max_bytes = max_bytes
        self._timeouts = httpx.Timeout(total_timeout, connect=connect_timeout).as_dict()
        self._threads = ThreadPoolExecutor(max_workers=_LOOKUPS_AT_ONCE, thread_name_prefix="resolve")
        tls = ssl_context or httpx.create_ssl_context()
        resolve = resolve or self._look_up
        self._public = _Transport(_Backend(resolve=resolve, check=check_address), tls)
        self._named = _Transport(_Backend(resolve=resolve, check=_accept), tls)
        self._places: WeakValueDictionary[str, _Place] = WeakValueDictionary()

    async def request(
        self,
        method: str,
        url: str,
        *,
        allow_private: Collection[str] = (),
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json: object | None = None,
        basic: tuple[str, Secret] | None = None,
        lane: str = "",
    ) -> Reply:
        """Send one request and read its whole answer.

        `allow_private` names the hosts, as the URL writes them, that may have any address and may be called over
        plain http. `basic` is a user and password for RFC 7617, sent as they are. Calls of one `lane` to a host wait
        for each other, and never for those of another.

        Raises:
            AddressRefused: the URL is not https, or an address of its host is not one that we call.
            OutboundFailed: there was no whole answer in time, it is too large, or too many calls of this lane wait.
        """
        target, named = _checked_url(url, allow_private)
        place = self._place(target, lane)
        if place.full:
            raise OutboundFailed(detail=f"{target.host}: too many calls wait")
        try:
            request = httpx.Request(
                method,
                target,
                headers=_headers(headers, basic),
                data=None if form is None else dict(form),
                json=json,
                extensions={"timeout": self._timeouts},
            )
            async with asyncio.timeout(self._total_timeout), place:
                return await self._send(self._named if named else self._public, request)
        except TimeoutError:
            raise OutboundFailed(detail=f"{target.host}: no answer in {self._total_timeout} s") from None
        except httpx.ConnectError as error:
            raise OutboundFailed(detail=f"{target.host}: {error}") from None
        except (httpx.HTTPError, UnicodeError) as error:
            # Its text may quote what was sent or received.
            raise OutboundFailed(detail=f"{target.host}: {type(error).__name__}") from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._public.aclose()
        await self._named.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _place(self, target: httpx.URL, lane: str) -> _Place:
        # With the port: two servers of one machine are two.
        host = str(target.netloc, "ascii")
        if lane:
            return self._places.setdefault(f"{host} {lane}", _Place(_CALLS_PER_LANE, most=_MOST_IN_LANE))
        return self._places.setdefault(host, _Place(_CALLS_PER_HOST, most=math.inf))

    async def _send(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Reply:
        response = await transport.handle_async_request(request)
        try:
            body = await self._read(response)
        finally:
            await response.aclose()
        return Reply(status=response.status_code, headers=dict(response.headers.items()), body=body)

    async def _read(self, response: httpx.Response) -> bytes:
        decode = _decoder(response.headers.get("content-encoding", ""))
        body = bytearray()
        received = 0
        async for piece in response.aiter_raw():
            received += len(piece)
            body += decode.feed(piece, self._max_bytes + 1 - len(body))
            if max(received, len(body)) > self._max_bytes:
                raise AnswerUnusable(detail=f"the answer is larger than {self._max_bytes} bytes")
        if received:
            decode.check_end()
        return bytes(body)

    async def _look_up(self, host: str, port: int) -> list[str]:
        # Threads of its own: a name server that hangs must not hold up other work of the process.
        find = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, find)
        return [str(entry[4][0]) for entry in found]


class _Plain:
    def feed(self, piece: bytes, room: int) -> bytes:
        return piece[:room]

    def check_end(self) -> None:
        return


class _Gzip:
    """Never inflates more than there is room for, however little was sent."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def feed(self, piece: bytes, room: int) -> bytes:
        try:
            return self._inflate.decompress(piece, room)
        except zlib.error:
            raise AnswerUnusable(detail="the answer is not the gzip it says it is") from None

    def check_end(self) -> None:
        if not self._inflate.eof:
            raise AnswerUnusable(detail="the answer ends in the middle of its gzip")


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's own, over a pool whose connections are made by `backend`."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        # httpx has no public way to hand a network backend to its pool.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,  # bounded per host instead, see _CALLS_PER_HOST
            max_keepalive_connections=_CALLS_PER_HOST,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=backend,
        )


class _Backend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked after the one time that their name was resolved."""

    def __init__(self, *, resolve: Resolve, check: Callable[[str], None]) -> None:
        self._resolve = resolve
        self._check = check
        self._connect = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name and meaning are httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses(host, port)
                return await self._first(addresses, port, timeout, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = [host] if _is_address(host) else await self._resolve(host, port)
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise httpcore.ConnectError("the name has no address")
        for address in found:
            # One bad address among good ones is an attempt, not an accident: none of them is used.
            self._check(address)
        return _taking_turns(found)[:_ADDRESSES_TRIED]

    async def _first(
        self,
        addresses: Sequence[str],
        port: int,
        seconds: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        each = None if seconds is None else seconds / len(addresses)
        failure: Exception = httpcore.ConnectError()
        for address in addresses:
            try:
                return await self._connect.connect_tcp(address, port, each, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _checked_url(url: str, allow_private: Collection[str]) -> tuple[httpx.URL, bool]:
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        raise AddressRefused(detail="not a URL") from None
    named = target.host in {host.lower().strip("[]") for host in allow_private}
    if not target.host or target.scheme not in (("https", "http") if named else ("https",)):
        raise AddressRefused(detail=f"{target.host or 'a URL without a host'} is called over https only")
    return target, named


def _headers(headers: Mapping[str, str] | None, basic: tuple[str, Secret] | None) -> httpx.Headers:
    # GitHub refuses requests without a User-Agent. Only gzip is asked for, since only gzip is read.
    merged = httpx.Headers({"user-agent": "vaultd", **(headers or {}), "accept-encoding": "gzip"})
    if basic is not None:
        user, password = basic
        merged["authorization"] = "Basic " + b64encode(f"{user}:{password.reveal()}".encode()).decode()
    return merged


def _decoder(content_encoding: str) -> _Plain | _Gzip:
    match content_encoding.strip().lower():
        # The last ones are no codings (RFC 9110 §8.4.1), and what some servers write where there is none.
        case "" | "identity" | "none" | "utf-8" | "utf8" | "binary" | "8bit":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gzip()
        case _:
            raise AnswerUnusable(detail="the answer has a content encoding that was not asked for")


def _inner(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 one only wraps: mapped, or behind NAT64 (RFC 6052 §2.1)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _taking_turns(addresses: Sequence[str]) -> list[str]:
    """Without doubles, the two families alternating: a broken IPv6 route costs one try and not all of them."""
    unique = list(dict.fromkeys(addresses))
    first = [address for address in unique if (":" in address) == (":" in unique[0])]
    second = [address for address in unique if address not in first]
    return [address for address in chain.from_iterable(zip_longest(first, second)) if address is not None]


def _accept(_address: str) -> None:
    """Any address will do: the operator named this host."""


def _no_such_json(_constant: str) -> NoReturn:
    raise ValueError("RFC 8259 §6 has no NaN and no Infinity")
