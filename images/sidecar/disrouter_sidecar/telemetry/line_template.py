"""A log line of which nearly all is known before: made once by `logs.line_of`, with holes for the rest."""

from __future__ import annotations

import re

from disrouter_sidecar.telemetry.logs import LogFields, line_of

HOLE = "\ue000"
"""As a value: one that is left open. As the name of a null: any number of further fields. The character is of Unicode's
private use, so that no name is it."""
_HOLES = re.compile(f'(,?)"{HOLE}"(:null)?')


class LineTemplate:
    """Lines that differ in a few values alone."""

    __slots__ = ("_format",)

    def __init__(self, message: str, fields: LogFields) -> None:
        """`fields` as `logs.line_of` takes them, with holes."""
        line = line_of(0.0, "info", message, fields).decode()
        behind = line[line.index(",") :].replace("%", "%%")
        self._format = '{"time":"%s"' + _HOLES.sub(lambda found: "%s" if found[2] else f"{found[1]}%s", behind)

    def line(self, time: str, *values: str) -> bytes:
        """One line: `time` as `logs.time_of` writes it; the values in the order of the holes, as JSON, further fields
        with a comma before each.
        """
        return (self._format % (time, *values)).encode()
