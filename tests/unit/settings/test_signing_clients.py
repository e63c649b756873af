"""`[clients.X]` tables of clients that sign: for themselves, and for users who are away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import ACME, ISSUER, MINIMAL, load_text, one_line, report

PUBLIC = 'kty = "OKP", crv = "Ed25519", kid = "1", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"'
PRIVATE = PUBLIC + ', d = "canary-9f2b7c1e4d8a6b3f5e0c"'
JWKS = f"jwks = {{ keys = [{{ {PUBLIC} }}] }}\n"
SIGNING = f'[clients.agent]\nauth = "private_key_jwt"\n{JWKS}'
AWAY = 'may_assert_subjects = true\nassert_providers = ["acme"]\nassert_issuer = "app"\n'


class TestClientsThatSign:
    @pytest.mark.parametrize(
        "keys",
        [
            JWKS,
            'jwks_file = "agent.json"',
            'jwks_uri = "https://agent.example.com/jwks"',
            'jwks_uri = "http://127.0.0.1:9000/jwks"\nallow_private_hosts = ["127.0.0.1"]',
        ],
    )
    def test_one_source_of_keys(self, file: Path, keys: str) -> None:
        agent = load_text(file, f'{MINIMAL}[clients.agent]\nauth = "private_key_jwt"\n{keys}').clients["agent"]
        assert [agent.jwks is not None, agent.jwks_file is not None, agent.jwks_uri is not None].count(True) == 1
        assert {"RS256", "PS256", "ES256", "EdDSA", "Ed25519"} <= set(agent.algorithms)
        assert agent.jwks_file in {None, file.parent / "agent.json"}

    def test_operators_may_sign_too(self, file: Path) -> None:
        assert load_text(file, MINIMAL + SIGNING + 'operator_scopes = ["audit:read"]').clients["agent"].operator_scopes

    @pytest.mark.parametrize(
        ("table", "told"),
        [
            (
                'auth = "private_key_jwt"',
                'jwks_uri: is missing; auth = "private_key_jwt" needs the client\'s keys: write',
            ),
            (
                f'auth = "private_key_jwt"\n{JWKS}secret = "env:SECRET"',
                'secret: stands beside auth = "private_key_jwt"; leave it out',
            ),
            (
                f'auth = "private_key_jwt"\n{JWKS}jwks_uri = "https://x.example"',
                "jwks_uri: stands beside jwks; write one",
            ),
            (f'auth = "private_key_jwt"\n{JWKS}jwks_file = "x"', "jwks_file: stands beside jwks; write one of them"),
            (
                'auth = "private_key_jwt"\njwks_file = "x"\njwks_uri = "https://x.example"',
                "jwks_uri: stands beside jwks_file",
            ),
            ('auth = "private_key_jwt"\njwks_uri = "http://x.example"', "jwks_uri: is not https"),
            (
                'auth = "private_key_jwt"\njwks_uri = "http://127.0.0.1/k"',
                "jwks_uri: is plain http; write https://, or",
            ),
            ('auth = "private_key_jwt"\njwks = {}', "jwks: is no JWK Set; write { keys = ["),
            ('auth = "private_key_jwt"\njwks = { keys = "x" }', "jwks: is no JWK Set; write { keys = ["),
            (
                'auth = "private_key_jwt"\njwks = { keys = [] }',
                "jwks: holds no key that a signature can be checked with",
            ),
            (
                f'auth = "private_key_jwt"\njwks = {{ keys = [{{ {PRIVATE} }}] }}',
                "jwks: holds a key that must not be seen",
            ),
            (
                'auth = "private_key_jwt"\njwks = { keys = [{ kty = "oct", k = "c2VjcmV0" }] }',
                "jwks: holds a key that must not be seen",
            ),
            (f'auth = "private_key_jwt"\n{JWKS}algorithms = []', "algorithms: is empty; write the ones"),
            (f'auth = "private_key_jwt"\n{JWKS}algorithms = ["HS256"]', "algorithms: 'HS256' is not accepted; write"),
            (f'auth = "private_key_jwt"\n{JWKS}algorithms = ["none"]', "algorithms: 'none' is not accepted; write"),
            (f'auth = "private_key_jwt"\n{JWKS}implicit = true', 'implicit: is only for auth = "none"'),
            (
                f'auth = "none"\n{JWKS}',
                'jwks: stands beside auth = "none"; leave it out, or write auth = "private_key_jwt"',
            ),
            (f'auth = "client_secret_post"\nsecret = "env:SECRET"\n{JWKS}', "jwks: stands beside auth ="),
            ('auth = "none"\njwks_uri = "https://x.example"', "jwks_uri: stands beside auth ="),
            ('auth = "none"\nalgorithms = ["ES256"]', 'algorithms: stands beside auth = "none", which signs nothing'),
            ('auth = "none"\nmay_assert_subjects = true', 'may_assert_subjects: is only for auth = "private_key_jwt"'),
        ],
    )
    def test_mistakes_in_keys(self, file: Path, table: str, told: str) -> None:
        assert one_line(file, f"{MINIMAL}[clients.agent]\n{table}").startswith(f"clients.agent.{told}")

    def _away(self, lines: str = AWAY) -> str:
        return f'{MINIMAL}{ISSUER}{ACME}{SIGNING}{lines}providers = {{acme = ["a"]}}'

    @pytest.mark.parametrize(
        "issuer", ['"app"', '["app"]', '"https://login.example.com/"', '["app", "https://login.example.com/"]']
    )
    def test_users_of_an_issuer_by_name_or_url(self, file: Path, issuer: str) -> None:
        agent = load_text(file, self._away(AWAY.replace('"app"', issuer))).clients["agent"]
        assert set(agent.assert_issuer) <= {"app", "https://login.example.com/"}
        assert agent.assert_providers == ("acme",)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (('assert_providers = ["acme"]', ""), "assert_providers: is missing; write those of its providers"),
            (('assert_issuer = "app"', ""), "assert_issuer: is missing; write the name of the [issuers.…] table"),
            (
                ('["acme"]', '["acmee"]'),
                'assert_providers[0]: is none of this client\'s providers; did you mean "acme"?',
            ),
            (
                ('["acme"]', '["acme", "github"]'),
                "assert_providers[1]: is none of this client's providers; write one of",
            ),
            (
                ('"app"', '"apps"'),
                'assert_issuer: names no table [issuers.…] and no issuer in one; did you mean "app"?',
            ),
            (
                ('"app"', '["app", "https://x.example"]'),
                "assert_issuer[1]: names no table [issuers.…] and no issuer in",
            ),
            (
                ('"app"', '"https://login.example.com"'),
                "assert_issuer: names no table [issuers.…] and no issuer in one",
            ),
            (("= true", '= "yes"'), "may_assert_subjects: is not true or false; write one of them"),
        ],
    )
    def test_mistakes_in_what_it_may_assert(self, file: Path, change: tuple[str, str], told: str) -> None:
        assert one_line(file, self._away(AWAY.replace(*change))).startswith(f"clients.agent.{told}")

    def test_without_the_permission_its_limits_say_nothing(self, file: Path) -> None:
        lines = report(file, self._away(AWAY.replace("may_assert_subjects = true\n", "")))
        assert [line.partition(";")[0] for line in lines] == [
            "clients.agent.assert_providers: is only for may_assert_subjects = true",
            "clients.agent.assert_issuer: is only for may_assert_subjects = true",
        ]
