"""A vault that believes issuers of every kind, and those issuers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from joserfc.jwk import Key, OctKey

from tests.support.introspection import TABLE, IntrospectingIssuer
from tests.unit.loopback_issuer import sign
from tests.wire.beside import vault_beside
from tests.wire.vault import App, bearer, fresh
from vaultd.sandbox.dev_config import PROVIDER_SCOPES, SAMPLE_AGENT
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World

SHARED_ISSUER = "https://shared.example/auth/v1"
SHARED_SECRET = "a secret that the issuer and the vault share"
NIGHT_AGENT = ("night-agent", "the secret of the client that the asked issuer trusts")


@dataclass(frozen=True, slots=True)
class Issuers:
    """`world` is the vault with its first issuer, found by discovery.

    `asked` introspects, and trusts the client `NIGHT_AGENT`. `second` is one more with discovery, whose ID tokens for
    the sample agent are believed too. Tokens of `bound` must be bound to a key. And there is one with a shared secret,
    whose tokens `shared` makes.
    """

    world: World
    asked: IntrospectingIssuer
    second: SandboxIssuer
    bound: SandboxIssuer

    def opaque(self, user: str, /, **changes: object) -> str:
        """A new opaque access token; `...` leaves a member out of the answer about it."""
        now = int(time.time())
        usual: dict[str, object] = {
            "iss": self.asked.issuer,
            "sub": user,
            "aud": self.world.places.vault,
            "client_id": SAMPLE_AGENT,
            "scope": ACCOUNT_SCOPES,
            "token_type": "Bearer",
            "tenant": "acme",
            "iat": now,
            "exp": now + 600,
        }
        answer = {name: value for name, value in {**usual, **changes}.items() if value is not ...}
        return self.asked.believe(fresh("opaque"), **answer)

    def refresh_token(self, user: str, /, **changes: object) -> str:
        """A new refresh token: the issuer names no audience for it, and no type."""
        return self.opaque(user, **{"aud": ..., "token_type": ..., **changes})

    def app(self, token: str) -> App:
        """The sample agent's app with this session token."""
        app = App(self.world)
        app.session_token = token
        app.http.headers.update(bearer(token))
        return app


def shared(
    user: str,
    *,
    key: Key | None = None,
    header: Mapping[str, object] | None = None,
    claims: Mapping[str, object] | None = None,
) -> str:
    """A token of the issuer with a shared secret, as Supabase makes them; a claim of `...` is left out."""
    now = int(time.time())
    usual: dict[str, object] = {
        "iss": SHARED_ISSUER,
        "sub": user,
        "aud": "authenticated",
        "azp": SAMPLE_AGENT,
        "iat": now,
        "exp": now + 600,
    }
    body = {name: value for name, value in {**usual, **(claims or {})}.items() if value is not ...}
    head = {"alg": "HS256", "typ": "JWT", **(header or {})}
    return sign(key or OctKey.import_key(SHARED_SECRET), head, body).reveal()


@contextmanager
def issuers_of_every_kind(world: World, *, database_url: str, folder: Path) -> Iterator[Issuers]:
    """Start them, and the vault that believes them."""
    asked_at, second_at, bound_at = listen(), listen(), listen()

    def tables(vault: str) -> str:
        grants = "\n".join(f"{name} = {json.dumps(scopes)}" for name, scopes in PROVIDER_SCOPES.items())
        common = f'audience = ["{vault}"]\nallow_private_hosts = ["127.0.0.1"]\n'
        return f"""
[issuers.asked]
issuer = "{asked_at.url}"
trusted_clients = ["{NIGHT_AGENT[0]}"]
required_claims = {{ tenant = "acme" }}
{common}
[issuers.asked.introspection]
{TABLE}
[issuers.second]
issuer = "{second_at.url}"
algorithms = ["ES256"]
id_token_client_ids = ["{SAMPLE_AGENT}"]
{common}
[issuers.bound]
issuer = "{bound_at.url}"
algorithms = ["ES256"]
dpop = "required"
{common}
[issuers.shared]
issuer = "{SHARED_ISSUER}"
audience = ["authenticated"]
hs256_secret = "{SHARED_SECRET}"

[clients.{NIGHT_AGENT[0]}]
auth = "client_secret_basic"
secret = "{NIGHT_AGENT[1]}"
[clients.{NIGHT_AGENT[0]}.providers]
{grants}
"""

    with (
        LoopbackServers() as servers,
        vault_beside(world, database_url=database_url, folder=folder, tables=tables) as beside,
    ):
        audience = beside.places.vault
        asked = IntrospectingIssuer(asked_at.url)
        second, bound = (SandboxIssuer(issuer=at.url, clients={}, audience=audience) for at in (second_at, bound_at))
        for app, at in ((asked.app, asked_at), (second.app, second_at), (bound.app, bound_at)):
            servers.serve(app, at)
        yield Issuers(beside, asked, second, bound)


def of(world: World, issuer: SandboxIssuer) -> World:
    """The same world, where `App` signs in at another issuer."""
    return replace(world, issuer=issuer)
