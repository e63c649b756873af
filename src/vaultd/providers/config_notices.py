"""How a `[providers.X]` table says that its provider tells of revocations at `/notices/<name>`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, PlainSecret
from vaultd.terms import Secret

NoticeKind: TypeAlias = Literal["github", "google_risc", "slack"]

_SHORTEST_WEBHOOK_SECRET = 16


class NoticesConfig(ConfigTable):
    """`notices`: "github" and "slack" sign with `webhook_secret`, Google's RISC with the keys of `notices_issuer`."""

    notices: NoticeKind | None = None
    notices_issuer: str = "https://accounts.google.com/"
    webhook_secret: Annotated[PlainSecret | None, Field(validate_default=True)] = None

    @field_validator("webhook_secret")
    @classmethod
    def _signs_the_notices(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        by_secret = info.data.get("notices") in {"github", "slack"}
        if by_secret and secret is None:
            raise ValueError("is missing, and notices are believed by it; write env:NAME or file:path")
        if by_secret and secret is not None and len(secret.reveal()) < _SHORTEST_WEBHOOK_SECRET:
            raise ValueError(f"is shorter than {_SHORTEST_WEBHOOK_SECRET} characters; take a longer one")
        return secret
