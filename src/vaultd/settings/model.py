"""The whole file as one type."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from vaultd.clients.config import ClientConfig
from vaultd.config_types import ConfigTable, Origin, RedirectTarget, Text
from vaultd.keys.config import KeysConfig
from vaultd.providers.config import ProviderConfig
from vaultd.refresh.config import RefreshConfig
from vaultd.sessions.config import LoginConfig
from vaultd.settings.database import DatabaseConfig, DatabaseUrl
from vaultd.subjects.config import IssuerConfig
from vaultd.telemetry.config import MetricsConfig
from vaultd.web.show.branding import BrandingConfig

_TABLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,255}")  # RFC 6749 appendix A.1


def _strip_slash(value: Any) -> Any:
    return value.removesuffix("/") if isinstance(value, str) else value


def _table_name(name: str) -> str:
    # A provider's name is part of a URL's path.
    if not _TABLE_NAME.fullmatch(name):
        raise ValueError("is no name for a table; write letters, digits, dots, dashes and underscores, at most 64")
    return name


def _client_id(name: str) -> str:
    if not _CLIENT_ID.fullmatch(name):
        raise ValueError("is no client id; write visible ASCII characters without spaces, at most 255")
    return name


TableName: TypeAlias = Annotated[str, AfterValidator(_table_name)]
ClientName: TypeAlias = Annotated[str, AfterValidator(_client_id)]
PublicUrl: TypeAlias = Annotated[Origin, BeforeValidator(_strip_slash)]


class Settings(ConfigTable):
    """Everything an operator decides.

    `public_url` has no slash at its end. `database_url` is what `serve` uses, `migration_database_url` (default: the
    same) what `migrate` uses. `allowed_return_urls` are for links that end at no client's own page, and
    `default_client` is the one meant by a link that names none. `allowed_origins` are for CORS of the accounts API.
    Without `metrics` none are shown.
    """

    public_url: PublicUrl
    database: DatabaseConfig = DatabaseConfig()
    database_url: DatabaseUrl
    migration_database_url: DatabaseUrl | None = None
    allowed_return_urls: tuple[RedirectTarget, ...] = ()
    default_client: Text | None = None
    allowed_origins: tuple[Origin, ...] = ()
    keys: KeysConfig
    refresh: RefreshConfig = RefreshConfig()
    metrics: MetricsConfig | None = None
    issuers: dict[TableName, IssuerConfig] = Field(default_factory=dict)
    login: LoginConfig | None = None
    branding: BrandingConfig = BrandingConfig()
    clients: dict[ClientName, ClientConfig] = Field(default_factory=dict)
    providers: dict[TableName, ProviderConfig] = Field(default_factory=dict)
