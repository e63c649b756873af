"""The keys that say where PostgreSQL is, and the `[database]` table."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from vaultd.config_types import ConfigTable
from vaultd.database_url import SCHEMES, DatabaseTls, check_transport, hosts_of
from vaultd.terms import Secret

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(:[0-9]{1,5})?")


class DatabaseConfig(ConfigTable):
    """How PostgreSQL is spoken to.

    `tls` is for a server that is reached over a network: `verified` demands that it proves its name by a certificate,
    `unverified` lets the URL say, and then whoever stands in between may be the server.
    """

    tls: DatabaseTls = "verified"


def _secretless(value: Any) -> Any:
    """A URL without a password holds no secret, so it may stand in the file as it is."""
    if not isinstance(value, str) or not value.startswith(SCHEMES):
        return value
    try:
        parts = urlsplit(value)
        secretless = parts.password is None and not {"password", "sslpassword"} & parse_qs(parts.query).keys()
    except ValueError:
        return value
    return Secret(value) if secretless else value


def _check(secret: Secret, info: ValidationInfo) -> Secret:
    url = secret.reveal()
    if not url.startswith(SCHEMES):
        raise ValueError("is not a PostgreSQL URL; write postgresql://user@host:5432/database")
    if not url.isprintable() or " " in url or "#" in url:
        raise ValueError('has a space, a "#" or a control character; percent-encode it, "%23" for "#"')
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is not a URL; write postgresql://user@host:5432/database") from None
    _check_host(parts)
    hosts_of(url)
    config: DatabaseConfig | None = info.data.get("database")
    if config is not None and config.tls == "verified":
        check_transport(url)
    return secret


def _check_host(parts: SplitResult) -> None:
    user, _, listed = parts.netloc.rpartition("@")
    if "@" in user:
        # The driver ends the password at the first one.
        raise ValueError('has an "@" in its user or password; percent-encode it, "%40"')
    if not all(_HOST_AND_PORT.fullmatch(host) for host in listed.split(",")):
        raise ValueError("has a host or port that cannot be read; write postgresql://user@host:5432/database")


DatabaseUrl: TypeAlias = Annotated[Secret, BeforeValidator(_secretless), AfterValidator(_check)]
