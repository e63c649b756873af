"""A vault, and an issuer, a client and a holder of a key who would sign anything: every place that takes a JWT.

Each place has the key and the facts that fit it, so that nothing but what the token is keeps it out.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.kinds import ACCESS_TOKEN_BESIDE, Facts, signed_by
from tests.support.proofs import ProofKey
from tests.support.signing import ASSERTION_TYPE, Signer
from tests.wire.vault import TOKEN_EXCHANGE, TOKEN_VAULT_TOKEN, fresh
from vaultd.app.factory import create_app
from vaultd.sandbox.dev_config import SAMPLE_AGENT, VAULT_AT_ISSUER, VAULT_AT_PROVIDER
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import Listener, LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import load

TYPE = "urn:ietf:params:oauth:token-type:"
CLIENTS = 40
"""So many that none of them fails so often that it is throttled."""
_OK, _SEEN_OTHER = 200, 303
Signed = Callable[[Mapping[str, object], Mapping[str, object]], str]
Present = Callable[[str], Awaitable[bool]]
"""Whether a token is accepted."""


class AnyIssuer:
    """It signs people in at vaultd's pages, and apps elsewhere; and it tells of its accounts, as Google does."""

    def __init__(self, at: Listener) -> None:
        self.url = at.url
        self.key = ECKey.generate_key("P-256", {"kid": "es"})
        self.rsa = RSAKey.generate_key(2048, {"kid": "rs"})
        self.id_token = ""
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._about),
                Route("/.well-known/risc-configuration", self._about_risc),
                Route("/jwks", self._jwks),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _about(self, _: Request) -> Response:
        ends = {name: f"{self.url}/{name.partition('_')[0]}" for name in ("authorization_endpoint", "token_endpoint")}
        return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **ends})

    async def _about_risc(self, _: Request) -> Response:
        return JSONResponse({"issuer": f"{self.url}/", "jwks_uri": f"{self.url}/jwks"})

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False), self.rsa.as_dict(private=False)]})

    async def _token(self, _: Request) -> Response:
        answer = {"access_token": ACCESS_TOKEN_BESIDE, "token_type": "Bearer", "id_token": self.id_token}
        return JSONResponse(answer)


class Place:
    """Where a token is presented: the facts that fit, who signs it there, and what comes of it."""

    def __init__(self, facts: Facts, signed: Signed, present: Present) -> None:
        self.facts = facts
        self.signed = signed
        self.present = present


