"""Where a `postgresql://` URL leads, read as the driver reads it, and whether the server there must prove itself.

A server that is not asked for its certificate may be anyone who stands in between: it answers "no TLS", asks for the
password in the clear, and then reads and changes everything that vaultd keeps.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from vaultd.config_types import is_loopback

DatabaseTls: TypeAlias = Literal["verified", "unverified"]
SCHEMES = ("postgresql://", "postgres://")
# `verify-ca` will not do: of a managed database's authority anyone may have a certificate, for a server of their own.
_VERIFIED = frozenset({"verify-full", "verify_full"})


def check_transport(url: str) -> None:
    """Let a URL pass that stays on this machine, or whose server proves its name. Raises `ValueError`.

    PGSSLMODE counts for nothing: the driver takes it only where the URL has no `sslmode`.
    """
    elsewhere = [host for host in hosts_of(url) if not _is_here(host)]
    if elsewhere and last_value(url, "sslmode") not in _VERIFIED:
        told = ", ".join(repr(host) for host in elsewhere)
        raise ValueError(
            f"leads over a network to {told}, and the server there need not prove itself; add"
            ' sslmode=verify-full and sslrootcert=/path/ca.pem (or sslrootcert=system), or write tls = "unverified" in'
            " [database]"
        )


def hosts_of(url: str) -> list[str]:
    """Every host that a URL names, folders of unix sockets among them. Raises `ValueError` where there is none."""
    listed = urlsplit(url).netloc.rpartition("@")[2]
    hosts = [unquote(_without_port(piece)) for piece in listed.split(",")] if listed else []
    for name in ("host", "hostaddr"):
        given = last_value(url, name)
        if given:
            hosts += [_without_port(piece) for piece in given.split(",")]
    if not hosts or not all(hosts):
        # Then the environment would say where, or a service file.
        raise ValueError("names no host; write postgresql://user@host/database, or ?host=/folder for a unix socket")
    return hosts


def last_value(url: str, name: str) -> str | None:
    """A parameter of the query; of several the last, as the driver takes it."""
    return parse_qs(urlsplit(url).query).get(name, [None])[-1]


def _without_port(piece: str) -> str:
    if piece.startswith("["):
        return piece[1:].partition("]")[0]
    return piece if piece.startswith("/") else piece.partition(":")[0]


def _is_here(host: str) -> bool:
    return host.startswith("/") or is_loopback(host.lower())
