"""Odd answers of providers, over the wire (security C2): each is a clear error or read for what it means."""

from __future__ import annotations

import pytest

from tests.unit.providers.conftest import GOOD, SENT, Call, account_of, refused, unavailable
from tests.unit.scripted_server import ScriptedServer
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider
from vaultd.terms import Scopes, Secret


def calls_of(oauth: OAuthClient, provider: Provider) -> dict[str, Call]:
    return {
        "redeem": lambda: oauth.redeem(
            provider, code=SENT, code_verifier=Secret("v"), redirect_uri="https://v.example", scopes=Scopes()
        ),
        "refresh": lambda: oauth.refresh(provider, refresh_token=SENT),
        "revoke": lambda: oauth.revoke(provider, token=SENT, hint="refresh_token", metadata={}),
        "userinfo": lambda: account_of(oauth, provider, SENT),
    }


@pytest.fixture(params=["redeem", "refresh", "revoke", "userinfo"])
def each_call(request: pytest.FixtureRequest, oauth: OAuthClient, provider: Provider) -> Call:
    return calls_of(oauth, provider)[request.param]


@pytest.fixture(params=["redeem", "refresh", "userinfo"])
def each_answered_call(request: pytest.FixtureRequest, oauth: OAuthClient, provider: Provider) -> Call:
    """Those whose answer has a body that matters: not a revocation's (RFC 7009 §2.2)."""
    return calls_of(oauth, provider)[request.param]


