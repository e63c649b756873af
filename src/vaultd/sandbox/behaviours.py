"""The behaviour of real providers, for those of the sandbox that have their names.

The facts are those of docs/provider-facts.md and the pages that it names. Of what they leave open, the standards hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from vaultd.sandbox.behaviour import Behaviour
from vaultd.sandbox.demands import Demands

_GOOGLE = "https://www.googleapis.com/auth/userinfo."
_LONG_NAMES = {short: f"{_GOOGLE}{short}" for short in ("email", "profile")}
_PARENTS = {
    **dict.fromkeys(("repo:status", "repo_deployment", "public_repo", "repo:invite", "security_events"), "repo"),
    **dict.fromkeys(("read:user", "user:email", "user:follow"), "user"),
    "admin:repo_hook": "repo",
    "write:repo_hook": "admin:repo_hook",
    "read:repo_hook": "write:repo_hook",
    "write:org": "admin:org",
    "read:org": "write:org",
    "write:public_key": "admin:public_key",
    "read:public_key": "write:public_key",
    "write:gpg_key": "admin:gpg_key",
    "read:gpg_key": "write:gpg_key",
    "read:project": "project",
    **dict.fromkeys(("manage_runners:enterprise", "manage_billing:enterprise", "read:enterprise"), "admin:enterprise"),
}
"""GitHub's scopes, each with the one that includes it."""


def _long(granted: frozenset[str]) -> str:
    """Google's: email and profile by their long names."""
    return " ".join(sorted(_LONG_NAMES.get(scope, scope) for scope in granted))


def _normalised(granted: frozenset[str]) -> str:
    """GitHub's: without those that others include, between commas."""
    return ",".join(sorted(scope for scope in granted if not granted & _above(scope)))


def _above(scope: str) -> set[str]:
    above = set()
    while (parent := _PARENTS.get(scope)) is not None:
        above.add(parent)
        scope = parent
    return above


def _between_commas(granted: frozenset[str]) -> str:
    return ",".join(sorted(granted))


def _but_offline(granted: frozenset[str]) -> str:
    """Microsoft's: offline_access is never named."""
    return " ".join(sorted(granted - {"offline_access"}))


def _said(error: str, description: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": error, **({} if description is None else {"error_description": description}), **more}


GOOGLE = Behaviour(
    demands=Demands(
        identity=frozenset({"openid", "email", "profile"}),
        offline_params={"access_type": "offline"},
        again_params={"prompt": "consent"},
        aliases={long: short for short, long in _LONG_NAMES.items()},
        words=_long,
    ),
    refusals={
        "code": _said("invalid_grant", "Bad Request"),
        "refresh_token": _said("invalid_grant", "Token has been expired or revoked."),
    },
    claims={"email": "email", "name": "profile"},
    unidentified=401,
)
_BAD_CODE = _said("bad_verification_code", "The code passed is incorrect or expired.")
_BAD_CLIENT = _said("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
GITHUB = Behaviour(
    demands=Demands(words=_normalised),
    refusals={
        "code": _BAD_CODE,
        "verifier": _BAD_CODE,
        "redirect_uri": _said(
            "redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL for this application."
        ),
        "refresh_token": _said("bad_refresh_token", "The refresh token passed is incorrect or expired."),
        "client_id": _BAD_CLIENT,
        "client_secret": _BAD_CLIENT,
    },
    refused_with=200,
)
SLACK = Behaviour(
    demands=Demands(commas=True, words=_between_commas),
    refusals={
        "code": _said("invalid_code"),
        "redirect_uri": _said("bad_redirect_uri"),
        "refresh_token": _said("invalid_refresh_token"),
        "client_id": _said("invalid_client_id"),
        "client_secret": _said("bad_client_secret"),
        "grant_type": _said("invalid_grant_type"),
        "bearer": _said("invalid_auth"),
    },
    refused_with=200,
    ok=True,
    token_type="bot",  # noqa: S106 - the kind of token, no token
)
MICROSOFT = Behaviour(
    demands=Demands(identity=frozenset({"openid"}), offline="offline_access", words=_but_offline),
    # 50173: revoked, or the password was changed.
    refusals={
        "refresh_token": _said("invalid_grant", "AADSTS50173: The grant has been revoked.", error_codes=[50173]),
    },
    claims={"email": "email", "name": "profile"},
)
PLAIN = Behaviour()
"""By the standards alone."""

BEHAVIOURS: Final[Mapping[str, Behaviour]] = MappingProxyType(
    {"github": GITHUB, "google": GOOGLE, "slack": SLACK, "microsoft": MICROSOFT}
)
"""By a provider's name; one of another name is `PLAIN`."""
