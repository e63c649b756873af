"""URLs: the vault's own, and the origins a token may go to. Plain http is for a loopback host only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import httpx

Origin = tuple[str, str, int]
"""Scheme, host and port (RFC 6454 §4)."""
_PORTS = {"https": 443, "http": 80}


def is_loopback(url: httpx.URL) -> bool:
    """Whether the host is this machine, by name or by address."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def check_secure(url: httpx.URL) -> None:
    """Raise `ValueError` unless what is sent there is encrypted on its way, or does not leave the machine."""
    if url.scheme == "https" and url.host:
        return
    if url.scheme != "http" or not is_loopback(url):
        raise ValueError(f"{url.scheme}://{url.host} is not https; plain http is accepted for a loopback host only.")


def vault_url(text: str) -> str:
    """The vault's base URL, without a slash at its end. Raises `ValueError`."""
    url = httpx.URL(text)
    check_secure(url)
    if url.userinfo or url.query or url.fragment:
        raise ValueError("The vault's URL has no user, query or fragment.")
    return str(url).rstrip("/")


def origin_of(url: httpx.URL) -> Origin:
    """The origin, its default port written out."""
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme, 0)


def origins_of(texts: Iterable[str]) -> frozenset[Origin]:
    """The origins of these URLs. Raises `ValueError` when there is none, or one that is not secure."""
    if isinstance(texts, str):
        raise TypeError("origins is a list of URLs")
    urls = [httpx.URL(text) for text in texts]
    for url in urls:
        check_secure(url)
    if not urls:
        raise ValueError("Name at least one origin that the token is meant for.")
    return frozenset(origin_of(url) for url in urls)


def trusts_environment(url: str) -> bool:
    """Whether proxies of the environment serve this URL: none stands between two programs of one machine."""
    return not is_loopback(httpx.URL(url))
