"""Events without spam."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disrouter_operator.errors import Rejected
from disrouter_operator.kube.resources import EVENTS, Object
from disrouter_operator.status.events import Note
from disrouter_operator.status.recorder import ALIKE, BURST, SERIES, Recorder
from support.kube_fake import KubeFake

PARENT: Object = {"metadata": {"name": "qwen", "namespace": "default", "uid": "u1"}}
START = datetime(2026, 1, 1, tzinfo=UTC)


class _Case:
    def __init__(self) -> None:
        self.kube, self.recorder, self.now = KubeFake(), Recorder(), START

    async def say(self, message: str, reason: str = "NotReady") -> None:
        await self.recorder.record(self.kube, PARENT, [Note("Warning", reason, message)], self.now)

    def events(self) -> list[Any]:
        return [obj for (kind, _, _), obj in self.kube.objects.items() if kind == EVENTS]


async def test_the_same_news_is_one_event_with_a_count() -> None:
    case = _Case()
    for _ in range(3):
        await case.say("no pod is ready")
        case.now += timedelta(minutes=1)
    (event,) = case.events()
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        3,
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:02:00Z",
    )


async def test_news_that_differ_in_words_alone_are_combined_when_there_are_many() -> None:
    case = _Case()
    for number in range(ALIKE + 5):
        await case.say(f"pod {number} is gone")
    assert len(case.events()) == ALIKE + 1
    combined = case.events()[-1]
    assert combined["count"] == 5
    assert combined["message"] == f"(combined from similar events): pod {ALIKE + 4} is gone"


async def test_a_cascade_gets_a_burst_and_then_one_in_a_while_and_the_rest_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = _Case()
    for number in range(BURST + 10):
        await case.say("x", reason=f"Reason{number}")
    assert len(case.events()) == BURST
    assert f"default/qwen: Reason{BURST + 9}: x" in caplog.messages
    case.now += timedelta(minutes=5)
    await case.say("y", reason="Later")
    await case.say("z", reason="Later")
    assert [event["message"] for event in case.events() if event["reason"] == "Later"] == ["y"]


async def test_old_news_begin_a_new_series() -> None:
    case = _Case()
    await case.say("no pod is ready")
    case.now += SERIES
    await case.say("no pod is ready")
    assert [event["count"] for event in case.events()] == [1, 1]


async def test_an_event_that_cannot_be_written_fails_no_pass(caplog: pytest.LogCaptureFixture) -> None:
    case = _Case()
    await case.say("x")
    case.kube.refuse = lambda _: Rejected("no", 403)
    await case.say("x")
    assert "default/qwen: event NotReady is lost: no" in caplog.messages
