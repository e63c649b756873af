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
from vaultd.app.factory import create_app
from vaultd.sandbox.dev_config import OPERATOR, PROVIDER_SCOPES, VAULT_AT_PROVIDER
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
    ground: Ground,
    document: Mapping[str, Any],
    *,
    issuer: ASGIApp,
    issuer_at: Listener,
    vault_at: Listener | None = None,
) -> Iterator[World]:
    """Serve the vault of a guide's file, the issuer and the providers in it; gives them as a world of their own."""
    vault = vault_at or listen()
    places = {name: listen() for name in document["providers"]}
    kinds = {name: table.get("extends", name) for name, table in document["providers"].items()}
    providers = {name: _provider(ground, name, kinds[name], at=at.url, vault=vault.url) for name, at in places.items()}
    tables = {name: _table(kinds[name], at.url) for name, at in places.items()}
    settings = _settings(ground, document, vault=vault.url, providers=tables)
    with LoopbackServers() as servers:
        servers.serve(issuer, issuer_at)
        for name, at in places.items():
            servers.serve(providers[name].app, at)
        servers.serve(create_app(settings), vault)
        yield replace(
            ground.world,
            places=replace(
                ground.world.places, vault=vault.url, providers={name: at.url for name, at in places.items()}
            ),
            settings=settings,
            providers=providers,
            folder=ground.folder,
        )


def guided_app(world: World, token: str, redirect_uri: str) -> App:
    """The app of the guide's reader, with this session token."""
    app = App(world)
    app.session_token, app.redirect_uri = token, redirect_uri
    app.http.headers.update(bearer(token))
    return app


def config_path(folder: Path, document: Mapping[str, Any]) -> Path:
    """Where the file of a running vault is."""
    return folder / f"{'-'.join(document['issuers'])}.toml"


def _settings(ground: Ground, document: Mapping[str, Any], *, vault: str, providers: Mapping[str, Any]) -> Settings:
    reader, *_ = document["clients"].values()
    here = {
        "public_url": vault,
        "keys": {"path": str(ground.keyring)},
        "clients": {
            # Beside the reader's own: another backend, and a program that reads the audit log.
            OTHER_AGENT: {**reader, "subject_azp": [OTHER_AGENT]},
            OPERATOR: {
                "auth": "client_secret_basic",
                "secret": "env:OPERATOR_SECRET",
                "operator_scopes": ["audit:read"],
            },
        },
        "providers": providers,
    }
    path = config_path(ground.folder, document)
    path.write_text(written(laid_over(document, here)), encoding="utf-8")
    return load(path, environ={**ground.environ, "DATABASE_URL": ground.database_url})


def _provider(ground: Ground, name: str, kind: str, *, at: str, vault: str) -> SandboxProvider:
    return SandboxProvider(
        name=kind,
        clients={VAULT_AT_PROVIDER: ground.world.secrets.provider},
        issuer=at,
        redirect_uris=[f"{vault}/auth/callback/{name}"],
        scopes=PROVIDER_SCOPES[kind],
    )


def _table(kind: str, url: str) -> dict[str, Any]:
    """What must be other than at the real provider: where it is, and how the sandbox's differs."""
    return {
        # Said outright, since endpoints of its own put the catalogue's entry aside.
        "extends": kind,
        "client_id": VAULT_AT_PROVIDER,
        "client_secret": f"env:{kind.upper()}_SECRET",
        "token_endpoint_auth_method": "client_secret_basic",
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "revocation": "rfc7009",
        "revocation_endpoint": f"{url}/revoke",
        "userinfo_endpoint": f"{url}/userinfo",
        "resources": [url],
        "scopes": list(PROVIDER_SCOPES[kind]),
        "allow_private_hosts": ["127.0.0.1"],
    }
