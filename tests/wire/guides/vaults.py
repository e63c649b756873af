"""A real vault, its file that of a guide: only the addresses, the secrets and the provider are the sandbox's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from tests.support.toml import laid_over, written
from tests.wire.vault import App, bearer
from vaultd.app import create_app
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, PROVIDER_SCOPES, VAULT_AT_PROVIDER
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import Listener, LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import Settings, load

OTHER_AGENT = "other-agent"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a vault stands on."""

    world: World
    database_url: str
    keyring: Path
    environ: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.keyring.parent


@contextmanager
def guided_vault(
    ground: Ground, document: Mapping[str, Any], *, issuer: ASGIApp, issuer_at: Listener
) -> Iterator[World]:
    """Serve the vault of a guide's file, the issuer in it, and a GitHub; gives them as a world of their own."""
    vault, github_at = listen(), listen()
    github = SandboxProvider(
        name="github",
        clients={VAULT_AT_PROVIDER: ground.world.secrets.provider},
        issuer=github_at.url,
        redirect_uris=[f"{vault.url}/auth/callback/github"],
        scopes=PROVIDER_SCOPES["github"],
    )
    settings = _settings(ground, document, vault=vault.url, github=github_at.url)
    with LoopbackServers() as servers:
        servers.serve(issuer, issuer_at)
        servers.serve(github.app, github_at)
        servers.serve(create_app(settings), vault)
        yield replace(
            ground.world,
            places=replace(ground.world.places, vault=vault.url, providers={"github": github_at.url}),
            settings=settings,
            providers={"github": github},
        )


def guided_app(world: World, token: str, redirect_uri: str) -> App:
    """The app of the guide's reader, with this session token."""
    app = App(world)
    app.session_token, app.redirect_uri = token, redirect_uri
    app.http.headers.update(bearer(token))
    return app


def _settings(ground: Ground, document: Mapping[str, Any], *, vault: str, github: str) -> Settings:
    here = {
        "public_url": vault,
        "keys": {"path": str(ground.keyring)},
        "clients": {
            # Beside the reader's own: another backend, and a program that reads the audit log.
            OTHER_AGENT: {**document["clients"][BRIEFING_AGENT], "subject_azp": [OTHER_AGENT]},
            OPERATOR: {
                "auth": "client_secret_basic",
                "secret": "env:OPERATOR_SECRET",
                "operator_scopes": ["audit:read"],
            },
        },
        "providers": {"github": _sandbox_github(github)},
    }
    path = ground.folder / f"{'-'.join(document['issuers'])}.toml"
    path.write_text(written(laid_over(document, here)), encoding="utf-8")
    return load(path, environ={**ground.environ, "DATABASE_URL": ground.database_url})


def _sandbox_github(url: str) -> dict[str, Any]:
    return {
        "client_id": VAULT_AT_PROVIDER,
        "client_secret": "env:GITHUB_SECRET",
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "revocation": "rfc7009",
        "revocation_endpoint": f"{url}/revoke",
        "userinfo_endpoint": f"{url}/userinfo",
        "resources": [url],
        "allow_private_hosts": ["127.0.0.1"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
