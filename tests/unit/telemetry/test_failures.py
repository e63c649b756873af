"""Exceptions in the log: type, message and stack, and no value that was at hand (security F1)."""

from __future__ import annotations

import logging

import pytest
import structlog
from pydantic import BaseModel, ValidationError

from tests.unit.telemetry.lines import CANARY, JWT, Lines
from vaultd.errors import InvalidTarget
from vaultd.telemetry import configure_logging

log = structlog.get_logger()


class Checked(BaseModel):
    number: int


class TestExceptions:
    @pytest.mark.parametrize("json_lines", [True, False])
    def test_type_message_and_stack_without_locals(self, lines: Lines, json_lines: bool) -> None:  # noqa: FBT001
        configure_logging(level="debug", json=json_lines)
        _fail_and_log(CANARY)
        text = lines.text()
        assert CANARY not in text
        assert "InvalidTarget" in text
        assert "This target is not available to this client. github" in text
        assert "in _inner" in text
        assert "held" not in text

    def test_a_foreign_message_is_cut_to_what_is_no_value(self, lines: Lines) -> None:
        failures: list[Exception] = [
            ValueError(f"invalid literal for int() with base 10: '{CANARY}'"),
            KeyError(CANARY),
            RuntimeError(f"statement failed\n[parameters: {CANARY}]\nDETAIL: {CANARY}"),
            OSError(111, "Connection refused"),
            ExceptionGroup("several", [ValueError(CANARY), ValueError(JWT)]),
        ]
        for failure in failures:
            log.warning("failed", exc_info=failure)
            log.warning("failed", error=failure)
            logging.getLogger("x").error("failed: %s", type(failure), exc_info=failure)
        written = lines.all()
        assert written[0]["exception"][0]["message"] == "invalid literal for int() with base 10: '…'"
        assert written[9]["exception"] == [
            {"type": "ConnectionRefusedError", "message": "[Errno 111] Connection refused", "stack": []}
        ]
        assert [each["type"] for each in written[12]["exception"]] == ["ExceptionGroup", "ValueError", "ValueError"]

    def test_pydantic_quotes_what_it_was_given(self, lines: Lines) -> None:
        try:
            Checked.model_validate({"number": CANARY})
        except ValidationError:
            log.exception("failed")
        (described,) = lines.one()["exception"]
        assert described["type"] == "pydantic_core._pydantic_core.ValidationError"
        assert described["message"] == "1 validation error for Checked"

    def test_causes_outermost_first(self, lines: Lines) -> None:
        try:
            try:
                dict[str, str]()["first"]
            except KeyError as error:
                raise InvalidTarget from error
        except InvalidTarget:
            logging.getLogger("x").exception("failed")
        assert [each["type"] for each in lines.one()["exception"]] == ["InvalidTarget", "KeyError"]

    def test_a_circle_of_causes_ends(self, lines: Lines) -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        log.error("failed", exc_info=first)
        assert len(lines.one()["exception"]) == 2

    def test_one_whose_text_cannot_be_had(self, lines: Lines) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise ValueError(CANARY)

        log.error("failed", exc_info=Broken())
        assert lines.one()["exception"][0]["message"] == "…"

    def test_without_an_exception_there_is_none(self, lines: Lines) -> None:
        log.info("fine", exc_info=True)  # noqa: LOG014 - the mistake this is about
        log.info("fine", exc_info=False, stack_info=True, exception="a word")
        first, second = lines.all()
        assert "exception" not in first
        assert second["exception"] == "a word"


def _fail_and_log(held: str) -> None:
    try:
        _inner(held)
    except InvalidTarget:
        log.exception("failed")


def _inner(held: str) -> None:
    own = held + held
    raise InvalidTarget(detail="github" if own else "")
