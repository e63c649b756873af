"""A database over a network proves itself, or the operator has said that it need not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import CANARY, MINIMAL, load_text, one_line
from vaultd.db import Database
from vaultd.errors import ConfigurationError
from vaultd.terms import Secret

HERE = [
    "postgresql://u@/v?host=/run/postgresql",
    "postgresql://u@%2Frun%2Fpostgresql/v",
    "postgresql://u@localhost/v",
    "postgresql://u@LOCALHOST:5433/v",
    "postgresql://u@[::1]:5434,127.0.0.1,127.0.0.2:5433/v",
    "postgres://u@/v?host=127.0.0.1,/run/postgresql",
    "postgresql://u@127.0.0.1/v?sslmode=disable",
]
ELSEWHERE = [
    "postgresql://u@db/v",
    "postgres://u@db/v",
    "postgresql://u@db.example.com:5432/v?sslmode=prefer",
    "postgresql://u@db.example.com:5432/v?sslmode=require",
    "postgresql://u@db.example.com:5432/v?sslmode=verify-ca",
    "postgresql://u@db.example.com:5432/v?sslmode=",
    "postgresql://u@db.example.com:5432/v?sslmode=Verify-Full",
    "postgresql://u@db/v?sslmode=verify-full&sslmode=disable",
    "postgresql://u@127.0.0.1,db/v",
    "postgresql://u@db,127.0.0.1/v",
    "postgresql://u@/v?host=db",
    "postgresql://u@/v?host=/run/postgresql,db",
    "postgresql://u@/v?host=127.0.0.1&host=db",
    "postgresql://u@127.0.0.1/v?host=db",
    "postgresql://u@127.0.0.1/v?hostaddr=192.0.2.1",
    "postgresql://u@localhost%2Eexample.com/v",
    "postgresql://u@127.0.0.1.example.com/v",
    "postgresql://u@0.0.0.0/v",
    "postgresql://u@10.0.0.1/v",
    "postgresql://u@[2001:db8::1]/v",
    "postgresql://u@%1B[2J/v".replace("[", "%5B"),
]


@pytest.mark.parametrize("url", HERE)
def test_on_this_machine_there_is_nobody_in_between(file: Path, url: str) -> None:
    assert load_text(file, MINIMAL, DB=url).database.tls == "verified"
    Database(Secret(url))


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("key", ["database_url", "migration_database_url"])
def test_elsewhere_the_server_proves_its_name(file: Path, url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    text = MINIMAL if key == "database_url" else f'migration_database_url = "env:OWNER"\n{MINIMAL}'
    environ = {"DB" if key == "database_url" else "OWNER": url.replace("u@", f"u:{CANARY}@")}
    told = one_line(file, text, **environ)
    assert told.startswith(f"{key}: leads over a network to ")
    assert "add sslmode=verify-full" in told
    assert told.isprintable()
    with pytest.raises(ConfigurationError) as caught:
        Database(Secret(environ["DB" if key == "database_url" else "OWNER"]))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("url", [url for url in ELSEWHERE if "sslmode" not in url])
def test_one_that_does(file: Path, url: str) -> None:
    verified = f"{url}{'&' if '?' in url else '?'}sslmode=verify-full"
    assert load_text(file, MINIMAL, DB=verified).database_url == Secret(verified)


def test_the_operator_may_say_otherwise(file: Path) -> None:
    settings = load_text(file, MINIMAL + '[database]\ntls = "unverified"\n', DB=ELSEWHERE[0])
    assert settings.database.tls == "unverified"
    Database(settings.database_url, tls=settings.database.tls)
    assert load_text(file, MINIMAL, DB=ELSEWHERE[0], VAULTD_DATABASE_TLS="unverified").database.tls == "unverified"


def test_in_words_that_are_known(file: Path) -> None:
    assert one_line(file, MINIMAL + '[database]\ntls = "off"\n').startswith("database.tls: has a value that is not")
    assert "environment: VAULTD_DATABASE_TLS: has a value" in one_line(file, MINIMAL, VAULTD_DATABASE_TLS="off")


def test_a_url_that_names_no_host_is_the_environment_s_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    for url in ("postgresql:///v", "postgresql://u@/v?service=elsewhere", "postgresql://u@127.0.0.1,/v"):
        with pytest.raises(ConfigurationError, match="names no host"):
            Database(Secret(url))
