"""The configuration file as a whole: what is taken, and every mistake told in one report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.settings.a_file import ACME, CANARY, ENVIRON, ISSUER, LONG, MINIMAL, load_text, one_line, report
from vaultd.clients.config import ClientConfig, LimitsConfig, ProviderGrant
from vaultd.errors import ConfigurationError
from vaultd.keys.config import KeysConfig
from vaultd.providers.config import ProviderConfig
from vaultd.providers.config_endpoints import ConnectionSetting, LookupConfig
from vaultd.providers.config_refusals import RefusalConfig
from vaultd.refresh.config import RefreshConfig
from vaultd.sessions.config import LoginConfig
from vaultd.settings import Settings, load
from vaultd.settings.loading import OVERRIDES
from vaultd.subjects.config import IntrospectionConfig, IssuerConfig
from vaultd.telemetry.config import MetricsConfig
from vaultd.terms import Secret
from vaultd.web.show.branding import BrandingConfig

ROOT = Path(__file__).parents[3]


TWENTY = f"""
public_url = "http://vault.example.com"
database_url = "postgresql://vaultd:{CANARY}@db/vaultd"
default_client = "briefing-agnet"
alowed_origins = []
allowed_return_urls = ["/settings"]

[keys]
backend = "aws"
path = "keyring.json"

[issuers.app]
issuer = "https://login.example.com/"
audience = ["https://vault.example.com"]
algorithms = ["RS256", "none"]

[issuers.shared]
issuer = "https://shared.example.com"
audience = ["vault"]
hs256_secret = "env:SHORT"

[login]
issuer = "ap"
client_id = "vaultd"
client_secret = "{CANARY}"

[clients.briefing-agent]
auth = "client_secret_basic"
secret = "env:SHORT"
redirect_uris = ["https://app.example.com/connected", "https://app.example.com/done#now"]
ip_allowlist = ["192.0.2.1/24"]
limits = {{per_second = "many", burst = 1}}
[clients.briefing-agent.providers]
acme = ["read", "read write"]
nowhere = ["channels:history"]

[clients.open]
auth = "none"
operator_scopes = ["audit:read"]

[providers.acme]
client_id = "vaultd"
client_secret = "env:NOT_SET"
authorization_endpoint = "https://acme.example/authorize"
token_endpoint = "http://acme.example/token"

