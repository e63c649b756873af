"""The rows of `connections`, `pending_grants` and `revocations`, as the database holds them: sealed bytes only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from vaultd.db import metadata
from vaultd.terms import ConnectionId, ProviderName, Scopes, SubjectId

connections_table = Table(
    "connections",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", Uuid, ForeignKey("subjects.id", ondelete="CASCADE"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("account_ref", LargeBinary, nullable=False),
    Column("account_lookup", LargeBinary),
    Column("token_lookups", ARRAY(LargeBinary)),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("generation", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("granted_scopes", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("data_key_id", Uuid, ForeignKey("data_keys.id")),
    Column("access_token", LargeBinary),
    Column("refresh_token", LargeBinary),
    Column("account", LargeBinary),
    Column("metadata", LargeBinary, key="provider_metadata"),
    Column("lease_owner", Uuid),
    Column("lease_fence", BigInteger, nullable=False, default=0),
    Column("lease_until", DateTime(timezone=True)),
    Column("intent_fence", BigInteger),
    Column("intent_at", DateTime(timezone=True)),
    Column("last_used_on", Date),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("connected_at", DateTime(timezone=True), nullable=False),
    Column("refreshed_at", DateTime(timezone=True)),
    Column("renew_at", DateTime(timezone=True)),
    Column("format", SmallInteger, nullable=False),
    Column("renew_by", DateTime(timezone=True)),
    Column("kept", LargeBinary),
    Column("kept_until", DateTime(timezone=True)),
    UniqueConstraint("subject_id", "provider", "account_ref"),
)

pending_table = Table(
    "pending_grants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("subject_id", Uuid, ForeignKey("subjects.id", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text),
    Column("provider", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text),
    Column("ticket_hash", LargeBinary, unique=True),
    Column("state_hash", LargeBinary, unique=True),
    Column("browser_hash", LargeBinary),
    Column("auth_session_hash", LargeBinary, unique=True),
    Column("connect_code_hash", LargeBinary, unique=True),
    Column("data_key_id", Uuid, ForeignKey("data_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("granted", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

revocations_table = Table(
    "revocations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("data_key_id", Uuid, ForeignKey("data_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_try_at", DateTime(timezone=True), nullable=False),
    Column("subject_id", Uuid, ForeignKey("subjects.id", ondelete="SET NULL")),
    Column("created_at", DateTime(timezone=True), nullable=False),
)


@dataclass(slots=True, kw_only=True)
class ConnectionRow:
    """One connection as it stands in the database."""

    id: ConnectionId
    subject_id: SubjectId
    provider: ProviderName
    account_ref: bytes
    account_lookup: bytes | None
    token_lookups: tuple[bytes, ...]
    status: str
    reason: str | None
    generation: int
    revision: int
    granted_scopes: Scopes
    expires_at: datetime | None
    data_key_id: UUID | None
    wrapped_key: bytes | None
    access_token: bytes | None
    refresh_token: bytes | None
    account: bytes | None
    provider_metadata: bytes | None
    created_at: datetime
    connected_at: datetime
    refreshed_at: datetime | None
    last_used_on: Any
    lease_fence: int
    lease_until: datetime | None
    intent_fence: int | None
    format: int
    kept: bytes | None = None
    kept_until: datetime | None = None

    def broken(self, now: datetime) -> str | None:
        """Why its user must connect it again, or None.

        A token that has ended and cannot be renewed is noted by the next exchange only, but is no use from then on.
        """
        if self.status != "connected":
            return self.reason or "other"
        ended = self.refresh_token is None and self.expires_at is not None and self.expires_at <= now
        return "no_refresh_token" if ended else None

    @classmethod
    def from_mapping(cls, row: Any) -> Self:
        """From a result row that joins the wrapped data key."""
        values = {name: row[name] for name in cls.__dataclass_fields__}
        values["granted_scopes"] = Scopes.parse(values["granted_scopes"])
        values["token_lookups"] = tuple(values["token_lookups"] or ())
        return cls(**values)
