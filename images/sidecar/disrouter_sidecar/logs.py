"""One JSON object a line. Only named fields get in: never a prompt, a reply or a key."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TextIO

import orjson

LATE_SECONDS = 0.1
"""A line waits at most that long for others to be written together; warnings and worse do not wait."""
MAX_WAITING = 256
"""Lines that wait at most."""
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FEWEST = len(vars(logging.makeLogRecord({})))
"""Fields that every record has; those of `extra` come after them."""
_REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class JsonFormatter(logging.Formatter):
    """Time, level, message, the `extra` fields and a trace where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        extra = islice(vars(record).items(), _FEWEST, None)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{key: value for key, value in extra if key not in _PLAIN},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # text that is no UTF-8
            return json.dumps(line, default=str)


class GatheringHandler(logging.Handler):
    """Writes the lines of many requests at once: a system call a line would cost a tenth of a request."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line; write now where it matters, is one too many, or nothing would write it later."""
        self._lines.append(self.format(record))
        if record.levelno >= logging.WARNING or len(self._lines) >= MAX_WAITING:
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
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()


def configure(level: str) -> None:
    """Send the sidecar's lines to stderr; libraries speak from warnings up.

    What no line shows is not gathered either: thread, process, and the place in the source.
    """
    handler = GatheringHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("disrouter_sidecar").setLevel(level)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


def request_id(header: str | None) -> str:
    """The caller's id when it is one, else a new one."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else os.urandom(16).hex()
