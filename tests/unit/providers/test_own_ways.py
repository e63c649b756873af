"""Providers' own ways of being asked and of answering, as their tables say them (issue 5 §1)."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.providers.conftest import CLIENT_ID, CLIENT_SECRET, GOOD, SENT, provider_of, refused, unavailable
from tests.unit.scripted_server import ScriptedServer
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.oauth import Grant, OAuthClient
from vaultd.providers.registry import Provider
from vaultd.terms import Scopes, Secret

BASIC = "Basic " + base64.b64encode(b"our+app:cl%21ent+s3cret%2B%2F%3D").decode()


async def redeem(oauth: OAuthClient, provider: Provider) -> Grant:
    return await oauth.redeem(
        provider,
        code=Secret("c0de"),
        code_verifier=Secret("ver1fier"),
        redirect_uri="https://vault.example.com/cb",
        scopes=Scopes(["b", "a"]),
    )


class TestRequests:
    async def test_json_beside_basic(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """Notion: the body's format has nothing to do with how the client authenticates."""
        server.answers_json(GOOD)
        provider = provider_of(
            server, token_request_format="json", token_headers={"Notion-Version": "2025-09-03", "accept": "text/x"}
        )
        await oauth.refresh(provider, refresh_token=SENT)
        assert json.loads(server.last.body) == {"grant_type": "refresh_token", "refresh_token": SENT.reveal()}
        assert server.last.headers["authorization"] == BASIC
        assert server.last.headers["notion-version"] == "2025-09-03"
        assert server.last.headers["accept"] == "text/x"

    async def test_further_parameters_each_where_they_belong(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(GOOD)
        provider = provider_of(server, token_params={"expiring": "1"}, refresh_params={"mode": "x", "scope": "all"})
        await redeem(oauth, provider)
        assert (server.last.form()["expiring"], "mode" in server.last.form()) == (["1"], False)
        await oauth.refresh(provider, refresh_token=SENT)
        assert (server.last.form()["mode"], server.last.form()["scope"]) == (["x"], ["all"])
        assert "expiring" not in server.last.form()
        await oauth.refresh(provider, refresh_token=SENT, scopes=Scopes(["some"]))
        assert server.last.form()["scope"] == ["some"]

    async def test_a_refresh_endpoint_of_its_own(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(GOOD)
        provider = provider_of(server, refresh_endpoint=f"{server.url}/refresh")
        await oauth.refresh(provider, refresh_token=SENT)
        assert server.last.path == "/refresh"
        await redeem(oauth, provider)
        assert server.last.path == "/token"

    async def test_other_names_for_the_parameters(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(GOOD)
        names = {"client_id": "client_key", "client_secret": "client_pass", "scope": "user_scope", "code": "auth_code"}
        provider = provider_of(server, parameter_names=names, token_endpoint_auth_method="client_secret_post")
        url = oauth.authorization_url(
            provider,
            redirect_uri="https://v.example",
            state="s",
            scopes=Scopes(["a"]),
            code_challenge="c",
            extra={},
        )
        query = parse_qs(urlsplit(url).query)
        assert (query["client_key"], query["user_scope"]) == ([CLIENT_ID], ["a"])
        assert not {"client_id", "scope"} & query.keys()
        await redeem(oauth, provider)
        form = server.last.form()
        assert (form["client_key"], form["client_pass"], form["auth_code"]) == ([CLIENT_ID], [CLIENT_SECRET], ["c0de"])
        assert not {"client_id", "client_secret", "code"} & form.keys()

    @pytest.mark.parametrize(("with_code", "expected"), [(False, None), (True, ["a,b"])])
    async def test_the_scopes_go_with_the_code_where_the_provider_wants_them(
        self,
        with_code: bool,  # noqa: FBT001 - a column of the table
        expected: list[str] | None,
        oauth: OAuthClient,
        server: ScriptedServer,
    ) -> None:
        """Zendesk."""
        server.answers_json(GOOD)
        await redeem(oauth, provider_of(server, scope_with_code=with_code, scope_separator=","))
        assert server.last.form().get("scope") == expected

    async def test_nothing_replaces_what_vaultd_sets(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(server, allowed_authorization_params=["prompt"], authorization_params={"prompt": "none"})
        url = oauth.authorization_url(
            provider,
            redirect_uri="https://v.example",
            state="s",
            scopes=Scopes(),
            code_challenge="c",
            extra={"prompt": "login"},
        )
        assert parse_qs(urlsplit(url).query)["prompt"] == ["login"]


class TestTokens:
    async def refreshed(self, oauth: OAuthClient, server: ScriptedServer, answer: Any, **changes: Any) -> Grant:
        server.answers_json(answer)
        return await oauth.refresh(provider_of(server, **changes), refresh_token=SENT)

    @pytest.mark.parametrize(
        ("path", "expected"), [("authed_user", "xoxp-1"), ("", "xoxb-1"), (None, "xoxp-1"), ("data.0.token", "deep")]
    )
    async def test_where_the_token_stands(
        self, path: str | None, expected: str, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        """Slack: the person's token is nested, and what lies beside it is the bot's."""
        server.answers_json(
            {
                "ok": True,
                "access_token": "xoxb-1",
                "token_type": "bot",
                "scope": "chat:write",
                "authed_user": {"id": "U1", "access_token": "xoxp-1", "token_type": "user", "scope": "search:read"},
                "data": [{"token": {"access_token": "deep"}}],
            }
        )
        grant = await redeem(oauth, provider_of(server, token_path=path))
        assert grant.access_token == Secret(expected)

    async def test_no_other_token_is_taken_at_consent(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """The bot's token is not the person's, although it stands in the same answer."""
        server.answers_json({"ok": True, "access_token": "xoxb-1", "authed_user": {"id": "U1"}})
        await unavailable(lambda: redeem(oauth, provider_of(server, token_path="authed_user")))
        server.answers_json({"ok": True, "access_token": "xoxb-1"})
        await unavailable(lambda: redeem(oauth, provider_of(server, token_path="authed_user")))

    async def test_a_refresh_may_answer_at_the_top(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        answer = {"ok": True, "access_token": "xoxe.xoxp-2", "token_type": "user"}
        grant = await self.refreshed(oauth, server, answer, token_path="authed_user")
        assert grant.access_token == Secret("xoxe.xoxp-2")

    async def test_metadata_by_path(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        answer = {
            **GOOD,
            "team": {"id": "T1", "n": 7, "on": True},
            "list": [{"u": "first"}],
            "instance_url": "https://i",
        }
        fields = {"team_id": "team.id", "n": "team.n", "on": "team.on", "u": "list.0.u", "no": "list.1.u", "x": "a.b"}
        grant = await self.refreshed(oauth, server, answer, metadata_fields=fields)
        assert grant.metadata == {"team_id": "T1", "n": "7", "u": "first"}

    @pytest.mark.parametrize(
        ("expires", "given", "expected"),
        [
            (True, None, 1800),  # Salesforce names no life
            (True, 60, 60),
            (True, 0, 1800),  # a token that was just issued has a life, and nobody has said which
            (False, None, None),
            (False, 0, None),  # Mailchimp's way of saying that it does not end
            (False, 60, 60),  # what the answer says is nearer to the truth
            (None, None, None),
            (None, 0, None),
        ],
    )
    async def test_tokens_that_end_and_tokens_that_do_not(
        self,
        expires: bool | None,  # noqa: FBT001 - a column of the table
        given: int | None,
        expected: int | None,
        oauth: OAuthClient,
        server: ScriptedServer,
    ) -> None:
        answer = GOOD if given is None else {**GOOD, "expires_in": given}
        grant = await self.refreshed(oauth, server, answer, expires=expires, assumed_ttl=1800)
        assert grant.expires_in == expected

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ({}, None),  # Slack without token rotation, GitHub and Miro with expiration off
            ({"refresh_token": "r"}, 1800),  # Salesforce
            ({"expires_in": 60}, 60),
            ({"expires_in": 60, "refresh_token": "r"}, 60),
        ],
    )
    async def test_a_life_is_assumed_only_where_it_can_be_renewed(
        self, answer: Any, expected: int | None, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        server.answers_json({**GOOD, **answer})
        grant = await redeem(oauth, provider_of(server, expires=True, assumed_ttl=1800))
        assert grant.expires_in == expected


class TestErrors:
    async def refusal(self, oauth: OAuthClient, server: ScriptedServer, answer: Any, **changes: Any) -> str:
        server.answers_json(answer, status=changes.pop("status", 400))
        provider = provider_of(server, **changes)
        return (await refused(lambda: redeem(oauth, provider))).error

    async def test_the_provider_s_word_in_oauth_s(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        codes = {"bad_verification_code": "invalid_grant", "OAuthException": "access_denied"}
        answer = {"error": "bad_verification_code"}
        assert await self.refusal(oauth, server, answer, status=200, error_codes=codes) == "invalid_grant"
        nested = {"error": {"type": "OAuthException"}}
        assert await self.refusal(oauth, server, nested, error_codes=codes) == "access_denied"
        assert await self.refusal(oauth, server, {"error": "another"}, error_codes=codes) == "another"

    @pytest.mark.parametrize(
        ("path", "answer"),
        [
            ("status", {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid"}),
            ("errors.0.code", {"errors": [{"code": "BAD_REFRESH_TOKEN"}]}),
            ("reason", {"reason": "BAD_REFRESH_TOKEN", "error": "invalid_request"}),
            ("code", {"code": 20014}),
        ],
    )
    async def test_where_an_error_s_word_stands(
        self, path: str, answer: Any, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        """HubSpot, Strava, Zoom and their like."""
        codes = {"BAD_REFRESH_TOKEN": "invalid_grant", "20014": "invalid_grant"}
        assert await self.refusal(oauth, server, answer, error_path=path, error_codes=codes) == "invalid_grant"

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ({"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}, "invalid_grant"),
            ({"error": "invalid_grant", "error_description": "gone"}, "invalid_grant"),
            ({"status": "error", "error": "invalid_grant"}, "invalid_grant"),
            ({"status": "BAD_REFRESH_TOKEN", "error": "invalid_request"}, "invalid_grant"),
        ],
    )
    async def test_hubspot_s_words_of_both_versions(
        self, answer: Any, expected: str, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        """Its first version has `status`; what has OAuth's `error` instead is read all the same."""
        entry = load_catalogue()["hubspot"]
        own = {key: entry[key] for key in ("error_path", "error_codes")}
        assert await self.refusal(oauth, server, answer, **own) == expected

    async def test_an_untranslated_one_falls_back_to_error(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        answer = {"reason": "Something else", "error": "invalid_request"}
        assert await self.refusal(oauth, server, answer, error_path="reason") == "invalid_request"

    async def test_a_word_there_in_a_good_answer_is_none(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "status": "active"})
        assert (await redeem(oauth, provider_of(server, error_path="status"))).access_token == Secret("at-1")

    async def test_a_translation_to_what_passes_by_is_not_final(
        self, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        server.answers_json({"error": "busy_now"}, status=400)
        provider = provider_of(server, error_codes={"busy_now": "temporarily_unavailable"})
        await unavailable(lambda: redeem(oauth, provider))
