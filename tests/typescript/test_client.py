"""`@vaultd/client` against a running vaultd: its own tests, run by Node's runner (issue 7, item 2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.conftest import DatabaseUrls
from tests.support.typescript import CLIENT, build, run_node_tests
from tests.wire.beside import vault_beside
from tests.wire.vault import App, bearer, consent, query_of, ticket_url
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World

SECRETS = {name: f"the made-up secret of {name}, long enough" for name in ("basic", "post", "slow")}
KEYS: Mapping[str, Key] = {
    "ES256": ECKey.generate_key("P-256", {"kid": "es"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
    "RS256": RSAKey.generate_key(2048, {"kid": "rs"}),
}
OLDEST_NODE = 20
SDK_NODE = 22
"""The oldest that the AI SDK of version 7 is for."""


def client(name: str, auth: str, *, more: str = "") -> str:
    proof = f'secret = "{SECRETS[name]}"' if name in SECRETS else more
    return f"""
[clients.ts-{name}]
auth = "{auth}"
{proof}
subject_azp = ["ts-{name}", "{SAMPLE_AGENT}"]
redirect_uris = ["http://127.0.0.1:9/connected"]
{"limits = { per_second = 1, burst = 1 }" if name == "slow" else ""}
[clients.ts-{name}.providers]
github = ["repo", "read:user"]
"""


def tables(_: str) -> str:
    public = [key.as_dict(private=False) for key in KEYS.values()]
    inline = ", ".join("{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in key.items()) + " }" for key in public)
    return "".join(
        [
            client("basic", "client_secret_basic"),
            client("post", "client_secret_post"),
            client("slow", "client_secret_basic"),
            client("none", "none"),
            client("key", "private_key_jwt", more=f"jwks = {{ keys = [{inline}] }}"),
        ]
    )


async def connected(world: World, user: str, *people: str) -> str:
    """A user with these people's accounts at GitHub; gives their session token."""
    async with App(world, user=user, scope=ACCOUNT_SCOPES) as app:
        for person in people:
            begun = await app.begin()
            async with app.browser() as browser:
                page = await consent(browser, ticket_url(begun), person=person)
            made = await app.complete(begun, query_of(page.url)["connect_code"])
            assert made.status_code == 201, made.text
        assert len((await app.http.get("accounts", headers=bearer(app.session_token))).json()["accounts"]) == len(
            people
        )
        return app.session_token


async def handed_over(world: World) -> dict[str, Any]:
    """What the tests are told: `support.ts` says what each user is there for."""
    grants = world.providers["github"].grants
    tokens = {
        "ada": await connected(world, "ada", "Alice"),
        "bea": await connected(world, "bea", "Alice", "Bob"),
        "cyd": await connected(world, "cyd"),
        "dan": await connected(world, "dan", "Carol"),
        "fay": await connected(world, "fay", "Alice"),
        "gus": await connected(world, "gus", "Alice"),
    }
    # From now on: those that the others hold are not refreshed while the tests run.
    grants.ttl = timedelta(seconds=2)
    tokens["eve"] = await connected(world, "eve", "Alice")
    # While it is valid a token is served whatever the provider does (C4); hers is to be over.
    await asyncio.sleep(2.1)
    return {
        "vault": world.places.vault,
        "github": world.places.providers["github"],
        "returnTo": "http://127.0.0.1:9/connected",
        "secrets": SECRETS,
        "keys": {name: key.as_dict(private=True) for name, key in KEYS.items()},
        "tokens": tokens,
    }


async def test_the_client_against_a_running_vault(world: World, database_urls: DatabaseUrls, tmp_path: Path) -> None:
    build(CLIENT / "test")
    compiled = sorted((CLIENT / "build" / "test").glob("*.test.js"))
    assert len(compiled) == len(list((CLIENT / "test").glob("*.test.ts")))
    own, sdk = [f for f in compiled if f.name != "ai.test.js"], [f for f in compiled if f.name == "ai.test.js"]
    with vault_beside(world, database_url=database_urls.service, folder=tmp_path, tables=tables) as there:
        told = await handed_over(there)
        run_node_tests(*own, node=OLDEST_NODE, world=told)
        run_node_tests(*sdk, node=SDK_NODE, world=told)
