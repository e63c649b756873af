"""The table [login]."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import ISSUER, MINIMAL, load_text, one_line

LOGIN = '[login]\nissuer = "app"\nclient_id = "vaultd"\nclient_secret = "env:SECRET"\n'


def test_lifetimes_that_are_not_said_are_an_hour_and_a_day(file: Path) -> None:
    login = load_text(file, MINIMAL + ISSUER + LOGIN).login
    assert login is not None
    assert (login.idle, login.absolute) == (3600, 86_400)


def test_lifetimes_that_are_said(file: Path) -> None:
    login = load_text(file, MINIMAL + ISSUER + LOGIN + "idle = 300\nabsolute = 2592000\n").login
    assert login is not None
    assert (login.idle, login.absolute) == (300, 2_592_000)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("idle = 299", "login.idle: is too small; write at least 300"),
        ("idle = 0", "login.idle: is too small; write at least 300"),
        ("absolute = 2592001", "login.absolute: is too large; write at most 2592000"),
        ('idle = "1 h"', "login.idle: is not a whole number"),
        ("idle = 7200\nabsolute = 3600", "login.absolute: is less than idle"),
        ("idl = 300", 'login.idl: is not a key of this table; did you mean "idle"?'),
    ],
)
def test_mistakes(file: Path, line: str, told: str) -> None:
    assert one_line(file, MINIMAL + ISSUER + LOGIN + line).startswith(told)


def test_an_issuer_with_a_shared_secret_signs_nobody_in(file: Path) -> None:
    line = one_line(file, MINIMAL + ISSUER + 'hs256_secret = "env:SECRET"\n' + LOGIN)
    assert line.startswith("login.issuer: names an issuer with hs256_secret")
