"""One JSON object a line. Only named fields get in: never a prompt, a reply or a key."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from datetime import UTC, datetime

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class JsonFormatter(logging.Formatter):
    """Time, level, message, the `extra` fields and a trace where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _PLAIN},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send the sidecar's lines to stderr; libraries speak from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("disrouter_sidecar").setLevel(level)


def request_id(header: str | None) -> str:
    """The caller's id when it is one, else a new one."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex
