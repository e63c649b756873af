"""What the OAuth client sends: authorization URL, client authentication, the four calls."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.providers.conftest import CLIENT_ID, CLIENT_SECRET, account_of, provider_of
from tests.unit.scripted_server import ScriptedServer
from vaultd.errors import InvalidRequest, ProviderRefused, ProviderUnavailable
from vaultd.providers.oauth import Account, OAuthClient
from vaultd.providers.registry import Provider
from vaultd.terms import Scopes, Secret

CALLBACK = "https://vault.example.com/auth/callback/acme"
TOKENS = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 60, "refresh_token": "rt-1", "scope": "read"}


def url_of(oauth: OAuthClient, provider: Provider, *scopes: str, **extra: str) -> str:
    return oauth.authorization_url(
        provider,
        redirect_uri=CALLBACK,
        state="st&te",
        scopes=Scopes(scopes),
        code_challenge="chall",
        extra=extra,
    )


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, strict_parsing=True)


class TestAuthorizationUrl:
    def test_has_what_the_rfcs_ask_for(self, oauth: OAuthClient, provider: Provider) -> None:
        """B2: PKCE S256 always."""
        url = url_of(oauth, provider, "write", "read")
        assert url.startswith(provider.config.authorization_endpoint.split("?")[0] + "?")
        assert query_of(url) == {
            "tenant": ["7"],
            "response_type": ["code"],
            "client_id": [CLIENT_ID],
            "redirect_uri": [CALLBACK],
            "scope": ["read write"],
            "state": ["st&te"],
            "code_challenge": ["chall"],
            "code_challenge_method": ["S256"],
        }

    def test_joins_scopes_as_the_provider_wants(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(server, scope_separator=",")
        assert query_of(url_of(oauth, provider, "b", "a"))["scope"] == ["a,b"]

    def test_asks_for_no_scope_without_any(self, oauth: OAuthClient, provider: Provider) -> None:
        assert "scope" not in query_of(url_of(oauth, provider))

    def test_adds_the_table_s_parameters_and_allowed_ones(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(server, authorization_params={"access_type": "offline", "prompt": "consent"})
        query = query_of(url_of(oauth, provider, prompt="login"))
        assert (query["access_type"], query["prompt"]) == (["offline"], ["login"])

    @pytest.mark.parametrize("name", ["state", "redirect_uri", "client_id", "scope", "uri", "audience"])
    def test_refuses_other_parameters(self, name: str, oauth: OAuthClient, provider: Provider) -> None:
        with pytest.raises(InvalidRequest, match=name):
            url_of(oauth, provider, **{name: "x"})

    def test_any_name_may_be_allowed(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(server, allowed_authorization_params=["uri", "self"])
        assert query_of(url_of(oauth, provider, uri="u"))["uri"] == ["u"]

    def test_leaves_pkce_out_where_a_provider_cannot(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        assert "code_challenge" not in query_of(url_of(oauth, provider_of(server, pkce=False)))

    def test_carries_a_nonce(self, oauth: OAuthClient, provider: Provider) -> None:
        url = oauth.authorization_url(
            provider, redirect_uri=CALLBACK, state="s", scopes=Scopes(), code_challenge="c", extra={}, nonce="once"
        )
        assert query_of(url)["nonce"] == ["once"]

    def test_has_no_secret(self, oauth: OAuthClient, provider: Provider) -> None:
        assert "s3cret" not in url_of(oauth, provider)


class TestRedeem:
    async def test_sends_the_code_and_gives_the_grant(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({**TOKENS, "instance_url": "https://eu7.acme.example", "id_token": "ignored"})
        grant = await oauth.redeem(
            provider,
            code=Secret("c0de"),
            code_verifier=Secret("ver1fier"),
            redirect_uri=CALLBACK,
            scopes=Scopes(["read"]),
        )
        assert server.last.path == "/token"
        assert server.last.form() == {
            "grant_type": ["authorization_code"],
            "code": ["c0de"],
            "redirect_uri": [CALLBACK],
            "code_verifier": ["ver1fier"],
        }
        assert server.last.headers["accept"] == "application/json"
        assert (grant.access_token, grant.refresh_token) == (Secret("at-1"), Secret("rt-1"))
        assert (grant.expires_in, grant.scopes) == (60, Scopes(["read"]))
        assert grant.metadata == {"instance_url": "https://eu7.acme.example"}
        assert "at-1" not in repr(grant)
        assert "rt-1" not in repr(grant)

    async def test_sends_no_verifier_without_pkce(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(TOKENS)
        provider = provider_of(server, pkce=False)
        await oauth.redeem(
            provider, code=Secret("c"), code_verifier=Secret("v"), redirect_uri=CALLBACK, scopes=Scopes()
        )
        assert "code_verifier" not in server.last.form()


class TestClientAuthentication:
    async def test_basic_is_form_encoded_first(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        """RFC 6749 §2.3.1."""
        server.answers_json(TOKENS)
        await oauth.refresh(provider, refresh_token=Secret("rt"))
        expected = base64.b64encode(b"our+app:cl%21ent+s3cret%2B%2F%3D").decode()
        assert server.last.headers["authorization"] == f"Basic {expected}"
        assert server.last.form().keys() == {"grant_type", "refresh_token"}

    async def test_post(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(TOKENS)
        provider = provider_of(server, token_endpoint_auth_method="client_secret_post")
        await oauth.refresh(provider, refresh_token=Secret("rt"))
        assert server.last.form()["client_id"] == [CLIENT_ID]
        assert server.last.form()["client_secret"] == [CLIENT_SECRET]
        assert "authorization" not in server.last.headers

    async def test_json(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(TOKENS)
        provider = provider_of(server, token_endpoint_auth_method="json")
        await oauth.refresh(provider, refresh_token=Secret("rt"))
        assert json.loads(server.last.body) == {
            "grant_type": "refresh_token",
            "refresh_token": "rt",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        assert server.last.headers["content-type"] == "application/json"

    async def test_none(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(TOKENS)
        provider = provider_of(server, token_endpoint_auth_method="none", client_secret=None)
        await oauth.refresh(provider, refresh_token=Secret("rt"))
        assert server.last.form()["client_id"] == [CLIENT_ID]
        assert "client_secret" not in server.last.form()
        assert "authorization" not in server.last.headers


class TestRefresh:
    async def test_sends_the_refresh_token(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json(TOKENS)
        grant = await oauth.refresh(provider, refresh_token=Secret("rt-0"))
        assert server.last.form() == {"grant_type": ["refresh_token"], "refresh_token": ["rt-0"]}
        assert grant.refresh_token == Secret("rt-1")

    async def test_narrows_in_the_provider_s_own_way(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(TOKENS)
        provider = provider_of(server, scope_separator=",")
        await oauth.refresh(provider, refresh_token=Secret("rt-0"), scopes=Scopes(["b", "a"]))
        assert server.last.form()["scope"] == ["a,b"]

    @pytest.mark.parametrize("error", ["invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked"])
    async def test_a_dead_refresh_token_is_invalid_grant_in_whatever_words(
        self, error: str, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({"error": error})
        with pytest.raises(ProviderRefused) as refused:
            await oauth.refresh(provider, refresh_token=Secret("rt-0"))
        assert refused.value.error == "invalid_grant"


class TestRevoke:
    async def test_sends_the_token_with_the_client_s_proof(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        """RFC 7009 §2.1."""
        server.answers(b"")
        await oauth.revoke(provider, token=Secret("rt-1"), hint="refresh_token", metadata={})
        assert server.last.path == "/revoke"
        assert server.last.form() == {"token": ["rt-1"], "token_type_hint": ["refresh_token"]}
        assert server.last.headers["authorization"].startswith("Basic ")

    async def test_a_provider_that_cannot_revoke(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        with pytest.raises(ProviderRefused) as refused:
            await oauth.revoke(
                provider_of(server, revocation_endpoint=None), token=Secret("t"), hint="access_token", metadata={}
            )
        assert refused.value.error == "unsupported"
        assert server.seen == []

    @pytest.mark.parametrize("error", ["invalid_token", "token_revoked", "token_expired"])
    @pytest.mark.parametrize("status", [200, 400])
    async def test_a_token_that_is_gone_already(
        self, error: str, status: int, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({"error": error}, status=status)
        await oauth.revoke(provider, token=Secret("t"), hint="access_token", metadata={})

    async def test_whatever_page_comes_with_success(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        """RFC 7009 §2.2: the body says nothing."""
        server.answers(b"<html>ok</html>", content_type="text/html")
        await oauth.revoke(provider, token=Secret("t"), hint="access_token", metadata={})

    async def test_a_refusal(self, oauth: OAuthClient, provider: Provider, server: ScriptedServer) -> None:
        server.answers_json({"error": "unsupported_token_type"}, status=400)
        with pytest.raises(ProviderRefused) as refused:
            await oauth.revoke(provider, token=Secret("t"), hint="access_token", metadata={})
        assert refused.value.error == "unsupported_token_type"

    async def test_slack_says_no_with_200(self, oauth: OAuthClient, provider: Provider, server: ScriptedServer) -> None:
        server.answers_json({"ok": False, "error": "invalid_auth"})
        with pytest.raises(ProviderRefused):
            await oauth.revoke(provider, token=Secret("t"), hint="access_token", metadata={})

    @pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
    async def test_an_outage_is_not_final(
        self, status: int, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers(b"<html>", status=status, Retry_After="3")
        with pytest.raises(ProviderUnavailable):
            await oauth.revoke(provider, token=Secret("t"), hint="access_token", metadata={})


class TestAccount:
    async def test_asks_with_the_token(self, oauth: OAuthClient, provider: Provider, server: ScriptedServer) -> None:
        server.answers_json({"sub": "u-1", "email": "", "name": "Alice", "login": None})
        assert await account_of(oauth, provider, Secret("at-1")) == Account("u-1", "Alice", ("Alice",))
        assert (server.last.method, server.last.path) == ("GET", "/me")
        assert server.last.headers["authorization"] == "Bearer at-1"

    async def test_nobody_to_ask(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(server, userinfo_endpoint=None)
        assert await account_of(oauth, provider, Secret("at-1")) is None

    async def test_a_number_as_id_and_a_path_to_it(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"ok": True, "user": {"id": 583231, "names": {"short": "octo"}}})
        provider = provider_of(server, account_id_field="user.id", account_label_fields=["nope.x", "user.names.short"])
        assert await account_of(oauth, provider, Secret("t")) == Account("583231", "octo", ("octo",))

    async def test_a_label_is_made_fit_to_show(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({"sub": "u", "name": " Zoë\x00\r\n\u202e\ud800 <b>" + "x" * 500})
        account = await account_of(oauth, provider, Secret("t"))
        assert account is not None
        assert account.label.startswith("Zoë <b>xxx")
        assert len(account.label) == 200

    async def test_the_id_stands_in_for_a_missing_label(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({"sub": "u-9", "email": 7})
        assert await account_of(oauth, provider, Secret("t")) == Account("u-9", "u-9")

    @pytest.mark.parametrize("sub", [None, "", True, 1.5, [], {}, "a\x00b", "x" * 256])
    async def test_an_id_that_is_none(
        self, sub: object, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({"sub": sub})
        with pytest.raises(ProviderUnavailable, match="sub"):
            await account_of(oauth, provider, Secret("t"))

    async def test_a_token_that_is_not_accepted(
        self, oauth: OAuthClient, provider: Provider, server: ScriptedServer
    ) -> None:
        """RFC 6750 §3.1; GitHub's body has no `error`."""
        server.answers_json({"message": "Bad credentials"}, status=401)
        with pytest.raises(ProviderRefused) as refused:
            await account_of(oauth, provider, Secret("t"))
        assert refused.value.error == "invalid_token"

    async def test_slack_says_no_with_200(self, oauth: OAuthClient, provider: Provider, server: ScriptedServer) -> None:
        server.answers_json({"ok": False, "error": "missing_scope"})
        with pytest.raises(ProviderRefused) as refused:
            await account_of(oauth, provider, Secret("t"))
        assert refused.value.error == "missing_scope"

    async def test_a_setting_may_name_the_account_and_no_answer_takes_its_place(
        self, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        """Shopify's answer does not say whose shop it is; the setting that chose the place does (C0)."""
        setting = {"pattern": "[a-z]+", "example": "mine", "description": "Your shop."}
        provider = provider_of(
            server,
            connection_settings={"shop": setting},
            token_endpoint=f"{server.url}/{{shop}}/token",
            account_source="token",
            account_id_field="shop",
        ).at({"shop": "mine"})
        server.answers_json({**TOKENS, "shop": "another"})
        grant = await oauth.redeem(
            provider, code=Secret("c"), code_verifier=Secret("v"), redirect_uri=CALLBACK, scopes=Scopes()
        )
        assert (await oauth.identify(provider, grant=grant)).account == Account("mine", "mine", ())
        assert server.seen[0].path == "/mine/token"
