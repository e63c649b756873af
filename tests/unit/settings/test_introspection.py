"""`[issuers.X.introspection]` and `dpop`: what is taken, and every mistake told with its key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import ISSUER, MINIMAL, load_text, one_line, report
from vaultd.subjects.config import opaque_taker
from vaultd.terms import Secret

TABLE = '[issuers.app.introspection]\nclient_id = "vaultd"\nclient_secret = "env:SECRET"\n'
SECOND = (ISSUER + TABLE).replace("issuers.app", "issuers.second").replace("login.example.com", "two.example.com")


def _asked(issuer: str = "", table: str = "") -> str:
    return MINIMAL + ISSUER + issuer + "\n" + TABLE + table


def test_defaults(file: Path) -> None:
    issuer = load_text(file, _asked()).issuers["app"]
    assert issuer.dpop == "optional"
    asked = issuer.introspection
    assert asked is not None
    assert (asked.introspection_endpoint, asked.cache_seconds, asked.opaque) == (None, 0, None)
    assert asked.introspection_endpoint_auth_method == "client_secret_basic"
    assert asked.client_secret == Secret("a secret of more than 32 characters")


def test_an_inline_table_does_too(file: Path) -> None:
    line = 'introspection = {client_id = "vaultd", client_secret = "env:SECRET", cache_seconds = 60}'
    asked = load_text(file, MINIMAL + ISSUER + line).issuers["app"].introspection
    assert asked is not None
    assert asked.cache_seconds == 60


def test_with_an_address_the_issuer_is_any_text(file: Path) -> None:
    address = 'introspection_endpoint = "https://login.example.com/introspect"'
    load_text(file, _asked(table=address).replace("https://login.example.com/", "our-login", 1))
    assert one_line(file, _asked().replace("https://login.example.com/", "our-login")).startswith(
        "issuers.app.issuer: is not an absolute URL"
    )


def test_a_loopback_address_that_is_named(file: Path) -> None:
    address = 'introspection_endpoint = "http://127.0.0.1:9/introspect"'
    load_text(file, _asked('allow_private_hosts = ["127.0.0.1"]', address))
    assert one_line(file, _asked(table=address)) == (
        "issuers.app.introspection: has an introspection_endpoint that is plain http; write https://, or add"
        " '127.0.0.1' to allow_private_hosts beside it"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('introspection_endpoint = "http://x.example"', "introspection_endpoint: is not https"),
        ('introspection_endpoint = "/introspect"', "introspection_endpoint: is not an absolute URL"),
        ('introspection_endpoint = "https://u:p@x.example"', "introspection_endpoint: has a user name"),
        (
            'introspection_endpoint_auth_method = "none"',
            "introspection_endpoint_auth_method: has a value that is not known; write 'client_secret_basic' or",
        ),
        ("cache_seconds = 61", "cache_seconds: is too large; write at most 60"),
        ("cache_seconds = -1", "cache_seconds: is too small; write at least 0"),
        ('cache_seconds = "60"', "cache_seconds: is not a whole number"),
        ("cache_seconds = true", "cache_seconds: is not a whole number"),
        ('opaque = "yes"', "opaque: is not true or false"),
        ('client_sceret = "env:SECRET"', 'client_sceret: is not a key of this table; did you mean "client_secret"?'),
    ],
)
def test_mistakes(file: Path, line: str, told: str) -> None:
    assert one_line(file, _asked(table=line)).startswith(f"issuers.app.introspection.{told}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('client_id = "vaultd"', ""), "client_id: is missing; write client_id = "),
        (('client_id = "vaultd"', 'client_id = ""'), "client_id: is empty"),
        (('client_secret = "env:SECRET"', ""), "client_secret: is missing; write client_secret = "),
        (("env:SECRET", "a literal secret"), "client_secret: is a literal secret; write"),
        (("env:SECRET", "sha256:" + "0" * 64), "client_secret: is a hash; the secret itself is needed here"),
        (("env:SECRET", "env:EMPTY"), "client_secret: refers to the environment variable 'EMPTY', which is empty"),
    ],
)
def test_mistakes_in_what_must_be_there(file: Path, change: tuple[str, str], told: str) -> None:
    assert one_line(file, _asked().replace(*change)).startswith(f"issuers.app.introspection.{told}")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('hs256_secret = "env:SECRET"', "introspection: stands beside hs256_secret; write one of them"),
        ('jwks_uri = "https://x.example/keys"', "introspection: stands beside jwks_uri; write one of them"),
        ('jwks_file = "keys.json"', "introspection: stands beside jwks_file; write one of them"),
        ('id_token_client_ids = ["web-app"]', "id_token_client_ids: stands beside introspection, which is not for ID"),
        ('dpop = "always"', "dpop: has a value that is not known; write 'optional' or 'required'"),
    ],
)
def test_what_does_not_go_together(file: Path, line: str, told: str) -> None:
    assert one_line(file, _asked(line)).startswith(f"issuers.app.{told}")


def test_no_table_at_all(file: Path) -> None:
    assert one_line(file, MINIMAL + ISSUER + "introspection = true") == (
        "issuers.app.introspection: is not a table; write it as one"
    )


class TestOpaqueTokens:
    """One issuer at most is asked about them, and which one is never left to chance."""

    def test_the_only_one(self, file: Path) -> None:
        assert opaque_taker(load_text(file, _asked()).issuers) == "app"
        assert opaque_taker(load_text(file, _asked(table="opaque = true")).issuers) == "app"
        assert opaque_taker(load_text(file, _asked(table="opaque = false")).issuers) is None
        assert opaque_taker(load_text(file, MINIMAL + ISSUER).issuers) is None

    def test_one_of_several(self, file: Path) -> None:
        assert opaque_taker(load_text(file, _asked() + SECOND + "opaque = true").issuers) == "second"
        both = _asked(table="opaque = false\n") + SECOND + "opaque = true"
        assert opaque_taker(load_text(file, both).issuers) == "second"
        neither = _asked(table="opaque = false\n") + SECOND + "opaque = false"
        assert opaque_taker(load_text(file, neither).issuers) is None

    def test_two_that_say_so(self, file: Path) -> None:
        assert one_line(file, _asked(table="opaque = true\n") + SECOND + "opaque = true") == (
            "issuers.second.introspection.opaque: is true in [issuers.app] too; write true in one of them, as it is"
            " asked alone"
        )

    @pytest.mark.parametrize("first", ["", "opaque = false\n"])
    def test_none_that_says_so(self, file: Path, first: str) -> None:
        place = "second" if first else "app"
        assert one_line(file, _asked(table=first) + SECOND) == (
            f"issuers.{place}.introspection.opaque: is missing, and several issuers have introspection; write"
            " opaque = true in the one that is to be asked about opaque tokens, or opaque = false in all of them"
        )

    def test_told_beside_other_mistakes(self, file: Path) -> None:
        lines = report(file, _asked(table="cache_seconds = 61\n") + SECOND)
        assert len(lines) == 2
        assert lines[0].startswith("issuers.app.introspection.cache_seconds: is too large")
        assert lines[1].startswith("issuers.app.introspection.opaque: is missing")
