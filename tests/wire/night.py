"""A vault whose clients may act for users who are away, some of them, and what they send to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from tests.support.also import also_serving
from tests.support.signing import JWT, Signer
from tests.wire.vault import TOKEN_EXCHANGE, request_id
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World

OTHER_ISSUER = "https://elsewhere.example"
ISSUERS = f"""
[issuers.elsewhere]
issuer = "{OTHER_ISSUER}"
audience = ["nobody"]
jwks_file = "nowhere.json"
"""
MAY = 'may_assert_subjects = true\nassert_providers = ["github"]\n'
PROVIDERS = 'providers = { github = ["repo", "read:user"], slack = ["channels:history"] }\n'
TABLES: Mapping[str, str] = {
    "night-agent": MAY + 'assert_issuer = "sandbox"\nip_allowlist = ["127.0.0.0/8"]\n',
    "wide-agent": MAY + 'assert_issuer = ["sandbox", "elsewhere"]\n',
    "foreign-agent": MAY + f'assert_issuer = "{OTHER_ISSUER}"\n',
    "far-agent": MAY + 'assert_issuer = "sandbox"\nip_allowlist = ["192.0.2.0/24"]\n',
    "day-agent": f'subject_azp = ["{SAMPLE_AGENT}"]\n',
}


class Night:
    """The vault and its clients."""

    def __init__(self, url: str, signers: Mapping[str, Signer], issuer: str) -> None:
        self.url = url
        self.signers = signers
        self.issuer = issuer
        self.http = loopback_http(base_url=url, timeout=30.0)

    def sub_id(self, sub: str, **changed: object) -> dict[str, object]:
        return {"format": "iss_sub", "iss": self.issuer, "sub": sub, **changed}

    def form(self, subject_token: str, **changed: str | None) -> dict[str, str]:
        form: dict[str, str | None] = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject_token,
            "subject_token_type": JWT,
            "audience": "github",
            **changed,
        }
        return {name: value for name, value in form.items() if value is not None}

    async def send(self, client: str, subject_token: str, **changed: str | None) -> httpx.Response:
        form = self.form(subject_token, **changed) | self.signers[client].credentials()
        return await self.http.post("/oauth/token", data=form, headers=request_id())

    async def ask(self, sub: str, client: str = "night-agent", **changed: str | None) -> httpx.Response:
        """A good request for this user."""
        return await self.send(client, self.signers[client].subject(sub_id=self.sub_id(sub)), **changed)


@asynccontextmanager
async def open_night(world: World) -> AsyncIterator[Night]:
    """Beside the vault of the world, on its database."""
    signers: dict[str, Signer] = {}

    def tables(url: str) -> str:
        signers.update({name: Signer(name, vault=url) for name in TABLES})
        return ISSUERS + "\n".join(signer.table(TABLES[name], PROVIDERS) for name, signer in signers.items())

    with also_serving(world, tables) as url:
        opened = Night(url, signers, world.places.issuer)
        yield opened
        await opened.http.aclose()
