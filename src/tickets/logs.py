"""How a process of the service logs: JSON lines for machines, readable lines on a terminal; no line is long.

What a line repeats may come from a stranger, and a traceback from deep within a library: both are cut, so that no
request fills the disk. A request that fails makes one line with a traceback and one without, 4 KB together.
"""

import logging
import sys
import traceback
from typing import Any, BinaryIO, TextIO

import msgspec
import structlog
from structlog.typing import EventDict

from tickets import clock
from tickets.settings import Settings

MAX_LINE = 1_400
"""Most bytes of a line without a traceback."""
MAX_LINE_WITH_TRACEBACK = 2_600
"""Most bytes of a line with one."""
MAX_FRAMES = 12
"""Most frames that are shown of an exception: the last ones, where it was raised."""
MAX_CAUSES = 3
"""Most exceptions that are shown of a chain: the last ones."""
MAX_MESSAGE = 400
"""Most characters that are shown of an exception's message."""
CUT = "… [cut]"

_SHORT = 200
"""Bytes up to which a value is left alone when its line is too long."""
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


def _machine() -> list[structlog.typing.Processor]:
    return [structlog.processors.ExceptionRenderer(lambda error: _described(error[1])), _in_order, _encode]


def _in_order(_: Any, method: str, event: EventDict) -> EventDict:
    return {"time": clock.rfc3339(clock.now()), "level": method, **event}


def _encode(_: Any, __: str, event: EventDict) -> bytes:
    line = _ENCODER.encode(event)
    most = MAX_LINE_WITH_TRACEBACK if "exception" in event else MAX_LINE
    return line if len(line) <= most else _ENCODER.encode(_shortened(event, most))


def _readable() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        _cut_texts,
        structlog.dev.ConsoleRenderer(exception_formatter=_write_described),
    ]


def _cut_texts(_: Any, __: str, event: EventDict) -> EventDict:
    return {name: _cut(value, MAX_LINE) if isinstance(value, str) else value for name, value in event.items()}


def _write_described(stream: TextIO, error: structlog.typing.ExcInfo) -> None:
    stream.write("\n" + _described(error[1]))


def _shortened(event: EventDict, most: int) -> EventDict:
    """Cut the long values of a line, each to its share of what is left; what a traceback needs is its own."""
    made = dict(event)
    exception = made.pop("exception", None)
    sizes = {name: len(_ENCODER.encode({name: value})) for name, value in made.items()}
    long = [name for name, size in sizes.items() if size > _SHORT]
    left = most - sum(size for size in sizes.values() if size <= _SHORT)
    share = _SHORT if exception is not None else left // max(1, len(long))
    for name in long:
        made[name] = _cut(made[name], share - len(name) - len('"":,'))
    if exception is not None:
        made["exception"] = _cut(exception, left - len(long) * _SHORT - len('"exception":,'))
    return made


def _cut(value: Any, most: int) -> str:
    """Keep the beginning of a value, as a text whose JSON has no more bytes than that."""
    text = value if isinstance(value, str) else _ENCODER.encode(value).decode()
    kept = text[:most]
    if kept == text and len(_ENCODER.encode(kept)) <= most:
        return text
    while kept and len(_ENCODER.encode(kept + CUT)) > most:
        kept = kept[: len(kept) * 3 // 4]
    return kept + CUT


def _described(error: BaseException | None) -> str:
    """Show an exception and what it came from.

    The library's own formatter looks at all of a chain, of which a recursion makes a thousand.
    """
    chain: list[BaseException] = []
    link = error
    while link is not None and len(chain) < MAX_CAUSES:
        chain.insert(0, link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    budget = (MAX_LINE_WITH_TRACEBACK - 2 * MAX_MESSAGE) // max(1, len(chain))
    return "\n\nwhich led to:\n\n".join(_described_alone(one, budget) for one in chain)


def _described_alone(error: BaseException, budget: int) -> str:
    """Show the last frames and the message of an exception, in not much more characters than its budget."""
    lines = [_cut(f"{type(error).__qualname__}: {_message(error)}", min(MAX_MESSAGE, budget))]
    left = budget - len(lines[0])
    for frame in reversed(traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES)):
        place = f"  {frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} in {frame.name}: {frame.line}"
        left -= len(place)
        if left < 0 and len(lines) > 1:
            break
        lines.append(place[:MAX_MESSAGE])
    return "\n".join(["Traceback (most recent call last):", *reversed(lines)])


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - whatever an exception's own method raises, the line is written
        return f"[no message: {type(failure).__name__}]"


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


class _ToStructlog(logging.Handler):
    """Hands lines of the standard library's loggers (uvicorn's, warnings) on, so that all look alike."""

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            values["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, record.getMessage(), **values)
