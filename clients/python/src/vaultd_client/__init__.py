"""Provider tokens from vaultd, for agents. `VaultClient.get_access_token` is where to begin.

Nothing here writes to disk, and no message, `repr` or log line holds a token or a secret.
"""

from vaultd_client.client import AsyncVaultClient, VaultClient
from vaultd_client.core import Retry
from vaultd_client.credentials import ClientAuth, ClientSecretBasic, ClientSecretPost, NoSecret, PrivateKeyJwt
from vaultd_client.errors import (
    AccountAmbiguous,
    InsufficientScope,
    InteractionRequired,
    InvalidClient,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    InvalidToken,
    NoSubject,
    NotConnected,
    OriginNotAllowed,
    RateLimited,
    ReconnectRequired,
    ScopeMissing,
    TemporarilyUnavailable,
    TryLater,
    UnauthorizedClient,
    UnexpectedAnswer,
    VaultError,
    VaultRefused,
    VaultUnreachable,
)
from vaultd_client.kept import Keep
from vaultd_client.provider_auth import AsyncVaultAuth, Refuses, VaultAuth
from vaultd_client.subjects import AwayUser, acting_for
from vaultd_client.tools import sentence
from vaultd_client.values import AccessToken, Account, Status

__version__ = "0.1.0"

__all__ = [
    "AccessToken",
    "Account",
    "AccountAmbiguous",
    "AsyncVaultAuth",
    "AsyncVaultClient",
    "AwayUser",
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretPost",
    "InsufficientScope",
    "InteractionRequired",
    "InvalidClient",
    "InvalidRequest",
    "InvalidScope",
    "InvalidTarget",
    "InvalidToken",
    "Keep",
    "NoSecret",
    "NoSubject",
    "NotConnected",
    "OriginNotAllowed",
    "PrivateKeyJwt",
    "RateLimited",
    "ReconnectRequired",
    "Refuses",
    "Retry",
    "ScopeMissing",
    "Status",
    "TemporarilyUnavailable",
    "TryLater",
    "UnauthorizedClient",
    "UnexpectedAnswer",
    "VaultAuth",
    "VaultClient",
    "VaultError",
    "VaultRefused",
    "VaultUnreachable",
    "acting_for",
    "sentence",
]
