"""The vault under measurement: `vaultd serve` as an operator starts it, on a database with users in it."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlencode

from bench.growth import fill
from bench.load import http_request
from bench.people import APP, ISSUER, Issuer, names, settle
from bench.processes import started
from vaultd import schema
from vaultd.db import Database
from vaultd.keys.local import generate_keyring_file, open_keyring_file
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.sandbox.servers import listen
from vaultd.terms import Secret, system_clock

CLIENT = "agent"
PROVIDER = "acme"
SCOPES = ("read", "write")
_ROLE = "vaultd_service"
_PREFIX = "urn:ietf:params:oauth:"

# Limits are on, and higher than any machine serves: they must cost their time and refuse nothing.
_CONFIG = """\
public_url = "{url}"
database_url = "env:BENCH_DATABASE_URL"

[keys]
backend = "local"
path = "keyring.json"

[issuers.app]
issuer = "{issuer}"
audience = ["{url}"]
algorithms = ["ES256"]
jwks_file = "jwks.json"

[clients.{client}]
auth = "client_secret_basic"
secret = "env:BENCH_CLIENT_SECRET"
subject_azp = ["{app}"]
limits = {{ per_second = 500000, burst = 1000000 }}
[clients.{client}.providers]
{provider} = ["read", "write"]

[providers.{provider}]
client_id = "vaultd"
client_secret = "env:BENCH_PROVIDER_SECRET"
authorization_endpoint = "https://acme.example/authorize"
token_endpoint = "https://acme.example/token"
resources = ["https://api.acme.example"]
scopes = ["read", "write"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """A serving vault. `pid` is the process that was started; with several workers they are below it."""

    url: str
    pid: int
    workers: int
    users: int
    database: str
    issuer: Issuer
    client_secret: Secret

    def exchange(self, token: str, provider: str = PROVIDER) -> bytes:
        """The request of an exchange, with client_secret_basic."""
        form = {
            "grant_type": f"{_PREFIX}grant-type:token-exchange",
            "subject_token": token,
            "subject_token_type": f"{_PREFIX}token-type:access_token",
            "requested_token_type": f"{_PREFIX}token-type:access_token",
            "audience": provider,
        }
        return token_request(self.url, CLIENT, self.client_secret, "/oauth/token", form)

    def sessions(self) -> list[str]:
        """A new session token for each user."""
        return [self.issuer.token(sub) for sub in names(self.users)]


def token_request(url: str, client_id: str, secret: Secret, path: str, form: dict[str, str]) -> bytes:
    """A form for a token endpoint, with client_secret_basic."""
    credentials = base64.b64encode(f"{client_id}:{secret.reveal()}".encode()).decode()
    headers = (("Authorization", f"Basic {credentials}"), ("Content-Type", "application/x-www-form-urlencoded"))
    return http_request("POST", path, url.removeprefix("http://"), headers, urlencode(form))


@contextmanager
def start_vault(
    folder: Path,
    postgres: RunningPostgres,
    *,
    database: str,
    users: int,
    others: int = 0,
    workers: int = 1,
    more_config: str = "",
    more_environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Vault]:
    """Make a database with users, and rows of `others` who do not come, and serve it until the end of the block."""
    folder.mkdir()
    url, port = free_port()
    issuer, secret = Issuer(audience=url), Secret(secrets.token_urlsafe(32))
    database_url = _prepare_database(folder, postgres, database, users)
    fill(postgres, database, connections=others)
    (folder / "jwks.json").write_text(issuer.jwks(), encoding="utf-8")
    config = folder / "vaultd.toml"
    written = _CONFIG.format(url=url, issuer=ISSUER, client=CLIENT, app=APP, provider=PROVIDER)
    config.write_text(written + more_config, "utf-8")
    # No VAULTD_DATABASE_URL of the shell may lead this vault to another database.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VAULTD_")}
    # A profiler of the same user is to look into it.
    environ["VAULTD_CORE_DUMPS"] = "1"
    environ |= {
        "BENCH_DATABASE_URL": database_url.reveal(),
        "BENCH_CLIENT_SECRET": secret.reveal(),
        "BENCH_PROVIDER_SECRET": secrets.token_urlsafe(32),
        **more_environ,
    }
    log = folder / "vaultd.log"
    command = [sys.executable, "-m", "vaultd.cli", "serve", "--config", str(config), "--port", str(port)]
    command += ["--workers", str(workers)]
    with started(command, environ=environ, ready=f"{url}/health/ready", log=log) as pid:
        yield Vault(
            url=url, pid=pid, workers=workers, users=users, database=database, issuer=issuer, client_secret=secret
        )


def free_port() -> tuple[str, int]:
    """A loopback URL and its port, free a moment ago."""
    listener = listen()
    with listener.socket:
        return listener.url, listener.port


def _prepare_database(folder: Path, postgres: RunningPostgres, name: str, users: int) -> Secret:
    """Gives the serving role's URL."""
    generate_keyring_file(folder / "keyring.json", now=system_clock())
    asyncio.run(_migrate(Secret(postgres.create_database(name))))
    if _ROLE not in postgres.run("SELECT rolname FROM pg_roles").split():
        postgres.run(f"CREATE ROLE {_ROLE} LOGIN IN ROLE vaultd_app")
    service = Secret(postgres.url(name, _ROLE))
    backend = open_keyring_file(folder / "keyring.json")
    asyncio.run(settle(service, backend, users=users, provider=PROVIDER, scopes=" ".join(SCOPES)))
    return service


async def _migrate(url: Secret) -> None:
    database = Database(url, pool_size=1)
    try:
        async with database.transaction() as connection:
            await schema.upgrade(connection)
    finally:
        await database.aclose()
