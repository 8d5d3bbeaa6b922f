"""How a process of the service logs: JSON lines for machines, readable lines on a terminal."""

import logging
import sys
from typing import Any, BinaryIO

import msgspec
import structlog
from structlog.typing import EventDict

from tickets import clock
from tickets.settings import Settings

_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def configure(settings: Settings) -> None:
    """Send structlog's and the standard library's lines to stderr; call it once, early in a process.

    Args:
        settings: `log_level` is the least level that is logged. The standard library's loggers, which are
            other people's, are heard from warning on.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=_readable() if on_terminal else _machine(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=(
            structlog.PrintLoggerFactory(sys.stderr)
            if on_terminal
            else structlog.BytesLoggerFactory(_Lossy(sys.stderr.buffer))  # type: ignore[arg-type]  # it uses only these two methods
        ),
        # Before the first line of each logger all of this is looked up; after it, nothing is.
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)


class _Lossy:
    """A stream that drops what it cannot write: a full disk under the log must not fail a request."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        try:
            self._stream.write(line)
        except OSError:
            return

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            return


def _machine() -> list[structlog.typing.Processor]:
    return [structlog.processors.format_exc_info, _in_order, _encode]


def _in_order(_: Any, method: str, event: EventDict) -> EventDict:
    return {"time": clock.rfc3339(clock.now()), "level": method, **event}


def _encode(_: Any, __: str, event: EventDict) -> bytes:
    return _ENCODER.encode(event)


def _readable() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


class _ToStructlog(logging.Handler):
    """Hands lines of the standard library's loggers (uvicorn's, warnings) on, so that all look alike."""

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            values["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, record.getMessage(), **values)
