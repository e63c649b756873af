"""Where log lines come from and where they go: one handler, one pipeline, for structlog and the standard library."""

from __future__ import annotations

import json as jsonlib
import logging
import sys
from contextlib import AbstractContextManager, suppress

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from vaultd.telemetry.failures import describe_failure, failures_as_text
from vaultd.telemetry.redaction import redact

_CHATTY = ("alembic.runtime.plugins", "hpack", "httpcore", "httpx", "python_multipart", "sqlalchemy")
"""Libraries that write URLs, headers or statement parameters below WARNING."""


def configure_logging(*, level: str, json: bool) -> None:
    """Send every log line to standard error, as JSON lines or, for a terminal, laid out to be read.

    `level` is `debug`, `info`, `warning` or `error`, in any case. Raises `ValueError` for another one.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if not number:
        raise ValueError(f"no such log level: {level!r}")
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        describe_failure,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A module's logger made before this call must obey it too.
        cache_logger_on_first_use=False,
    )
    _route_standard_library(number, _formatter(shared, json=json))


def bind_request(request_id: str) -> AbstractContextManager[None]:
    """Within this context, every log line of this task carries `request_id`."""
    return bound_contextvars(request_id=request_id)


def _formatter(shared: list[Processor], *, json: bool) -> ProcessorFormatter:
    rendering: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if json
        else [failures_as_text, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="at")]
    )
    return ProcessorFormatter(
        foreign_pre_chain=shared, processors=[ProcessorFormatter.remove_processors_meta, *rendering]
    )


def _route_standard_library(level: int, formatter: logging.Formatter) -> None:
    handler = _Handler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        # A library's own handler would write past the pipeline.
        logger = logging.getLogger(name)
        logger.handlers = [each for each in logger.handlers if isinstance(each, logging.NullHandler)]
        logger.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # It holds query strings, and those of our browser routes hold codes. Each request has a line of ours.
    logging.getLogger("uvicorn.access").disabled = True


class _Handler(logging.Handler):
    """To standard error. A line that cannot be formatted is named, not dumped with its arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - a log line must not end what it tells about
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        line = {"event": "a log line could not be written", "level": "error", "logger": record.name}
        # A standard error that is closed leaves nobody to tell.
        with suppress(OSError, ValueError):
            sys.stderr.write(jsonlib.dumps(line | {"line": record.lineno}) + "\n")
