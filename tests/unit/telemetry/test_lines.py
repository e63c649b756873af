"""The shape of a log line, whoever writes it."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
import structlog

from tests.unit.telemetry.lines import CANARY, Lines
from vaultd.telemetry import bind_request, configure_logging
from vaultd.telemetry.redaction import MAX_TEXT
from vaultd.terms import Scopes

log = structlog.get_logger()


@dataclass
class Holder:
    value: str = CANARY


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