class TestEveryCall:
    @pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
    async def test_outage(self, status: int, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json({"error": "invalid_grant"}, status=status)
        assert (await unavailable(each_call)).retry_after is None

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_redirect(self, status: int, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json(GOOD, status=status, location=server.url + "/elsewhere")
        await unavailable(each_call)
        assert len(server.seen) == 1

    async def test_timeout(self, each_call: Call, server: ScriptedServer) -> None:
        server.hangs()
        await unavailable(each_call)

    async def test_connection_dropped(self, each_call: Call, server: ScriptedServer) -> None:
        server.drops()
        await unavailable(each_call)

    async def test_gzip_bomb(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers_bomb(8 << 20)
        await unavailable(each_call)

    async def test_too_large(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "sub": "u", "padding": "x" * 60_000})
        await unavailable(each_call)

    async def test_cut_off_by_the_connection(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers(b'{"access_token": "at', content_length="400")
        await unavailable(each_call)

    async def test_github_error_under_200(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json({"error": "incorrect_client_credentials", "error_uri": "https://docs.example"})
        assert (await refused(each_call)).error == "incorrect_client_credentials"

    async def test_slack_ok_false(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json({"ok": False, "error": "invalid_arguments"})
        assert (await refused(each_call)).error == "invalid_arguments"

    async def test_slack_ok_false_without_a_word(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "ok": False})
        assert (await refused(each_call)).error == "unknown_error"

    async def test_slack_rate_limit_under_200(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json({"ok": False, "error": "ratelimited"}, Retry_After="30")
        assert (await unavailable(each_call)).retry_after == 30

    async def test_temporary_error_under_400(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers_json({"error": "temporarily_unavailable"}, status=400)
        await unavailable(each_call)

    async def test_html_with_an_error_status(self, each_call: Call, server: ScriptedServer) -> None:
        server.answers(b"<html><h1>403</h1></html>", status=403, content_type="text/html")
        await unavailable(each_call)

    async def test_errors_repeat_nothing_that_was_sent(self, each_call: Call, server: ScriptedServer) -> None:
        text = f"{SENT.reveal()} refresh%2Fs3cret%2Bone%3D s3cret-client {'g' * 20}7890abcdef is bad"
        server.answers_json({"error": "invalid_request", "error_description": text}, status=400)
        error = await refused(each_call)
        assert "s3cret+one" not in str(error)
        assert "s3cret%2Bone" not in str(error)
        assert "7890abcdef" not in str(error)
        assert "is bad" in str(error)


class TestAnswersWithABody:
    async def test_html(self, each_answered_call: Call, server: ScriptedServer) -> None:
        server.answers(b"<!doctype html><title>Sign in</title>", content_type="text/html")
        await unavailable(each_answered_call)

    async def test_empty(self, each_answered_call: Call, server: ScriptedServer) -> None:
        server.answers(b"")
        await unavailable(each_answered_call)

    async def test_no_content(self, each_answered_call: Call, server: ScriptedServer) -> None:
        server.answers(b"", status=204)
        await unavailable(each_answered_call)

    async def test_truncated_json(self, each_answered_call: Call, server: ScriptedServer) -> None:
        server.answers(b'{"access_token": "at-1", "sub": "u", "expi', content_type="application/json")
        assert "at-1" not in str(await unavailable(each_answered_call))

    @pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"access_token=x"', b"{}", b"[" * 9000, b"\xff\xfe"])
    async def test_json_nonsense(self, body: bytes, each_answered_call: Call, server: ScriptedServer) -> None:
        server.answers(body, content_type="application/json")
        await unavailable(each_answered_call)


class TestContentTypes:
    @pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/octet-stream", "nonsense", None])
    async def test_json_under_any_name(self, content_type: str | None, refresh: Call, server: ScriptedServer) -> None:
        server.answers(b'{"access_token": "at-1", "token_type": "bearer"}', content_type=content_type)
        assert (await refresh()).access_token == Secret("at-1")

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded; charset=utf-8", "text/plain"])
    async def test_a_form(self, content_type: str, refresh: Call, server: ScriptedServer) -> None:
        server.answers(
            b"access_token=gho_1%2B2&expires_in=28800&refresh_token=ghr_1&scope=gist%2Crepo&token_type=bearer",
            content_type=content_type,
        )
        grant = await refresh()
        assert (grant.access_token, grant.refresh_token) == (Secret("gho_1+2"), Secret("ghr_1"))
        assert (grant.expires_in, grant.scopes) == (28800, Scopes(["gist", "repo"]))

    async def test_an_error_in_a_form(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers(
            b"error=unauthorized_client&error_description=No+such+app.",
            content_type="application/x-www-form-urlencoded",
        )
        error = await refused(refresh)
        assert (error.error, error.detail) == ("unauthorized_client", "No such app.")

    async def test_a_page_that_calls_itself_a_form(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers(b"<html>a=b&c=d</html>", content_type="application/x-www-form-urlencoded")
        await unavailable(refresh)

    async def test_a_form_of_ten_thousand_members(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers(b"access_token=x" + b"&a=" * 10_000, content_type="text/plain")
        await unavailable(refresh)


class TestLife:
    async def test_missing(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json(GOOD)
        assert (await refresh()).expires_in is None

    @pytest.mark.parametrize("given", ["3600", " 3600 ", 3600.0, "3600.0", 3600])
    async def test_string_or_number(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "expires_in": given})
        assert (await refresh()).expires_in == 3600

    @pytest.mark.parametrize("given", [-1, "-3600", -0.5, 0, "0", 0.0])
    async def test_no_life_of_a_token_that_was_just_issued(
        self, given: object, refresh: Call, server: ScriptedServer
    ) -> None:
        server.answers_json({**GOOD, "expires_in": given})
        assert (await refresh()).expires_in is None

    @pytest.mark.parametrize("given", [None, "", "soon", "1e3", "0x10", "٣٦٠٠", True, [], {}, "9" * 5000])
    async def test_no_number_at_all(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "expires_in": given})
        assert (await refresh()).expires_in is None

    async def test_beyond_all_reason(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "expires_in": 999_999_999_999})
        assert (await refresh()).expires_in == 10 * 365 * 86_400


class TestTokens:
    async def test_no_refresh_token_on_refresh(self, refresh: Call, server: ScriptedServer) -> None:
        """RFC 6749 §6: None means that the old one stays."""
        server.answers_json(GOOD)
        assert (await refresh()).refresh_token is None

    @pytest.mark.parametrize("given", [None, "", 7, ["x"], "a\nb"])
    async def test_a_refresh_token_that_is_none(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "refresh_token": given})
        assert (await refresh()).refresh_token is None

    @pytest.mark.parametrize("given", [None, "", 7, ["x"], "a\r\nx-header: b", "ü", "\ud800"])
    async def test_an_access_token_that_is_none(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "access_token": given})
        await unavailable(refresh)

    @pytest.mark.parametrize("given", [" at-1", "at-1 ", "at-1\n", "\r\nat-1\t"])
    async def test_what_stands_around_a_token_is_no_part_of_it(
        self, given: str, refresh: Call, server: ScriptedServer
    ) -> None:
        """RFC 9110 §5.5: no header would keep it."""
        server.answers_json({**GOOD, "access_token": given, "refresh_token": given})
        grant = await refresh()
        assert grant.access_token == grant.refresh_token == Secret("at-1")

    @pytest.mark.parametrize("given", ["bearer", "Bearer", "BEARER", "Bearer ", None, ""])
    async def test_bearer_in_any_case_or_unsaid(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "token_type": given})
        assert (await refresh()).access_token == Secret("at-1")

    @pytest.mark.parametrize("given", ["mac", "DPoP", "N_A", "user", 7, ["bearer"]])
    async def test_token_type_not_bearer(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        """RFC 6749 §7.1."""
        server.answers_json({**GOOD, "token_type": given})
        assert (await refused(refresh)).error == "unsupported_token_type"

    async def test_slack_nests_the_person_s_token(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json(
            {
                "ok": True,
                "access_token": "xoxb-bot",
                "token_type": "bot",
                "scope": "commands",
                "authed_user": {
                    "id": "U1",
                    "access_token": "xoxp-person",
                    "refresh_token": "xoxe-1",
                    "token_type": "user",
                    "scope": "channels:history,users:read",
                    "expires_in": 43200,
                },
            }
        )
        grant = await refresh()
        assert (grant.access_token, grant.refresh_token) == (Secret("xoxp-person"), Secret("xoxe-1"))
        assert (grant.expires_in, grant.scopes) == (43200, Scopes(["channels:history", "users:read"]))

    async def test_slack_bot_token_where_no_person_s_was_asked_for(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json(
            {
                "ok": True,
                "access_token": "xoxb-1",
                "token_type": "bot",
                "scope": "chat:write",
                "authed_user": {"id": "U"},
            }
        )
        assert (await refresh()).access_token == Secret("xoxb-1")


class TestScopes:
    async def test_absent(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json(GOOD)
        assert (await refresh()).scopes is None

    @pytest.mark.parametrize(
        "given",
        ["a b", "a,b", "a, b", " a  b ", ["a", "b"], ["a,b"], ["a b"], ["a b", "", "b"], ["a ", "b\n"]],
    )
    async def test_separated_by_anything(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "scope": given})
        assert (await refresh()).scopes == Scopes(["a", "b"])

    async def test_none_granted_is_not_silence(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "scope": ""})
        assert (await refresh()).scopes == Scopes()

    @pytest.mark.parametrize("given", [7, {"a": 1}, ["a", 1], "a\x00b", 'a"b', "ü"])
    async def test_unreadable(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "scope": given})
        await unavailable(refresh)
