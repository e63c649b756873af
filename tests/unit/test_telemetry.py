"""The log pipeline: every line at DEBUG, and no canary in any of them (security F1)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
import structlog
from pydantic import BaseModel, ValidationError

from vaultd.errors import InvalidTarget
from vaultd.telemetry import bind_request, configure_logging
from vaultd.telemetry.redaction import MAX_TEXT, redact_text
from vaultd.terms import Scopes, Secret

CANARY = "c4n4ry9f2b7c1e4d8a6b3f5e0c"
JWT = f"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ{CANARY}.{CANARY}-{CANARY}"


@dataclass
class Holder:
    value: str = CANARY


class Token(StrEnum):
    ONE = JWT


class Checked(BaseModel):
    number: int


class Lines:
    """What has been written to standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def text(self) -> str:
        captured = self._capsys.readouterr()
        assert captured.out == ""
        return captured.err

    def all(self) -> list[dict[str, Any]]:
        text = self.text()
        assert CANARY not in text
        return [json.loads(line) for line in text.splitlines()]

    def one(self) -> dict[str, Any]:
        (line,) = self.all()
        return line


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Logging as it was, afterwards: it is global to the process."""
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    before = [(each, each.level, each.handlers[:], each.propagate, each.disabled) for each in [root, *loggers]]
    configure_logging(level="debug", json=True)
    yield Lines(capsys)
    for each, level, handlers, propagate, disabled in before:
        each.setLevel(level)
        each.handlers, each.propagate, each.disabled = handlers, propagate, disabled
    structlog.reset_defaults()


log = structlog.get_logger()


class TestTheShapeOfALine:
    def test_ours(self, lines: Lines) -> None:
        log.info("exchanged", provider="github", scopes=Scopes.parse("b a"), count=3, fresh=True, nothing=None)
        line = lines.one()
        assert datetime.fromisoformat(line.pop("at")).tzinfo == UTC
        assert line == {
            "event": "exchanged",
            "level": "info",
            "logger": __name__,
            "provider": "github",
            "scopes": "a b",
            "count": 3,
            "fresh": True,
            "nothing": None,
        }

    def test_a_library_s(self, lines: Lines) -> None:
        logging.getLogger("uvicorn.error").warning("started on %s", "port 8080")
        line = lines.one()
        assert (line["event"], line["level"], line["logger"]) == ("started on port 8080", "warning", "uvicorn.error")

    def test_the_request_s_id_is_on_every_line_within(self, lines: Lines) -> None:
        with bind_request("r-1"):
            log.debug("ours")
            logging.getLogger("sqlalchemy.pool").error("theirs")
        log.debug("after")
        assert [line.get("request_id") for line in lines.all()] == ["r-1", "r-1", None]

    def test_values_that_json_does_not_know(self, lines: Lines) -> None:
        log.info(
            "values",
            moment=datetime(2030, 1, 2, tzinfo=UTC),
            id=UUID(int=1),
            path=PurePosixPath("a/b"),
            data=CANARY.encode(),
            thing=Holder(),
            items={1: ("a", {"b"})},
        )
        line = lines.one()
        assert line["moment"] == "2030-01-02 00:00:00+00:00"
        assert line["id"] == "00000000-0000-0000-0000-000000000001"
        assert (line["path"], line["data"], line["thing"]) == ("a/b", "<26 bytes>", "<Holder>")
        assert line["items"] == {"1": ["a", ["b"]]}

    @pytest.mark.parametrize("json_lines", [True, False])
    def test_no_value_starts_a_new_line(self, lines: Lines, json_lines: bool) -> None:  # noqa: FBT001 - a parameter
        configure_logging(level="debug", json=json_lines)
        log.info("one\nline", value="a\r\nb\x1b[31m\u202e\u2028c")
        logging.getLogger("x").info("another\n%s", "forged\x9b")
        text = lines.text()
        assert len(text.splitlines()) == 2
        assert "\x1b[31m\\u202e" not in text
        assert not {"\x9b", "\u202e"} & set(text)

    def test_long_values_are_cut(self, lines: Lines) -> None:
        log.info("long", value="x" * (MAX_TEXT + 1), items=list(range(1000)))
        line = lines.one()
        assert line["value"].endswith(f"x ({MAX_TEXT + 1} characters)")
        assert len(line["items"]) < 1000

    def test_a_value_that_holds_itself(self, lines: Lines) -> None:
        circle: list[Any] = []
        circle.append(circle)
        log.info("circle", circle=circle)
        assert "<list>" in json.dumps(lines.one())

    def test_a_line_that_cannot_be_formatted_is_named_and_not_dumped(self, lines: Lines) -> None:
        configure_logging(level="debug", json=True)  # without pytest's own handler
        logging.getLogger("x").info("%d", CANARY)
        line = lines.one()
        assert (line["event"], line["logger"]) == ("a log line could not be written", "x")

    def test_levels(self, lines: Lines) -> None:
        configure_logging(level="WARNING", json=True)
        log.info("no")
        log.warning("yes")
        assert lines.one()["event"] == "yes"
        for level in ("loud", "", "notset"):
            with pytest.raises(ValueError, match="no such log level"):
                configure_logging(level=level, json=True)

    def test_configured_twice_is_written_once(self, lines: Lines) -> None:
        configure_logging(level="info", json=True)
        log.info("once")
        logging.getLogger("x").info("once")
        assert len(lines.all()) == 2


class TestLibraries:
    def test_access_logs_are_off(self, lines: Lines) -> None:
        """Their lines hold query strings, and those of the callback a code."""
        logging.getLogger("uvicorn.access").info('"GET /auth/callback/x?code=%s"', CANARY)
        assert lines.all() == []

    @pytest.mark.parametrize(
        "name", ["httpx", "httpcore.http11", "sqlalchemy.engine.Engine", "python_multipart.parser"]
    )
    def test_what_writes_traffic_is_quiet_even_at_debug(self, lines: Lines, name: str) -> None:
        logging.getLogger(name).info("parameters: %r", (CANARY,))
        assert lines.all() == []
        logging.getLogger(name).warning("this is told")
        assert len(lines.all()) == 1

    def test_a_library_s_own_handler_is_taken_away(self, lines: Lines) -> None:
        noisy = logging.getLogger("tests.noisy")
        noisy.addHandler(logging.StreamHandler(sys.stderr))
        noisy.propagate = False
        configure_logging(level="debug", json=True)
        noisy.info("Bearer %s", CANARY)
        assert lines.one()["event"] == "Bearer …"

    def test_extra_attributes_are_left_out(self, lines: Lines) -> None:
        logging.getLogger("x").info("with extra", extra={"anything": CANARY})
        assert lines.one()["event"] == "with extra"


KEYS = [
    "access_token",
    "refresh_token",
    "subject_token",
    "subject-token",
    "clientSecret",
    "client_secret",
    "secret",
    "secrets",
    "password",
    "passwd",
    "Authorization",
    "proxy_authorization",
    "cookie",
    "Set-Cookie",
    "code",
    "state",
    "nonce",
    "ticket",
    "connect_code",
    "code_verifier",
    "auth_session",
    "session",
    "session_id",
    "client_assertion",
    "api_key",
    "private_key",
    "root_key",
    "credentials",
    "headers",
    "body",
    "form",
    "params",
    "query",
    "plaintext",
    "jwt",
    "bearer",
    "passphrase",
    "id_token",
    "tokens",
]


class TestRedaction:
    @pytest.mark.parametrize("key", KEYS)
    def test_by_name(self, lines: Lines, key: str) -> None:
        log.debug("x", **{key: CANARY}, inner=[{key: CANARY}], number={key: 123456}, more={key: [CANARY]})
        line = lines.one()
        assert line[key] == "…"
        assert (line["inner"], line["number"], line["more"]) == ([{key: "…"}], {key: "…"}, {key: "…"})

    def test_names_that_only_sound_alike(self, lines: Lines) -> None:
        plain = {"token_type": "Bearer", "token_endpoint": "https://x.example/token", "status_code": 200, "kid": "k1"}
        log.debug("x", **plain, client_id="agent", has_refresh_token=True, refresh_token=None)
        line = lines.one()
        assert {name: line[name] for name in plain} == plain
        assert (line["client_id"], line["has_refresh_token"], line["refresh_token"]) == ("agent", True, None)

    def test_by_type(self, lines: Lines) -> None:
        secret = Secret(CANARY)
        log.debug("x %s", secret, value=secret, inner={"a": (secret,)}, model=Holder(), member=Token.ONE)
        logging.getLogger("x").debug("%s %r", secret, [secret])
        assert lines.all()[0]["inner"] == {"a": ["…"]}

    @pytest.mark.parametrize(
        "text",
        [
            JWT,
            JWT[:-60],
            f"token {JWT}, it says",
            f"Authorization: Bearer {CANARY}",
            f"authorization: BEARER  {CANARY}",
            f"Basic {CANARY}==",
            f"DPoP {CANARY}",
            f"[(b'Authorization', b'Token {CANARY}'), (b'host', b'x')]",
            f"[('set-cookie', 'id={CANARY}; Path=/')]",
            f"{{'location': 'https://x.example/#{CANARY}'}}",
            f"Cookie: id={CANARY}; other={CANARY}",
            f"https://x.example/cb?code={CANARY}&state={CANARY}",
            f"GET /auth/connect?ticket={CANARY} HTTP/1.1",
            f"/me?anything={CANARY}",
            f"postgresql://vaultd:{CANARY}@db/vaultd",
            f"grant_type=refresh_token&refresh_token={CANARY}",
            f"client_secret={CANARY}",
            f"password='{CANARY} {CANARY}'",
            f'{{"access_token": "{CANARY}", "token_type": "bearer"}}',
            f"{{'code': '{CANARY}'}}",
            f'{{"refresh_token": "{CANARY}',
            json.dumps({"answer": json.dumps({"refresh_token": CANARY})}),
            repr({"id_token": CANARY.encode()}),
            f"refresh_token: {CANARY}",
            f"ghp_{CANARY}",
            f"xoxb-{CANARY}",
            f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
            "x" * (MAX_TEXT - 40) + JWT,
            "x" * (MAX_TEXT + 40) + CANARY,
        ],
    )
    def test_by_shape(self, lines: Lines, text: str) -> None:
        log.debug(text, value=text, inner=[{"a": text}], **{text: "as a key"})
        logging.getLogger("x").debug(text)
        logging.getLogger("x").debug("%s and %r", text, {"b": text})
        assert len(lines.all()) == 3

    @pytest.mark.parametrize(
        "text",
        [
            "The subject token is not accepted. wrong_issuer",
            "GitHub is not connected. Connect it to continue.",
            "vaultd.toml: clients.agent.secret: is a literal secret; write it elsewhere",
            "https://vault.example.com/oauth/token answered 503",
            "postgresql://vaultd@/vaultd",
            "token: malformed",
            "state: connected",
            "Basic auth",
        ],
    )
    def test_plain_sentences_stay(self, text: str) -> None:
        assert redact_text(text) == text

    @pytest.mark.parametrize("piece", ["eyJ", "a=", "://", "?", "/", "'cookie'", "Bearer ", "code=", "token: ", "\\"])
    def test_it_takes_no_longer_for_hostile_text(self, piece: str) -> None:
        """Runs into the time limit of the whole suite where a pattern backtracks without end."""
        redact_text(piece * MAX_TEXT)


class TestExceptions:
    @pytest.mark.parametrize("json_lines", [True, False])
    def test_type_message_and_stack_without_locals(self, lines: Lines, json_lines: bool) -> None:  # noqa: FBT001
        configure_logging(level="debug", json=json_lines)
        _fail_and_log(CANARY)
        text = lines.text()
        assert CANARY not in text
        assert "InvalidTarget" in text
        assert "This target is not available to this client. github" in text
        assert "in _inner" in text
        assert "held" not in text

    def test_a_foreign_message_is_cut_to_what_is_no_value(self, lines: Lines) -> None:
        failures: list[Exception] = [
            ValueError(f"invalid literal for int() with base 10: '{CANARY}'"),
            KeyError(CANARY),
            RuntimeError(f"statement failed\n[parameters: {CANARY}]\nDETAIL: {CANARY}"),
            OSError(111, "Connection refused"),
            ExceptionGroup("several", [ValueError(CANARY), ValueError(JWT)]),
        ]
        for failure in failures:
            log.warning("failed", exc_info=failure)
            log.warning("failed", error=failure)
            logging.getLogger("x").error("failed: %s", type(failure), exc_info=failure)
        written = lines.all()
        assert written[0]["exception"][0]["message"] == "invalid literal for int() with base 10: '…'"
        assert written[9]["exception"] == [
            {"type": "ConnectionRefusedError", "message": "[Errno 111] Connection refused", "stack": []}
        ]
        assert [each["type"] for each in written[12]["exception"]] == ["ExceptionGroup", "ValueError", "ValueError"]

    def test_pydantic_quotes_what_it_was_given(self, lines: Lines) -> None:
        try:
            Checked.model_validate({"number": CANARY})
        except ValidationError:
            log.exception("failed")
        (described,) = lines.one()["exception"]
        assert described["type"] == "pydantic_core._pydantic_core.ValidationError"
        assert described["message"] == "1 validation error for Checked"

    def test_causes_outermost_first(self, lines: Lines) -> None:
        try:
            try:
                dict[str, str]()["first"]
            except KeyError as error:
                raise InvalidTarget from error
        except InvalidTarget:
            logging.getLogger("x").exception("failed")
        assert [each["type"] for each in lines.one()["exception"]] == ["InvalidTarget", "KeyError"]

    def test_a_circle_of_causes_ends(self, lines: Lines) -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        log.error("failed", exc_info=first)
        assert len(lines.one()["exception"]) == 2

    def test_one_whose_text_cannot_be_had(self, lines: Lines) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise ValueError(CANARY)

        log.error("failed", exc_info=Broken())
        assert lines.one()["exception"][0]["message"] == "…"

    def test_without_an_exception_there_is_none(self, lines: Lines) -> None:
        log.info("fine", exc_info=True)  # noqa: LOG014 - the mistake this is about
        log.info("fine", exc_info=False, stack_info=True, exception="a word")
        first, second = lines.all()
        assert "exception" not in first
        assert second["exception"] == "a word"


def _fail_and_log(held: str) -> None:
    try:
        _inner(held)
    except InvalidTarget:
        log.exception("failed")


def _inner(held: str) -> None:
    own = held + held
    raise InvalidTarget(detail="github" if own else "")
