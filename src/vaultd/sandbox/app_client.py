"""An app of the developer's own beside the sandbox: known to its issuer and its vault, told what it needs to know."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from vaultd.errors import ConfigurationError
from vaultd.terms import Secret

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
TAKEN = frozenset({"sample-agent", "briefing-agent", "operator", "vaultd"})
"""Names of the sandbox's own clients."""


def _new_secret() -> Secret:
    return Secret(secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class AppClient:
    """One app at `url`. It signs people in at the issuer and exchanges their tokens, as the client `name` of both.

    The issuer sends people back to `/auth/callback`, the vault to `/connected`.
    """

    name: str
    url: str
    issuer_secret: Secret = field(default_factory=_new_secret)
    vault_secret: Secret = field(default_factory=_new_secret)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `NAME=URL`. Raises `ConfigurationError`."""
        name, _, url = text.partition("=")
        if not NAME.fullmatch(name) or name in TAKEN:
            raise ConfigurationError(f"{name!r} cannot be the app's name; write NAME=URL, like devcontext=http://…")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigurationError(f"{url!r} is not the address of an app; write one like http://127.0.0.1:3000")
        return cls(name=name, url=url.rstrip("/"))

    @property
    def signed_in(self) -> str:
        """Where the issuer sends people back to."""
        return f"{self.url}/auth/callback"

    @property
    def connected(self) -> str:
        """Where the vault sends people back to."""
        return f"{self.url}/connected"

    def environment(self, *, vault: str, issuer: str, providers: Mapping[str, str]) -> dict[str, str]:
        """What the app has to know, secrets included."""
        return {
            "APP_URL": self.url,
            "VAULTD_URL": vault,
            "VAULTD_CLIENT_ID": self.name,
            "VAULTD_CLIENT_SECRET": self.vault_secret.reveal(),
            "OIDC_ISSUER": issuer,
            "OIDC_CLIENT_ID": self.name,
            "OIDC_CLIENT_SECRET": self.issuer_secret.reveal(),
            **{f"{name.upper()}_API_URL": url for name, url in providers.items()},
        }


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """Write a file as `node --env-file` and shells read it, for its owner's eyes only; it is there whole or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text("".join(f"{name}={value}\n" for name, value in environment.items()), encoding="utf-8")
    draft.replace(path)
