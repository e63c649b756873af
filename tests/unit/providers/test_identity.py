"""Whose account a grant is: from the token's answer, an ID token, userinfo in its ways, and places beside it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.unit.providers.conftest import CLIENT_ID, NOW, provider_of, refused, unavailable
from tests.unit.scripted_server import ScriptedServer
from vaultd.providers.oauth import Account, Grant, Identity, OAuthClient
from vaultd.providers.registry import Provider
from vaultd.terms import Scopes, Secret

ISSUER = "https://login.acme.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": CLIENT_ID,
    "sub": "u-1",
    "email": "alice@example.com",
    "exp": int(NOW.timestamp()) + 60,
    "iat": int(NOW.timestamp()),
    "nonce": "n-1",
}


def id_token(claims: Any, segments: int = 3) -> str:
    """A token whose signature nobody made."""
    parts = [{"alg": "RS256"}, claims, "signature", "", ""][:segments]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


async def grant_of(oauth: OAuthClient, server: ScriptedServer, provider: Provider, **answer: Any) -> Grant:
    server.answers_json({"access_token": "at-1", **answer})
    return await oauth.redeem(
        provider,
        code=Secret("c"),
        code_verifier=Secret("v"),
        redirect_uri="https://vault.example.com/cb",
        scopes=Scopes(),
    )


class TestIdTokens:
    """OpenID Connect Core 1.0 §3.1.3.7, with TLS in the signature's place."""

    async def identify(self, oauth: OAuthClient, server: ScriptedServer, token: str | None, **changes: Any) -> Identity:
        keys = {"account_source": "id_token", "id_token_issuers": [ISSUER], "userinfo_endpoint": None} | changes
        provider = provider_of(server, **keys)
        grant = await grant_of(oauth, server, provider, **({} if token is None else {"id_token": token}))
        return await oauth.identify(provider, grant=grant, nonce="n-1")

    async def test_names_the_account(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        identity = await self.identify(oauth, server, id_token(CLAIMS))
        assert identity.account == Account("u-1", "alice@example.com", ("alice@example.com",))
        assert len(server.seen) == 1

    async def test_of_the_issuer_of_rfc_9207_where_no_other_is_named(
        self, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        identity = await self.identify(oauth, server, id_token(CLAIMS), id_token_issuers=[], issuer=ISSUER)
        assert identity.account is not None

    @pytest.mark.parametrize(
        "change",
        [
            {"iss": "https://evil.example"},
            {"iss": ISSUER + "/"},
            {"iss": None},
            {"aud": "another app"},
            {"aud": []},
            {"aud": None},
            {"aud": [CLIENT_ID, "another app"]},
            {"aud": [CLIENT_ID, "another app"], "azp": "another app"},
            {"azp": "another app"},
            {"exp": int(NOW.timestamp()) - 61},
            {"exp": None},
            {"exp": "soon"},
            {"nbf": int(NOW.timestamp()) + 61},
            {"nonce": "n-2"},
            {"nonce": None},
        ],
    )
    async def test_of_another(self, change: dict[str, Any], oauth: OAuthClient, server: ScriptedServer) -> None:
        claims = {name: value for name, value in (CLAIMS | change).items() if value is not None}
        error = await refused(lambda: self.identify(oauth, server, id_token(claims)))
        assert error.error == "invalid_id_token"
        assert "u-1" not in str(error)

    @pytest.mark.parametrize("token", [None, "x", id_token(CLAIMS, segments=2), id_token(CLAIMS, segments=5), "a.b.c"])
    async def test_that_is_none(self, token: str | None, oauth: OAuthClient, server: ScriptedServer) -> None:
        assert (await refused(lambda: self.identify(oauth, server, token))).error == "invalid_id_token"

    async def test_several_audiences_with_an_authorized_party(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        token = id_token(CLAIMS | {"aud": [CLIENT_ID, "another app"], "azp": CLIENT_ID})
        assert (await self.identify(oauth, server, token)).account is not None

    async def test_that_names_nobody(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        claims = {name: value for name, value in CLAIMS.items() if name != "sub"}
        await unavailable(lambda: self.identify(oauth, server, id_token(claims)))


class TestTheTokenAnswer:
    async def test_names_the_account_by_path(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(
            server,
            account_source="token",
            account_id_field="authed_user.id",
            account_label_fields=["team.name", "authed_user.id"],
        )
        grant = await grant_of(oauth, server, provider, authed_user={"id": "U1"}, team={"name": "Acme"})
        identity = await oauth.identify(provider, grant=grant)
        assert identity.account == Account("U1", "Acme", ("Acme", "U1"))
        assert len(server.seen) == 1

    async def test_that_names_nobody(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """It is told when it is asked, so that what was granted can be given back (B3)."""
        provider = provider_of(server, account_source="token", account_id_field="owner.id")
        grant = await grant_of(oauth, server, provider, owner={"login": "x"})
        await unavailable(lambda: oauth.identify(provider, grant=grant))

    async def test_keeps_no_more_of_the_answer(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(server, account_source="token", account_id_field="id")
        grant = await grant_of(oauth, server, provider, id="i", other="o", refresh_token="rt-secret")
        assert set(grant.account_fields) == {"id", *provider.config.account_label_fields}
        assert "rt-secret" not in repr(grant)


class TestUserinfo:
    async def asked(self, oauth: OAuthClient, server: ScriptedServer, answer: Any, **changes: Any) -> Identity:
        provider = provider_of(server, **changes)
        grant = Grant(access_token=Secret("at-1"), refresh_token=None, expires_in=None, scopes=None)
        server.answers_json(answer)
        return await oauth.identify(provider, grant=grant)

    async def test_graphql(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        identity = await self.asked(
            oauth,
            server,
            {"data": {"viewer": {"id": 7, "name": "Alice", "email": "a@b.example"}}},
            userinfo_method="POST",
            userinfo_body='{"query": "{ viewer { id } }"}',
            userinfo_headers={"API-Version": "2026-01", "accept": "application/x"},
            account_id_field="data.viewer.id",
            account_label_fields=["data.viewer.email", "data.viewer.name"],
        )
        assert identity.account == Account("7", "a@b.example", ("a@b.example", "Alice"))
        assert (server.last.method, json.loads(server.last.body)) == ("POST", {"query": "{ viewer { id } }"})
        assert server.last.headers["api-version"] == "2026-01"
        assert server.last.headers["accept"] == "application/x"

    async def test_a_post_without_a_body(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """Dropbox refuses one that has a content type."""
        await self.asked(oauth, server, {"sub": "u"}, userinfo_method="POST")
        assert (server.last.method, server.last.body) == ("POST", b"")
        assert "content-type" not in server.last.headers

    async def test_another_scheme(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """Mailchimp and Twitch."""
        await self.asked(oauth, server, {"sub": "u"}, userinfo_token_scheme="OAuth")
        assert server.last.headers["authorization"] == "OAuth at-1"

    async def test_metadata(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """DocuSign's base_uri stands in a list."""
        answer = {"sub": "u", "accounts": [{"account_id": "1", "base_uri": "https://demo.docusign.net"}]}
        fields = {"base_uri": "accounts.0.base_uri", "missing": "accounts.9.base_uri"}
        identity = await self.asked(oauth, server, answer, userinfo_metadata=fields)
        assert identity.metadata == {"base_uri": "https://demo.docusign.net"}

    async def test_is_asked_for_metadata_alone(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(
            server, account_source="token", account_id_field="user_id", userinfo_metadata={"dc": "dc"}
        )
        grant = await grant_of(oauth, server, provider, user_id="u-7")
        server.answers_json({"dc": "us1", "sub": "another"})
        identity = await oauth.identify(provider, grant=grant)
        assert (identity.account, identity.metadata) == (Account("u-7", "u-7"), {"dc": "us1"})

    async def test_an_imported_token_is_asked_about_only_where_userinfo_tells(
        self, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        server.answers_json({"sub": "u"})
        asked = await oauth.account(provider_of(server), access_token=Secret("t"))
        assert asked == Account("u", "u")
        server.seen.clear()
        for changes in ({"account_source": "token"}, {"userinfo_endpoint": None}):
            assert await oauth.account(provider_of(server, **changes), access_token=Secret("t")) is None
        assert server.seen == []


class TestPlaces:
    """Atlassian's accessible resources and their like."""

    async def asked(self, oauth: OAuthClient, server: ScriptedServer, answer: Any, **changes: Any) -> Any:
        lookup = {"endpoint": f"{server.url}/places", "metadata": "sites", **changes}
        provider = provider_of(server, userinfo_endpoint=None, lookup=lookup)
        grant = Grant(access_token=Secret("at-1"), refresh_token=None, expires_in=None, scopes=None)
        server.answers_json(answer)
        return (await oauth.identify(provider, grant=grant)).metadata["sites"]

    async def test_a_list(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        answer = [{"id": "c1", "name": "one", "url": "https://one"}, {"id": 2}, {"name": "no id"}, "x", None]
        assert await self.asked(oauth, server, answer) == [{"id": "c1", "name": "one"}, {"id": "2", "name": "2"}]
        assert (server.last.method, server.last.headers["authorization"]) == ("GET", "Bearer at-1")

    async def test_where_a_grant_is_for_one_of_them_two_are_two_accounts(
        self, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        """Atlassian's apps with resource-level access."""
        provider = provider_of(
            server,
            lookup={"endpoint": f"{server.url}/places", "metadata": "sites"},
            account_source="token",
            account_id_field=["lookup:0.id", "account_id"],
            former_account_id_fields=["account_id"],
            account_place_fields=["lookup:0.name"],
        )
        grant = await grant_of(oauth, server, provider, account_id="a-1")
        found = []
        for site in ("c1", "c2"):
            server.answers_json([{"id": site, "name": site.upper()}])
            found.append((await oauth.identify(provider, grant=grant)).account)
        assert [account and account.id for account in found] == ["c1:a-1", "c2:a-1"]
        assert [account and account.former_ids for account in found] == [("a-1",)] * 2
        server.answers_json([])
        await unavailable(lambda: oauth.identify(provider, grant=grant))

    async def test_a_list_within(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        answer = {"data": {"rows": [{"tenantId": "t", "tenantName": "T"}]}}
        found = await self.asked(
            oauth, server, answer, list_path="data.rows", id_field="tenantId", label_field="tenantName"
        )
        assert found == [{"id": "t", "name": "T"}]

    async def test_no_more_than_a_hundred(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        assert len(await self.asked(oauth, server, [{"id": number} for number in range(1000)])) == 100

    @pytest.mark.parametrize("answer", [{"x": []}, "text", 7, None, {"error": "x"}])
    async def test_no_list(self, answer: Any, oauth: OAuthClient, server: ScriptedServer) -> None:
        await unavailable(lambda: self.asked(oauth, server, answer))

    @pytest.mark.parametrize(("status", "error"), [(401, "invalid_token"), (403, "access_denied")])
    async def test_a_refusal(self, status: int, error: str, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json([], status=status)
        lookup = {"endpoint": f"{server.url}/places", "metadata": "sites"}
        provider = provider_of(server, userinfo_endpoint=None, lookup=lookup)
        grant = Grant(access_token=Secret("at-1"), refresh_token=None, expires_in=None, scopes=None)
        assert (await refused(lambda: oauth.identify(provider, grant=grant))).error == error
