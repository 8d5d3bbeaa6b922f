"""No line of the log is long, whatever it repeats and however deep a failure lies."""

import json
import subprocess
import sys

import pytest

from tickets.logs import MAX_LINE, MAX_LINE_WITH_TRACEBACK

SCRIPT = """
import asyncio, logging, sys
import structlog
from tickets import logs
from tickets.settings import Settings
logs.configure(Settings(log_level="info"))
log = structlog.get_logger("tickets")


def deep(levels):
    if levels:
        return deep(levels - 1)
    raise ValueError("the deepest")


def chained(levels):
    try:
        if levels:
            chained(levels - 1)
        raise ValueError("the first")
    except ValueError as error:
        raise ValueError(f"level {levels}") from error


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no")


def raising(error):
    raise error


{body}
"""

TEXTS = {
    "a megabyte": "'x' * 1_000_000",
    "emoji": "'\U0001f600' * 50_000",
    "quotes": "'\"' * 50_000",
    "line feeds": "'\\n' * 50_000",
    "controls": "'\\x01' * 50_000",
    "a list": "list(range(100_000))",
    "an object": "{'a': 'x' * 100_000}",
}
FAILURES = {
    "a recursion of 900": ("deep(900)", "ValueError: the deepest"),
    "a chain of 300": ("chained(300)", "ValueError: level 300"),
    "a message of a megabyte": ("raising(ValueError('the message' + 'x' * 1_000_000))", "ValueError: the message"),
    "a message of emoji": ("raising(ValueError('the message' + '\U0001f600' * 50_000))", "ValueError: the message"),
    "a message of quotes": ("raising(ValueError('the message' + chr(34) * 50_000))", "ValueError: the message"),
    "no message at all": ("raising(Mute())", "Mute: [no message: RuntimeError]"),
    "a group": ("raising(ExceptionGroup('all', [ValueError('x' * 9_000)] * 99))", "ExceptionGroup: all"),
}


def lines_of(body: str) -> list[bytes]:
    script = SCRIPT.replace("{body}", body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stderr.splitlines()


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_line_repeats_is_cut(name: str):
    text = TEXTS[name]
    lines = lines_of(
        f"log.info('request', path={text}, status=404)\n"
        f"log.warning('request', path={text}, error={text}, status=404)\n"
        f"logging.getLogger('uvicorn.error').warning('said %s', {text})"
    )
    assert len(lines) == 3
    for line in lines:
        assert MAX_LINE // 3 < len(line) <= MAX_LINE
        assert b"[cut]" in line
    assert [json.loads(line).get("status") for line in lines] == [404, 404, None]


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("path", ["'/'", "'\"' * 9_000"], ids=["a short path", "a long path"])
def test_a_failure_shows_where_it_was_raised_and_no_more(name: str, path: str):
    call, message = FAILURES[name]
    first, second = lines_of(
        f"try:\n    {call}\n"
        f"except Exception as error:\n"
        f"    log.error('failed', path={path}, exc_info=error)\n"
        f"    logging.getLogger('uvicorn.error').exception('failed')\n"
    )
    for line in (first, second):
        assert len(line) <= MAX_LINE_WITH_TRACEBACK
        shown = json.loads(line)["exception"]
        assert shown.startswith("Traceback (most recent call last):\n")
        assert message in shown
        assert " in raising: " in shown or " in deep: " in shown or " in chained: " in shown


def test_what_an_event_loop_reports_is_cut_as_well():
    (line,) = lines_of(
        "async def main():\n"
        "    asyncio.get_running_loop().call_exception_handler(\n"
        "        {'message': 'x' * 100_000, 'exception': ValueError('y' * 100_000), 'transport': 'z' * 100_000})\n"
        "asyncio.run(main())\n"
    )
    assert len(line) <= MAX_LINE_WITH_TRACEBACK
    assert json.loads(line)["logger"] == "asyncio"
