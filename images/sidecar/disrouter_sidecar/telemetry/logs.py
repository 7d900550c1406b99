"""One JSON object per line. Only named fields are logged: never a prompt, a reply or a key."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import string
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Protocol, TextIO

import orjson

from disrouter_sidecar.telemetry.background_writer import BackgroundWriter

LATE_SECONDS = 0.1
"""A line waits at most that long for others to be written together; warnings and worse do not wait."""
CLOSING_SECONDS = 1.0
"""For a log to be read when the process ends."""
MAX_WAITING = 1024
"""Lines that wait at most."""
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FEWEST = len(vars(logging.makeLogRecord({})))
"""Fields that every record has; those of `extra` come after them."""
_requests = logging.getLogger("disrouter_sidecar.requests")
_OF_LINE = ("time", "level")
_OF_REQUEST_ID = f"{string.ascii_letters}{string.digits}_.:/+=@-".encode()
_LONGEST_REQUEST_ID = 128


LogFields = dict[str, object]
"""Of a line, or of a span: names and numbers, never prompts, answers or keys."""


class RequestLog(Protocol):
    """Where the lines of requests go, at level INFO."""

    def log(self, message: str, fields: LogFields) -> bytes:
        """Write a line; returns it, written or not."""
        ...

    def log_line(self, line: bytes) -> None:
        """Write a line that was made already."""
        ...


class JsonFormatter(logging.Formatter):
    """Time, level, message, the `extra` fields and a trace where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        extra = islice(vars(record).items(), _FEWEST, None)
        fields = {key: value for key, value in extra if key not in _PLAIN}
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return line_of(record.created, record.levelname.lower(), record.getMessage(), fields).decode()


_HUNDREDTHS = tuple(f".{part:02d}" for part in range(100))


def milliseconds(seconds: float) -> float:
    """To a hundredth, without the cost of `round`, which is exact."""
    return int(seconds * 100_000 + 0.5) / 100


def hundredths(seconds: float) -> str:
    """The same as text, which costs a tenth of what Python's shortest text of a number does."""
    number = int(seconds * 100_000 + 0.5)
    whole = number // 100
    return f"{whole}{_HUNDREDTHS[number - 100 * whole]}"


def line_of(now: float, level: str, message: str, fields: LogFields) -> bytes:
    """One JSON object; `now` in Unix seconds."""
    line = {
        "time": time_of(now),
        "level": level,
        "message": message,
        **fields,
    }
    try:
        # A copy: lines are remembered, and orjson leaves behind its result what it had room for, some KiB.
        return bytes(memoryview(orjson.dumps(line, default=str)))
    except TypeError:  # text that is no UTF-8
        return json.dumps(line, default=str).encode()


def time_of(now: float) -> str:
    """As lines have it; `now` in Unix seconds."""
    second = int(now)
    return f"{_second(second)}.{str(1000 + int((now - second) * 1000))[1:]}+00:00"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LogWriter:
    """Writes the lines of many requests at once: a system call per line would cost a tenth of a request."""

    def __init__(self, stream: TextIO) -> None:
        self._out = BackgroundWriter(stream.fileno(), _dropped)
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def log(self, message: str, fields: LogFields) -> bytes:
        """`RequestLog`, without the detours of `logging`, which cost as much as a tenth of the request."""
        line = line_of(time.time(), "info", message, fields)
        self.add(line, urgent=False)
        return line

    def log_line(self, line: bytes) -> None:
        """`RequestLog`."""
        self.add(line, urgent=False)

    def add(self, line: bytes, *, urgent: bool) -> None:
        """Keep the line; write now where it matters, is one too many, or nothing would write it later."""
        self._lines.append(line)
        if urgent or len(self._lines) >= MAX_WAITING:
            self.flush()
        elif self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(LATE_SECONDS, self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            self._out.write(b"\n".join((*lines, b"")))

    def close(self) -> None:
        """Write what waits, unless nobody reads it."""
        self.flush()
        self._out.drain(CLOSING_SECONDS)


def _dropped(pieces: int) -> bytes:
    """In the place of what nobody had read for too long, in pieces of up to `MAX_WAITING` lines."""
    return line_of(time.time(), "warning", "nobody read the log, and lines were dropped", {"pieces": pieces}) + b"\n"


class LogHandler(logging.Handler):
    """Writes the records of `logging` between the lines of the requests."""

    def __init__(self, lines: LogWriter) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Warnings and worse do not wait."""
        self._lines.add(self.format(record).encode(), urgent=record.levelno >= logging.WARNING)

    def flush(self) -> None:
        """Write what waits."""
        self._lines.flush()


class StandardLog:
    """`RequestLog` by way of `logging`, where that is configured."""

    def log(self, message: str, fields: LogFields) -> bytes:
        """A record with the fields as attributes."""
        _requests.info(message, extra=fields)
        return line_of(time.time(), "info", message, fields)

    def log_line(self, line: bytes) -> None:
        """The same of a line."""
        fields = json.loads(line)
        _requests.info(fields.pop("message"), extra={name: fields[name] for name in fields if name not in _OF_LINE})


STANDARD = StandardLog()


class NoLog:
    """`RequestLog` for a level at which requests are not logged."""

    def log(self, message: str, fields: LogFields) -> bytes:
        """The line, for whoever remembers it."""
        return line_of(time.time(), "info", message, fields)

    def log_line(self, line: bytes) -> None:
        """Nothing is written."""


def configure(level: str) -> RequestLog:
    """Send the sidecar's lines to stderr; libraries log from warnings up.

    Thread, process and place in the source are not gathered, for no line shows them. Returns the writer of the
    requests' lines.
    """
    lines = LogWriter(sys.stderr)
    atexit.register(lines.close)
    handler = LogHandler(lines)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("disrouter_sidecar").setLevel(level)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    return lines if _requests.isEnabledFor(logging.INFO) else NoLog()


def _is_request_id(header: str) -> bool:
    if not header or len(header) > _LONGEST_REQUEST_ID or not header.isascii():
        return False
    return not header.encode().translate(None, _OF_REQUEST_ID)


class RequestIds:
    """New ids: random for each process, then counted, because asking the system for each would cost a call."""

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._next = int.from_bytes(os.urandom(6))

    def of(self, header: str | None) -> str:
        """The caller's id when it is one, else a new one of 32 hexadecimal digits."""
        if header is not None and _is_request_id(header):
            return header
        self._next += 1
        return f"{self._prefix}{self._next:016x}"


request_id = RequestIds().of
