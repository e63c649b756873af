"""Errors of providers, over the wire (security C2): what is final, when to come back, and nothing secret in them."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from tests.unit.providers.conftest import CLIENT_SECRET, GOOD, SENT, Call, provider_of, refused, unavailable
from tests.unit.scripted_server import ScriptedServer
from vaultd.errors import ProviderError
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.sender import secrets_of
from vaultd.providers.words import error_code, error_text, told_text
from vaultd.terms import Secret


class TestErrors:
    @pytest.mark.parametrize("given", [None, "", False, 0])
    async def test_an_error_that_is_none(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "error": given})
        assert (await refresh()).access_token == Secret("at-1")

    async def test_nested(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({"error": {"message": "Expired", "type": "OAuthException", "code": 190}}, status=400)
        assert (await refused(refresh)).error == "OAuthException"

    @pytest.mark.parametrize(
        "given",
        [7.5, 10**20, ["x"], {"code": 1}, "with space", "line\nbreak", "x" * 65, "ghr_" + "a1" * 18, SENT.reveal()],
    )
    async def test_unfit_to_be_repeated(self, given: object, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({"error": given}, status=400)
        assert (await refused(refresh)).error == "unknown_error"

    @pytest.mark.parametrize("number", [7, -1, 190_000])
    async def test_a_number(self, number: int, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({"error": number}, status=400)
        assert (await refused(refresh)).error == str(number)

    async def test_the_client_secret_is_not_repeated(self, refresh: Call, server: ScriptedServer) -> None:
        text = f"client_secret {CLIENT_SECRET} is wrong"
        server.answers_json({"error": "invalid_client", "error_description": text}, status=401)
        error = await refused(refresh)
        assert (error.error, error.detail) == ("invalid_client", "client_secret … is wrong")

    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_basic_raw"])
    async def test_the_header_is_not_repeated_as_it_was_sent(
        self, method: str, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        provider = provider_of(server, client_id="app", client_secret=Secret("a+b"), token_endpoint_auth_method=method)
        server.answers_json({"error": "invalid_client"}, status=401)
        await refused(lambda: oauth.refresh(provider, refresh_token=SENT))
        header = server.last.headers["authorization"].removeprefix("Basic ")
        server.answers_json({"error": "invalid_client", "error_description": f"{header} is wrong"}, status=401)
        error = await refused(lambda: oauth.refresh(provider, refresh_token=SENT))
        assert error.detail == error.words == "… is wrong"

    @pytest.mark.parametrize("text", [7, ["x"], "x " * 400])
    async def test_an_unusual_description_is_left_out(
        self, text: object, refresh: Call, server: ScriptedServer
    ) -> None:
        server.answers_json({"error": "invalid_grant", "error_description": text}, status=400)
        assert (await refused(refresh)).detail == ""

    async def test_a_description_stays_on_one_line(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({"error": "invalid_grant", "error_description": "a\r\nb\x1b[31m\u202ec"}, status=400)
        assert (await refused(refresh)).detail == "a  b  c"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    async def test_json_without_an_error(self, status: int, refresh: Call, server: ScriptedServer) -> None:
        server.answers_json({**GOOD, "message": "Not Found"}, status=status)
        await unavailable(refresh)

    async def test_a_refused_address_is_an_outage(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        provider = provider_of(server, token_endpoint="https://10.0.0.1/token")
        error = await unavailable(lambda: oauth.refresh(provider, refresh_token=SENT))
        assert "address_refused" in error.detail

    async def test_no_cause_is_kept_that_might_quote_the_answer(self, refresh: Call, server: ScriptedServer) -> None:
        server.answers(b'{"access_token": "at-1"')
        error: BaseException | None = await unavailable(refresh)
        while error is not None:
            assert "at-1" not in repr(error)
            assert isinstance(error, ProviderError)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("given", "seconds"),
        [
            ("7", 7),
            ("0", 0),
            (" 12 ", 12),
            ("Tue, 01 Jan 2030 12:01:30 GMT", 90),
            ("Tuesday, 01-Jan-30 12:01:30 GMT", 90),
            ("Tue Jan  1 12:01:30 2030", 90),
            ("Tue, 01 Jan 2030 11:00:00 GMT", 0),
            ("99999999999", 86_400),
            ("9" * 400, 86_400),
            ("1893499290", 90),  # the moment in seconds since 1970
            ("1893456000", 0),
            ("Tue, 01 Jan 2040 12:00:00 GMT", 86_400),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("Tue, 99 Foo 2030 99:99:99 GMT", None),
        ],
    )
    async def test_seconds_or_a_date(
        self, given: str, seconds: int | None, refresh: Call, server: ScriptedServer
    ) -> None:
        """RFC 9110 §10.2.3, all three ways to write a date."""
        server.answers(b"", status=503, Retry_After=given)
        assert (await unavailable(refresh)).retry_after == seconds

    @pytest.mark.parametrize("status", [403, 429, 503])
    async def test_beside_any_status_that_is_not_final(
        self, status: int, refresh: Call, server: ScriptedServer
    ) -> None:
        server.answers_json({"message": "secondary rate limit"}, status=status, Retry_After="60")
        assert (await unavailable(refresh)).retry_after == 60


class TestTold:
    """What of a provider's words goes into the log."""

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            (None, None),
            ("", None),
            (True, None),
            (["x"], None),
            ({"x": 1}, None),
            (4711, "4711"),
            ("The app is unknown.", "The app is unknown."),
            ("one\ntwo\ttab", "one two tab"),
            ("\x1b[31mred\x1b[0m", "red"),
            (f"it was {SENT.reveal()}!", "it was …!"),
            ("it was aaaaaaaa1111111122222222", "it was …"),
            ("x" * 5000, None),
            ("word " * 1000 + SENT.reveal(), "word " * 39 + "word"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_is_one_line_without_secrets(self, given: object, told: str | None) -> None:
        shown = told_text(given, [SENT])
        assert shown is None or len(shown) <= 200
        assert shown == told

    def test_a_token_at_the_cut_is_left_out_whole(self) -> None:
        for length in range(1900, 2010):
            shown = told_text("w " * 90 + "." * (length - 180) + " " + SENT.reveal() * 3, [])
            assert shown is None or SENT.reveal()[:8] not in shown


SHORT = "S3cr/t+=\"y'<ü"
"""A secret too short to be told from a word by its length, with all that encoders change."""
IN_URLS = (quote(SHORT), quote(SHORT, safe=""), quote_plus(SHORT), quote(SHORT, safe="!'()*"))
WRITTEN = {
    "in a URL": IN_URLS,
    "in a URL, in small letters": tuple(re.sub("%..", lambda octet: octet.group().lower(), each) for each in IN_URLS),
    "in JSON": (json.dumps(SHORT)[1:-1], json.dumps(SHORT, ensure_ascii=False)[1:-1]),
    "in PHP's JSON": (json.dumps(SHORT)[1:-1].replace("/", "\\/"),),
    "in HTML": (html.escape(SHORT), html.escape(SHORT, quote=False), html.escape(SHORT).replace("&#x27;", "&#39;")),
    "in base64": (base64.b64encode(SHORT.encode()).decode(), base64.urlsafe_b64encode(SHORT.encode()).decode()),
    "in base64 without its end": (base64.urlsafe_b64encode(SHORT.encode()).decode().rstrip("="),),
}


class TestWrittenOtherwise:
    """A secret that is repeated in another spelling is one all the same."""

    @pytest.mark.parametrize("how", WRITTEN)
    def test_it_is_taken_out(self, how: str) -> None:
        for written in WRITTEN[how]:
            for show in (told_text, error_text):
                assert show(f"app {written} is unknown", [Secret(SHORT)]) == "app … is unknown"
            assert error_code(written, [Secret(SHORT)]) == "unknown_error"

    def test_what_cannot_be_seen_joins_no_halves(self) -> None:
        for between in ("\0", "\u200b", "\u00ad", "\u202e", "\x1b[0m"):
            for show in (told_text, error_text):
                assert "hunter2hunter2" not in str(show(f"hunter2{between}hunter2", [Secret("hunter2hunter2")]))

    def test_basic_is_known_in_both_ways_to_write_it(self, server: ScriptedServer) -> None:
        app = {"client_id": "a", "client_secret": Secret("b+c/=d")}
        sent = secrets_of(provider_of(server).config.model_copy(update=app), {})
        for pair in ("a:b+c/=d", f"a:{quote_plus('b+c/=d')}"):
            header = base64.b64encode(pair.encode()).decode()
            assert told_text(f"Basic was {header}", sent) == "Basic was …"
