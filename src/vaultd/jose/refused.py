"""The one error of this room, with its closed set of reasons."""

from __future__ import annotations

from typing import Literal, get_args

from vaultd.errors import VaultdError

Reason = Literal[
    "bad_algorithm",
    "bad_signature",
    "critical_header",
    "dpop_alg",
    "dpop_ath",
    "dpop_htm",
    "dpop_htu",
    "dpop_iat",
    "dpop_key",
    "dpop_malformed",
    "dpop_missing",
    "dpop_replayed",
    "dpop_signature",
    "dpop_typ",
    "dpop_unbound",
    "expired",
    "inactive",
    "issuer_unreachable",
    "lifetime",
    "malformed",
    "missing_claim",
    "not_yet_valid",
    "replayed",
    "too_large",
    "unknown_key",
    "unsupported_cnf",
    "wrong_audience",
    "wrong_claim",
    "wrong_issuer",
    "wrong_type",
]

REASONS: frozenset[str] = frozenset(get_args(Reason))


class JwtRefused(VaultdError):
    """A token or a proof that is not accepted. `detail` never holds it."""

    code = "jwt_refused"
    description = "The JWT is not accepted."

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason=reason, detail=detail)
