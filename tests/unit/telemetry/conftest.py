"""What is written to standard error, captured line by line."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.unit.telemetry.lines import Lines
from vaultd.telemetry import configure_logging


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Logging as it was, afterwards: it is global to the process."""
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    before = [(each, each.level, each.handlers[:], each.propagate, each.disabled) for each in [root, *loggers]]
    configure_logging(level="debug", json=True)
    yield Lines(capsys)
    for each, level, handlers, propagate, disabled in before:
        each.setLevel(level)
        each.handlers, each.propagate, each.disabled = handlers, propagate, disabled
    structlog.reset_defaults()
