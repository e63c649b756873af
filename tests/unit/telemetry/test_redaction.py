"""Every line at DEBUG, and no canary in any of them (security F1)."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from enum import StrEnum

import pytest
import structlog

from tests.unit.telemetry.lines import CANARY, JWT, Lines
from vaultd.telemetry.redaction import MAX_TEXT, redact_text
from vaultd.terms import Secret

log = structlog.get_logger()


@dataclass
class Holder:
    value: str = CANARY


class Token(StrEnum):
    ONE = JWT


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

    @pytest.mark.parametrize(
        "piece", ["eyJ", "a=", "://", "?", "/", "'cookie'", "Bearer ", "code=", "token: ", "\\", "://a:"]
    )
    def test_it_takes_no_longer_for_hostile_text(self, piece: str) -> None:
        """Runs into the time limit of the whole suite where a pattern backtracks without end."""
        redact_text(piece * MAX_TEXT)
