"""Lines of the log, and the canary that must be in none of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

CANARY = "c4n4ry9f2b7c1e4d8a6b3f5e0c"
JWT = f"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ{CANARY}.{CANARY}-{CANARY}"


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
