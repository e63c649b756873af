"""The one error of this room, with its closed set of reasons."""

from __future__ import annotations

from typing import Literal, get_args

from vaultd.errors import VaultdError

Reason = Literal[
    "bad_algorithm",
    "bad_signature",
    "critical_header",
    "expired",
    "issuer_unreachable",
    "lifetime",
    "malformed",
    "missing_claim",
    "not_yet_valid",
    "replayed",
    "too_large",
    "unknown_key",
    "wrong_audience",
    "wrong_claim",
    "wrong_issuer",
    "wrong_type",
]

REASONS: frozenset[str] = frozenset(get_args(Reason))


class JwtRefused(VaultdError):
    """A JWT that is not accepted. `detail` never holds the token."""

    code = "jwt_refused"
    description = "The JWT is not accepted."

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason=reason, detail=detail)
