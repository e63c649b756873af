"""The `[login]` table."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, PlainSecret, Text

_Lifetime: TypeAlias = Annotated[int, Field(strict=True, ge=300, le=30 * 86_400)]


class LoginConfig(ConfigTable):
    """Sign-in at vaultd's own pages. `issuer` is the name of an `[issuers.X]` table, not its URL.

    A session ends `idle` seconds after its last use, and `absolute` seconds after the sign-in in any case. The defaults
    are those of NIST SP 800-63B-4 §2.2.3.
    """

    issuer: Text
    client_id: Text
    client_secret: PlainSecret | None = None
    idle: _Lifetime = 3600
    absolute: _Lifetime = 86_400

    @field_validator("absolute")
    @classmethod
    def _not_the_shorter(cls, absolute: int, info: ValidationInfo) -> int:
        if absolute < info.data.get("idle", absolute):
            raise ValueError("is less than idle, which could then never be reached; write at least as much")
        return absolute
