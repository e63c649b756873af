"""How a provider of the sandbox behaves: its demands, its refusals, the shapes of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response

from vaultd.sandbox.demands import Demands
from vaultd.sandbox.oauth import NO_STORE, About, OAuthRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One provider's ways.

    `refusals` are the members of a refusal by what it is about, and `refused_with` their status where it is another
    than the standard's. With `ok`, each answer says whether it is a good one. `claims` are the scopes that userinfo's
    members want, None where it tells everything; `unidentified` is its status for a token without any of them.
    """

    demands: Demands = field(default_factory=Demands)
    refusals: Mapping[About, Mapping[str, Any]] = field(default_factory=dict)
    refused_with: int | None = None
    ok: bool = False
    token_type: str = "Bearer"  # noqa: S105 - the kind of token, no token
    claims: Mapping[str, str] | None = None
    unidentified: int = 403

    def refusal(self, refused: OAuthRefused) -> Response:
        """The refusal in this provider's own words, or the standard's where it has none."""
        own = self.refusals.get(refused.about) if refused.about else None
        if own is None and not self.ok:
            return refused.answer()
        members = own or {"error": refused.error}
        return JSONResponse(self.shaped(members, ok=False), self.refused_with or refused.status, NO_STORE)

    def shaped(self, members: Mapping[str, Any], *, ok: bool = True) -> dict[str, Any]:
        """An answer as this provider shapes it."""
        return {"ok": ok, **members} if self.ok else dict(members)

    def no_identity(self, *, known: bool) -> Response:
        """Userinfo's refusal of a token: one that is `known` has no scope for it."""
        if (own := self.refusals.get("bearer")) is not None:
            return JSONResponse(self.shaped(own, ok=False), self.refused_with or 401, NO_STORE)
        # RFC 6750 §3.1
        error, status = ("insufficient_scope", self.unidentified) if known else ("invalid_token", 401)
        headers = NO_STORE | {"WWW-Authenticate": f'Bearer error="{error}"'}
        return JSONResponse({"error": error}, status, headers)

    def told(self, everything: Mapping[str, Any], scopes: frozenset[str]) -> dict[str, Any]:
        """What userinfo tells who shows a token with these scopes."""
        if self.claims is None:
            return self.shaped(everything)
        wanted = {"sub": None, **self.claims}
        return self.shaped({name: everything[name] for name, scope in wanted.items() if scope in {None, *scopes}})
