"""Secrets by reference, and the database's URL, which is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import ACME, CANARY, ENVIRON, LONG, MINIMAL, load_text, one_line
from vaultd.settings import load
from vaultd.terms import Secret


class TestSecrets:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_from_a_file_beside_the_configuration(self, file: Path, end: str) -> None:
        (file.parent / "secret").write_bytes((LONG + end).encode())
        settings = load_text(file, MINIMAL + ACME.replace("env:SECRET", "file:secret"))
        assert settings.providers["acme"].client_secret == Secret(LONG)

    @pytest.mark.parametrize(
        ("reference", "told"),
        [
            (CANARY, 'is a literal secret; write "env:NAME" or "file:path" instead'),
            ("", 'is empty; write "env:NAME" or "file:path"'),
            ("env:NOT_SET", "refers to the environment variable 'NOT_SET', which is not set; set it"),
            ("env:EMPTY", "refers to the environment variable 'EMPTY', which is empty; put the secret there"),
            ("env:LATIN1", "refers to the environment variable 'LATIN1', which is not UTF-8 text;"),
            ("file:nothing", "which cannot be read (No such file or directory); mend that"),
            ("file:.", "which cannot be read (Is a directory); mend that"),
            ("file:a\\u0000b", "refers to a file whose name has a NUL;"),
            ("file:empty", "which is empty; put the secret there"),
            ("file:binary", "which is not UTF-8 text; put the secret there as text"),
            ("file:large", "which is over 65536 bytes; name a file with the secret alone"),
            ("sha256:" + "0" * 64, "is a hash; the secret itself is needed here: write env:NAME or file:path"),
        ],
    )
    def test_a_reference_that_leads_nowhere(self, file: Path, reference: str, told: str) -> None:
        (file.parent / "empty").write_bytes(b"\n")
        (file.parent / "binary").write_bytes(b"\xff" * 40)
        (file.parent / "large").write_bytes(b"x" * 70_000)
        line = one_line(file, MINIMAL + ACME.replace("env:SECRET", reference), LATIN1="\udce9" * 40)
        assert line.startswith("providers.acme.client_secret: ")
        assert told in line

    def test_what_is_no_reference(self, file: Path) -> None:
        line = one_line(file, MINIMAL + ACME.replace('"env:SECRET"', "1"))
        assert line == 'providers.acme.client_secret: is not a reference; write "env:NAME" or "file:path"'

    def test_a_literal_one_in_development(self, file: Path) -> None:
        file.write_text(MINIMAL.replace("env:DB", "postgresql://u:p@localhost/v") + ACME.replace("env:SECRET", LONG))
        settings = load(file, environ={}, allow_literal_secrets=True)
        assert settings.providers["acme"].client_secret == Secret(LONG)


class TestDatabaseUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://vaultd:p%23ss@db.example.com:5432/vaultd?sslmode=verify-full",
            "postgresql://vaultd@/vaultd?host=/run/postgresql",
            "postgresql:///vaultd?host=/run/postgresql&user=vaultd",
            "postgresql://vaultd@first:5432,second:5433/vaultd?sslmode=verify-full",
            "postgres://vaultd@db.example.com/vaultd?sslmode=verify_full&sslrootcert=system",
            "postgresql://vaultd@[::1]:5432/vaultd",
        ],
    )
    def test_ordinary_ones(self, file: Path, url: str) -> None:
        assert load_text(file, MINIMAL, DB=url).database_url == Secret(url)

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            (f"postgresql+asyncpg://vaultd:{CANARY}@db/vaultd", "is not a PostgreSQL URL"),
            (f"sqlite:///{CANARY}", "is not a PostgreSQL URL"),
            (f"postgresql://vaultd:{CANARY}#1@db/vaultd", "percent-encode it"),
            (f"postgresql://vaultd:{CANARY} 1@db/vaultd", "percent-encode it"),
            (f"postgresql://vaultd:{CANARY}@db:port/vaultd", "has a host or port that cannot be read"),
            (f"postgresql://vaultd:{CANARY}@[db/vaultd", "is not a URL"),
            (f"postgresql://vaultd:{CANARY}@/vaultd", "names no host"),
            (f"postgresql://vaultd:{CANARY}@127.0.0.1,/vaultd", "names no host"),
            (f"postgresql://vaultd:{CANARY}@127.0.0.1@db/vaultd", 'percent-encode it, "%40"'),
        ],
    )
    def test_others(self, file: Path, url: str, told: str) -> None:
        assert told in one_line(file, MINIMAL, DB=url)

    def test_without_a_password_it_may_stand_in_the_file(self, file: Path) -> None:
        assert load_text(file, MINIMAL.replace("env:DB", ENVIRON["DB"])).database_url == Secret(ENVIRON["DB"])
        for secret in (f"postgresql://u:{CANARY}@db/v", f"postgresql://u@db/v?password={CANARY}"):
            assert "is a literal secret" in one_line(file, MINIMAL.replace("env:DB", secret))
