"""Moments as they are written on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta


def timestamp(now: datetime) -> str:
    """RFC 3339 in seconds, as metav1.Time has it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """What `timestamp` wrote."""
    return datetime.fromisoformat(text)


def seconds_until(text: str, now: datetime, after: float = 0.0) -> float:
    """Seconds from `now` until `after` seconds past a moment; negative when that is over."""
    return (moment(text) + timedelta(seconds=after) - now).total_seconds()