class Crosswise:
    """All places of one vault. A place is made anew for each token, since some can be used once."""

    def __init__(self, url: str, issuer: AnyIssuer, signers: list[Signer]) -> None:
        self.url = url
        self.issuer = issuer
        self._signers = cycle(signers)
        self._holder = ProofKey()
        self.http = loopback_http(base_url=url, timeout=30.0)
        self.places: Mapping[str, Callable[[], Awaitable[Place]]] = {
            **{f"subject token as {kind}": self._subject(kind) for kind in ("access_token", "id_token", "jwt")},
            **{f"actor token as {kind}": self._actor(kind) for kind in ("access_token", "id_token", "jwt")},
            "accounts API": self._accounts,
            "sign-in": self._sign_in,
            "back-channel logout": self._logout,
            "notice of Google's": self._notice,
            "client assertion": self._client_assertion,
            "subject assertion": self._subject_assertion(),
            "worker's assertion": self._subject_assertion(requested_token_type=TOKEN_VAULT_TOKEN),
            "DPoP proof": self._proof,
        }

    def good_subject(self, **claims: object) -> str:
        """An access token of somebody who has no account yet."""
        now = int(time.time())
        usual: dict[str, object] = {"iss": self.issuer.url, "aud": self.url, "sub": fresh("user")}
        usual |= {
            "client_id": SAMPLE_AGENT,
            "azp": SAMPLE_AGENT,
            "scope": "openid",
            "iat": now,
            "exp": now + 300,
            "jti": uuid4().hex,
        }
        return self._by_issuer({"typ": "at+jwt"}, {**usual, **claims})

    async def exchange(self, form: Mapping[str, str], **headers: str) -> bool:
        """Whether everybody was believed: then the user is asked to connect an account."""
        whole = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": TYPE + "access_token", "audience": "github"}
        answer = await self.http.post("/oauth/token", data={**whole, **form}, headers=headers)
        error = answer.json()["error"]
        assert error in {"interaction_required", "invalid_request", "invalid_client"}, answer.text
        return bool(error == "interaction_required")

    def _by_issuer(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        return signed_by(self.issuer.key, "ES256", header, claims)

    def _facts(self, **other: Any) -> Facts:
        user = fresh("user")
        usual: dict[str, Any] = {
            "iss": self.issuer.url,
            "aud": [self.url, SAMPLE_AGENT, self.issuer.url, VAULT_AT_ISSUER],
            "user": user,
            "own": user,
            "client": SAMPLE_AGENT,
            "url": f"{self.url}/oauth/token",
            "now": int(time.time()),
            "scope": f"openid {ACCOUNT_SCOPES}",
            "subject_issuer": self.issuer.url,
        }
        return Facts(**{**usual, **other})

    def _subject(self, kind: str) -> Callable[[], Awaitable[Place]]:
        async def place() -> Place:
            async def present(token: str) -> bool:
                return await self.exchange({"subject_token": token, "subject_token_type": TYPE + kind})

            return Place(self._facts(), self._by_issuer, present)

        return place

    def _actor(self, kind: str) -> Callable[[], Awaitable[Place]]:
        async def place() -> Place:
            async def present(token: str) -> bool:
                actor = {"actor_token": token, "actor_token_type": TYPE + kind}
                return await self.exchange({"subject_token": self.good_subject(), **actor})

            return Place(self._facts(), self._by_issuer, present)

        return place

    async def _accounts(self) -> Place:
        async def present(token: str) -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await self.http.get("/me/v1/connected-accounts/accounts", headers=headers)
            assert answer.status_code in {_OK, 401}, answer.text
            return answer.status_code == _OK

        return Place(self._facts(), self._by_issuer, present)

    async def _sign_in(self) -> Place:
        async with loopback_http(base_url=self.url, timeout=30.0) as browser:
            begun = await browser.get("/auth/login")
            cookies = dict(browser.cookies)
        query = {name: value for name, (value,) in parse_qs(urlsplit(begun.headers["location"]).query).items()}

        async def present(token: str) -> bool:
            self.issuer.id_token = token
            params = {"code": "a-code", "state": query["state"]}
            async with loopback_http(base_url=self.url, cookies=cookies, timeout=30.0) as browser:
                answer = await browser.get("/auth/login/callback", params=params)
            assert answer.status_code in {_SEEN_OTHER, 400}, answer.text
            return answer.status_code == _SEEN_OTHER

        # As if the issuer wrote this sign-in's nonce into everything.
        answering = {"nonce": query["nonce"], "beside": {"nonce": query["nonce"]}}
        return Place(self._facts(client=VAULT_AT_ISSUER, **answering), self._by_issuer, present)

    async def _logout(self) -> Place:
        async def present(token: str) -> bool:
            answer = await self.http.post("/auth/login/backchannel", data={"logout_token": token})
            assert answer.status_code in {_OK, 400}, answer.text
            return answer.status_code == _OK

        return Place(self._facts(client=VAULT_AT_ISSUER), self._by_issuer, present)

    async def _notice(self) -> Place:
        async def present(token: str) -> bool:
            answer = await self.http.post("/notices/google", content=token.encode())
            assert answer.status_code in {202, 400}, answer.text
            return answer.status_code == 202

        def signed(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
            return signed_by(self.issuer.rsa, "RS256", header, claims)

        audience = [VAULT_AT_PROVIDER, self.url, VAULT_AT_ISSUER]
        return Place(self._facts(iss=f"{self.issuer.url}/", aud=audience), signed, present)

    def _by_client(self) -> tuple[Signer, Facts, Signed]:
        signer = next(self._signers)
        own = signer.client_id

        def signed(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
            return signed_by(signer.key, signer.alg, header, claims)

        return signer, self._facts(iss=own, own=own, client=own, aud=self.url), signed

    async def _client_assertion(self) -> Place:
        signer, facts, signed = self._by_client()

        async def present(token: str) -> bool:
            assertion = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": token}
            return await self.exchange({"subject_token": self.good_subject(azp=signer.client_id), **assertion})

        return Place(facts, signed, present)

    def _subject_assertion(self, **asked: str) -> Callable[[], Awaitable[Place]]:
        async def place() -> Place:
            signer, facts, signed = self._by_client()

            async def present(token: str) -> bool:
                subject = {"subject_token": token, "subject_token_type": TYPE + "jwt", **asked}
                return await self.exchange({**subject, **signer.credentials()})

            return Place(facts, signed, present)

        return place

    async def _proof(self) -> Place:
        bound = self.good_subject(cnf=self._holder.cnf)

        def signed(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
            return signed_by(self._holder.key, "ES256", {"jwk": self._holder.jwk(), **header}, claims)

        async def present(token: str) -> bool:
            return await self.exchange({"subject_token": bound}, DPoP=token)

        return Place(self._facts(iss=fresh("holder"), own="holder", aud=self.url), signed, present)


@asynccontextmanager
async def open_crosswise(world: World) -> AsyncIterator[Crosswise]:
    """On the database of the world, beside its own vault."""
    vault_at, issuer_at = listen(), listen()
    issuer = AnyIssuer(issuer_at)
    signers = [Signer(f"crosswise-{number}", vault=vault_at.url) for number in range(CLIENTS)]
    config = world.folder / f"crosswise-{vault_at.port}.toml"
    config.touch(mode=0o600)
    config.write_text(_file(world, vault_at.url, issuer, signers), encoding="utf-8")
    settings = load(config, environ={}, allow_literal_secrets=True)
    with LoopbackServers() as servers:
        servers.serve(issuer.app, issuer_at)
        servers.serve(create_app(settings), vault_at)
        opened = Crosswise(vault_at.url, issuer, signers)
        yield opened
        await opened.http.aclose()


def _file(world: World, vault: str, issuer: AnyIssuer, signers: list[Signer]) -> str:
    text = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
    notices = f'notices = "google_risc"\nnotices_issuer = "{issuer.url}/"'
    changes = {
        f'public_url = "{world.places.vault}"': f'public_url = "{vault}"',
        '[login]\nissuer = "sandbox"': '[login]\nissuer = "any"',
        "[providers.google]": f"[providers.google]\n{notices}",
    }
    for before, after in changes.items():
        if before not in text:
            raise ValueError(f"{before} does not stand in the file")
        text = text.replace(before, after)
    # No scope hides a token that is believed, and of those that name no client the sample agent is the default one.
    believed = f"""
[issuers.any]
issuer = "{issuer.url}"
algorithms = ["ES256"]
audience = [{json.dumps(vault)}]
id_token_client_ids = ["{SAMPLE_AGENT}"]
trusted_clients = ["{SAMPLE_AGENT}"]
account_scopes = "off"
allow_private_hosts = ["127.0.0.1"]
"""
    may = 'may_assert_subjects = true\nassert_providers = ["github"]\nassert_issuer = "any"\n'
    grant = 'providers = { github = ["repo", "read:user"] }\n'
    return text + believed + "\n".join(signer.table(may, grant) for signer in signers)
