"""What the tables of the configuration file are made of: one base class, and the checked values in them.

A check raises `ValueError` with a sentence that says what is wrong and what to write. It never repeats a value
that may be secret. Rules between two keys stand at the key to be mended, and a model declares that key after those
that its rule looks at: pydantic hands a validator the keys that were valid so far, so that a mistake in one key
hides no mistake in another.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from vaultd.sizes import LONGEST_SCOPE, MOST_SCOPES
from vaultd.terms import Secret

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]+\]?")
_NATIVE = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:/[!-~]*")  # RFC 8252 §7.1

_LONGEST_NAME = 60

HASH_PREFIX = "sha256:"
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures that are verified with a public key (RFC 7518 §3.1); the last two are one, before and since RFC 9864."""


class ConfigTable(BaseModel):
    """A table of the file: immutable, and a key it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)


def split_url(text: str) -> SplitResult:
    """Take an absolute URL apart.

    Raises:
        ValueError: it has no scheme or host, or holds what only serves to deceive.
    """
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("has characters that no URL has; write an absolute URL, percent-encoded")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL; write one like https://app.example.com/path") from None
    if not parts.scheme or not parts.hostname or port == 0:
        raise ValueError("is not an absolute URL; write one like https://app.example.com/path")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password before its host; write it without")
    if "#" in text:
        raise ValueError('has a fragment; write it without "#" and what follows')
    return parts


def is_loopback(host: str | None) -> bool:
    """Whether this host is the machine itself, by its name or its address alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def check_web_url(text: str) -> str:
    """An absolute https URL, or plain http on a loopback host. Raises `ValueError`."""
    parts = split_url(text)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return text
    raise ValueError("is not https; write https:// (plain http is for a loopback host only)")


def check_endpoint(text: str, private_hosts: Collection[str] | None) -> str:
    """A URL that vaultd calls: https, or plain http on a loopback host that `private_hosts` names (security A3, C1).

    `private_hosts` is None where that key is itself mistaken. Raises `ValueError`.
    """
    parts = split_url(check_web_url(text))
    if parts.scheme == "http" and private_hosts is not None and parts.hostname not in private_hosts:
        raise ValueError(f"is plain http; write https://, or add {parts.hostname!r} to allow_private_hosts beside it")
    return text


def _redirect_target(text: str) -> str:
    # RFC 9700 §2.6: plain http only to the user's own machine. RFC 8252 §7.1: a native app's scheme is a reversed
    # domain name; by its dot, `javascript:` and `data:` are none.
    if _NATIVE.fullmatch(text) and not {"#", "\\"} & set(text):
        return text
    return check_web_url(text)


def _origin(text: str) -> str:
    parts = split_url(check_web_url(text))
    if text != f"{parts.scheme}://{parts.netloc.lower()}":
        raise ValueError("is not an origin; write scheme, host and port only, like https://app.example.com")
    return text


def _scope(text: str) -> str:
    if not _SCOPE.fullmatch(text):
        raise ValueError(f'{text!r} is not one scope; write one scope a string, like ["read", "write"]')
    if "," in text:
        # Answers are read as lists with commas, so no grant could ever have it.
        raise ValueError(f'{text!r} has a comma; write one scope a string, like ["read", "write"]')
    if len(text) > LONGEST_SCOPE:
        raise ValueError(f"is longer than {LONGEST_SCOPE} characters; write one scope a string")
    return text


def _few_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    # No token that carried as many would be taken from a provider.
    if len(scopes) > MOST_SCOPES:
        raise ValueError(f"has more than {MOST_SCOPES} scopes; write those that are needed")
    return scopes


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r} is not a host; write a host name or an address, without scheme, port and path")
    return text.strip("[]").lower()


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; write a network like 192.0.2.0/24 or 2001:db8::/32") from None
    return text


def _the_secret_itself(secret: Secret) -> Secret:
    value = secret.reveal()
    if value.startswith(HASH_PREFIX):
        raise ValueError("is a hash; the secret itself is needed here: write env:NAME or file:path")
    if not value:
        raise ValueError("is empty; write env:NAME or file:path of the secret")
    return secret


def _shown_name(text: str) -> str:
    if len(text) > _LONGEST_NAME:
        raise ValueError(f"is longer than {_LONGEST_NAME} characters; write a shorter name")
    return text


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder: Path | None = (info.context or {}).get("folder")
    return path if folder is None else folder / path


Text: TypeAlias = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Not empty, on one line."""
ShownName: TypeAlias = Annotated[Text, AfterValidator(_shown_name)]
"""What people read at the top of a page, short enough for a phone."""
WebUrl: TypeAlias = Annotated[str, AfterValidator(check_web_url)]
RedirectTarget: TypeAlias = Annotated[str, AfterValidator(_redirect_target)]
Origin: TypeAlias = Annotated[str, AfterValidator(_origin)]
ScopeName: TypeAlias = Annotated[str, AfterValidator(_scope)]
ScopeNames: TypeAlias = Annotated[tuple[ScopeName, ...], AfterValidator(_few_scopes)]
Host: TypeAlias = Annotated[str, AfterValidator(_host)]
Network: TypeAlias = Annotated[str, AfterValidator(_network)]
PlainSecret: TypeAlias = Annotated[Secret, AfterValidator(_the_secret_itself)]
"""A secret that must be known as it is, so that its hash will not do."""
ConfigPath: TypeAlias = Annotated[Path, AfterValidator(_beside_the_file)]
"""A relative one starts at the folder of the configuration file."""
Flag: TypeAlias = Annotated[bool, Field(strict=True)]
Seconds: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=10 * 365 * 86_400)]