[providers.second]
extends = "acne"
client_id = "vaultd"
client_secret = "env:SECRET"
"""
TWENTY_LINES = [
    "public_url: is not https; write https:// (plain http is for a loopback host only)",
    'database_url: is a literal secret; write "env:NAME" or "file:path" instead',
    'default_client: names no table [clients.briefing-agnet]; did you mean "briefing-agent"?',
    'alowed_origins: is not a key of this table; did you mean "allowed_origins"?',
    "allowed_return_urls[0]: is not an absolute URL; write one like https://app.example.com/path",
    "keys.backend: has a value that is not known; write 'local'",
    (
        "issuers.app.algorithms: 'none' is not accepted; write some of RS256, RS384, RS512, PS256, PS384, PS512, ES256,"
        " ES384, ES512, EdDSA, Ed25519"
    ),
    "issuers.shared.hs256_secret: is shorter than 32 bytes; set a longer secret at the issuer and here",
    'login.issuer: names no table [issuers.ap]; did you mean "app"?',
    'login.client_secret: is a literal secret; write "env:NAME" or "file:path" instead',
    "clients.briefing-agent.secret: is shorter than 32 characters; make one with `vaultd clients new-secret NAME`",
    'clients.briefing-agent.redirect_uris[1]: has a fragment; write it without "#" and what follows',
    (
        "clients.briefing-agent.ip_allowlist[0]: 192.0.2.1/24 has host bits set; write a network like 192.0.2.0/24 or"
        " 2001:db8::/32"
    ),
    "clients.briefing-agent.limits.per_second: is not a number; write digits, without quotes",
    (
        "clients.briefing-agent.providers.acme[1]: 'read write' is not one scope; write one scope a string, like"
        ' ["read", "write"]'
    ),
    "clients.briefing-agent.providers.nowhere: names no table [providers.nowhere]; write one of acme, second",
    (
        'clients.open.operator_scopes: stands beside auth = "none", so that anyone had them; write another auth and a'
        " secret"
    ),
    "providers.acme.client_secret: refers to the environment variable 'NOT_SET', which is not set; set it",
    "providers.acme.token_endpoint: is not https; write https:// (plain http is for a loopback host only)",
    'providers.second.extends: names no provider; did you mean "acme"?',
]


def test_every_mistake_is_a_line_in_the_order_of_the_file(file: Path) -> None:
    assert report(file, TWENTY) == TWENTY_LINES


def test_each_line_names_the_file(file: Path) -> None:
    file.write_text(TWENTY, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file, environ=ENVIRON)
    assert all(line.startswith(f"{file}: ") for line in caught.value.description.split("\n"))
    assert len(caught.value.description.split("\n")) == 20


class TestTheWholeFile:
    def test_the_least_there_can_be(self, file: Path) -> None:
        settings = load_text(file, MINIMAL)
        assert settings.public_url == "https://vault.example.com"
        assert settings.database_url == Secret(ENVIRON["DB"])
        assert settings.keys.path == file.parent / "keyring.json"
        assert (settings.login, settings.migration_database_url, settings.clients) == (None, None, {})

    def test_an_empty_file_lacks_three_things(self, file: Path) -> None:
        assert report(file, "") == [
            'public_url: is missing; write public_url = "https://vault.example.com"',
            'database_url: is missing; write database_url = "env:DATABASE_URL"',
            'keys: is missing; write a table [keys] with path = "/var/lib/vaultd/keyring.json"',
        ]

    @pytest.mark.parametrize(
        ("content", "start"),
        [
            (b'a = "', "end of document: not TOML: "),
            (b"a = 1\na = 2\n", "line 2, column 6: not TOML: Cannot overwrite a value"),
            (b"[keys\n", "line 1, column 6: not TOML: "),
            (b'a = "\xff"', "byte 5 is not UTF-8; save the file as UTF-8"),
            (b"a = " + b"[" * 100_000, ""),
        ],
    )
    def test_what_is_no_toml(self, file: Path, content: bytes, start: str) -> None:
        file.write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            load(file, environ=ENVIRON)
        assert caught.value.description.startswith(f"{file}: {start}")
        assert "\n" not in caught.value.description

    def test_no_file(self, file: Path) -> None:
        for path in (file, file.parent):
            with pytest.raises(ConfigurationError, match="the file cannot be read") as caught:
                load(path, environ={})
            assert str(path) in caught.value.description

    def test_nothing_secret_in_what_is_shown(self, file: Path) -> None:
        shown = repr(load_text(file, MINIMAL + ISSUER + ACME))
        assert LONG not in shown
        assert "postgresql" not in shown

    def test_the_examples_are_accepted(self, tmp_path: Path) -> None:
        example = ROOT / "vaultd.example.toml"
        variables = _variables(ROOT / ".env.example")
        named = set(re.findall(r'^[^#\n]*"env:(\w+)"', example.read_text(encoding="utf-8"), re.MULTILINE))
        preset = {"VAULTD_CONFIG": "vaultd.toml", "VAULTD_LOG_LEVEL": "info"}
        composed = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
        assert variables.keys() == named | preset.keys() | set(OVERRIDES.values()) | composed
        assert {name: value for name, value in variables.items() if value} == preset
        filled = {name: ENVIRON["DB"] if name.endswith("DATABASE_URL") else LONG for name in named}
        settings = load(example, environ=variables | filled)
        assert settings.providers["acme-reports"].token_endpoint == settings.providers["acme"].token_endpoint
        # As it is copied, each empty variable is told.
        with pytest.raises(ConfigurationError) as caught:
            load(example, environ=variables)
        assert len(caught.value.description.split("\n")) == len(named)
        assert _every_key_is_explained(example.read_text(encoding="utf-8"))


def _variables(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _every_key_is_explained(text: str) -> bool:
    tables = (
        Settings,
        KeysConfig,
        IssuerConfig,
        IntrospectionConfig,
        LoginConfig,
        BrandingConfig,
        ClientConfig,
        ProviderGrant,
        LimitsConfig,
        ProviderConfig,
        ConnectionSetting,
        LookupConfig,
        RefusalConfig,
        RefreshConfig,
        MetricsConfig,
    )
    keys = {key for table in tables for key in table.model_fields}
    explained = {key for key in keys if re.search(rf"\b{key}\b( =|\.)|^\[{key}\]$", text, re.MULTILINE)}
    return keys - explained <= {"clients", "providers", "connection_settings"}


class TestOverrides:
    def test_they_replace_what_the_file_says(self, file: Path) -> None:
        text = MINIMAL.replace("env:DB", "env:NOT_SET").replace("https://vault", "http://vault")
        url = "postgresql://u:p@db/v?sslmode=verify-full"
        settings = load_text(file, text, VAULTD_DATABASE_URL=url, VAULTD_PUBLIC_URL="https://other.example.com/")
        assert settings.public_url == "https://other.example.com"
        assert settings.database_url == Secret(url)

    def test_an_empty_one_is_none(self, file: Path) -> None:
        settings = load_text(file, MINIMAL, VAULTD_DATABASE_URL="", VAULTD_PUBLIC_URL="")
        assert settings.public_url == "https://vault.example.com"

    def test_a_reference_in_one_is_followed(self, file: Path) -> None:
        (file.parent / "url").write_text("postgresql://u:p@db/v?sslmode=verify-full\n", encoding="utf-8")
        assert load_text(file, MINIMAL, VAULTD_DATABASE_URL="file:url").database_url == Secret(
            "postgresql://u:p@db/v?sslmode=verify-full"
        )

    def test_a_mistake_in_one_names_it(self, file: Path) -> None:
        assert report(file, MINIMAL, VAULTD_DATABASE_URL=CANARY, VAULTD_PUBLIC_URL="vault") == [
            "environment: VAULTD_PUBLIC_URL: is not an absolute URL; write one like https://app.example.com/path",
            "environment: VAULTD_DATABASE_URL: is not a PostgreSQL URL; write postgresql://user@host:5432/database",
        ]


class TestTopLevel:
    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80", "https://v.example/"]
    )
    def test_public_url(self, file: Path, url: str) -> None:
        assert load_text(file, MINIMAL, VAULTD_PUBLIC_URL=url).public_url == url.rstrip("/")

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("http://localhost.example.com", "is not https"),
            ("http://10.0.0.1", "is not https"),
            ("https://vault.example.com/path", "is not an origin"),
            ("https://vault.example.com?", "is not an origin"),
            ("https://Vault.example.com", "is not an origin"),
            ("https://vault.example.com/#", "has a fragment"),
            ("https://user@vault.example.com", "has a user name or password"),
            ("https://vault.example.com:99999", "is not a URL"),
            ("https:\\\\vault", "has characters that no URL has"),
            ("https://", "is not an absolute URL"),
        ],
    )
    def test_public_urls_that_are_none(self, file: Path, url: str, told: str) -> None:
        assert told in one_line(file, MINIMAL, VAULTD_PUBLIC_URL=url)

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ('allowed_return_urls = "https://x.example"', 'allowed_return_urls: is not a list; write ["…"]'),
            ('allowed_return_urls = ["http://x.example"]', "allowed_return_urls[0]: is not https"),
            ('allowed_return_urls = ["javascript:alert(1)"]', "allowed_return_urls[0]: is not an absolute URL"),
            ('allowed_return_urls = ["com.example.app:/a b"]', "allowed_return_urls[0]: has characters"),
            ('allowed_return_urls = ["//x.example"]', "allowed_return_urls[0]: is not an absolute URL"),
            ('allowed_origins = ["https://x.example/"]', "allowed_origins[0]: is not an origin"),
            ('allowed_origins = ["*"]', "allowed_origins[0]: is not an absolute URL"),
            ("default_client = 1", "default_client: is not text; write it in quotes"),
            ('default_client = "x"', "default_client: names no table [clients.x]; there are none yet"),
            ('issuers = "x"', "issuers: is not a table; write it as one"),
            ("providers = []", "providers: is not a table; write it as one"),
            ("providers.acme = 1", "providers.acme: is not a table; write it as one"),
            ("login = 1", "login: is not a table; write it as one"),
            ('providers."a b".x = 1', 'providers."a b": is no name for a table'),
            ('clients."a b".auth = "none"', 'clients."a b": is no client id'),
            ("colour = true", "colour: is not a key of this table; write one of allowed_origins"),
        ],
    )
    def test_mistakes(self, file: Path, line: str, told: str) -> None:
        lines = report(file, f"{line}\n{MINIMAL}")
        assert any(each.startswith(told) for each in lines), lines

    def test_native_apps_have_schemes_of_their_own(self, file: Path) -> None:
        url = "com.example.app:/connected"
        assert load_text(file, f'allowed_return_urls = ["{url}"]\n{MINIMAL}').allowed_return_urls == (url,)
