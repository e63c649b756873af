"""The tables [refresh] and [metrics]."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import ACME, MINIMAL, load_text, one_line


def test_without_the_tables(file: Path) -> None:
    settings = load_text(file, MINIMAL + ACME)
    assert (settings.refresh.ahead, settings.refresh.active_days, settings.refresh.per_second) == (600, 14, 5)
    assert settings.metrics is None
    assert settings.providers["acme"].refresh_token_idle_limit == 0


def test_with_them(file: Path) -> None:
    text = "[refresh]\nahead = 0\nactive_days = 30\nper_second = 50\n[metrics]\nport = 9999\n"
    settings = load_text(file, MINIMAL + text + ACME + "refresh_token_idle_limit = 7776000\n")
    assert (settings.refresh.ahead, settings.refresh.active_days, settings.refresh.per_second) == (0, 30, 50)
    assert settings.metrics is not None
    assert (settings.metrics.host, settings.metrics.port) == ("127.0.0.1", 9999)
    assert settings.providers["acme"].refresh_token_idle_limit == 7_776_000


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[refresh]\nahead = -1", "refresh.ahead: is too small; write at least 0"),
        ("[refresh]\nahead = 86401", "refresh.ahead: is too large; write at most 86400"),
        ('[refresh]\nahead = "600"', "refresh.ahead: is not a whole number"),
        ("[refresh]\nactive_days = 0", "refresh.active_days: is too small; write at least 1"),
        ("[refresh]\nper_second = 0", "refresh.per_second: is too small; write at least 1"),
        ("[refresh]\nper_secnd = 1", 'refresh.per_secnd: is not a key of this table; did you mean "per_second"?'),
        ("[metrics]\nport = 0", "metrics.port: is too small; write at least 1"),
        ("[metrics]\nport = 65536", "metrics.port: is too large; write at most 65535"),
        ('[metrics]\nhost = "http://localhost"', "metrics.host: 'http://localhost' is not a host"),
        ("metrics = true", "metrics: is not a table"),
    ],
)
def test_mistakes(file: Path, line: str, told: str) -> None:
    text = line + MINIMAL if line.startswith("metrics") else MINIMAL + line
    assert one_line(file, text).startswith(told)
