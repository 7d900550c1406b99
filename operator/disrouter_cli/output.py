"""Tables, JSON and YAML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

GAP = "   "


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, as kubectl prints them."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    return "\n".join(GAP.join(map(str.ljust, line, widths)).rstrip() for line in lines)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2)


def as_yaml(value: Any) -> str:
    """YAML that kubectl and PyYAML read back alike."""
    from disrouter_cli import kubectl_yaml

    return kubectl_yaml.dump(value).rstrip("\n")


def age(stamp: str, now: datetime | None = None) -> str:
    """Time since an RFC 3339 stamp, as kubectl writes it: 45s, 12m, 3h, 5d."""
    seconds = int(((now or datetime.now(UTC)) - datetime.fromisoformat(stamp.replace("Z", "+00:00"))).total_seconds())
    for unit, size, limit in (("s", 1, 120), ("m", 60, 120), ("h", 3600, 48)):
        if seconds < limit * size:
            return f"{max(0, seconds) // size}{unit}"
    return f"{seconds // 86400}d"
