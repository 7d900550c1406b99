"""Watches that die, fall silent or miss a kind are started again; Kopf itself is replaced by a script."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.kube.observed import OPTIONAL
from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.kube.resources import (
    CASCADES,
    CONFIG_MAPS,
    INFERENCE_SERVICES,
    JOBS,
    TRAIN_JOBS,
    Key,
    Object,
    Resource,
)
from disrouter_operator.readiness.assessment import SurveyResult
from disrouter_operator.telemetry.metrics import Metrics
from disrouter_operator.watch.kopf_watch import Deliver
from disrouter_operator.watch.sessions import Observe
from disrouter_operator.watch.supervisor import Watches

Script = Callable[[Deliver, threading.Event], None]


class _Stage:
    """Plays a script a start; remembers the kinds that were watched."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.kinds: list[frozenset[Resource]] = []
        self.keys: list[Key] = []
        self.shown: list[tuple[str, str]] = []
        self.findings = SurveyResult(OPTIONAL)
        self.versions = ResourceVersions()
        self.metrics = Metrics()
        self.pauses: list[float] = []
        self.opens = True

    async def watch(
        self,
        deliver: Deliver,
        observe: Observe,
        kinds: Collection[Resource],
        namespaces: Sequence[str],
        stop: threading.Event,
    ) -> None:
        self.kinds.append(frozenset(kinds))
        for kind in kinds if self.opens else ():
            observe((kind, None), None)
        script = self._scripts.pop(0) if self._scripts else _wait
        await asyncio.to_thread(script, deliver, stop)

    def show(self, key: Key, kind: Resource) -> None:
        assert key not in self.keys, "before the cascade is woken, or its reconcile lists too little"
        self.shown.append((key.name, kind.plural))

    async def usable(self) -> SurveyResult:
        while not self.findings.usable:  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(0.005)
        return self.findings

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def watches(self) -> Watches:
        enqueue, report = self.keys.append, self.metrics
        watches = Watches(enqueue, self.versions, self, report, watch=self.watch, sleep=self.pause, show=self.show)
        watches.look_seconds, watches.late_seconds = 0.01, 0.02
        return watches

    async def until(self, ready: Callable[[], bool]) -> None:
        running = asyncio.create_task(self.watches().run())
        try:
            async with asyncio.timeout(60):
                while not ready():  # noqa: ASYNC110  nothing announces it
                    await asyncio.sleep(0.005)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def restarts(self, reason: str) -> float:
        return float(self.metrics.watch_restarts.labels(reason)._value.get())


def _wait(_: Deliver, stop: threading.Event) -> None:
    stop.wait()


def _end(_: Deliver, __: threading.Event) -> None:
    """A watch task that ends without a word."""


def _fail(_: Deliver, __: threading.Event) -> None:
    raise RuntimeError("the stream broke")


def _config_map(version: int) -> Object:
    labels = {names.LABEL_CASCADE: "qwen"}
    return {"metadata": {"name": "r", "namespace": "n", "resourceVersion": str(version), "labels": labels}}


async def test_what_a_watch_brings_wakes_the_cascade_in_question() -> None:
    def bring(deliver: Deliver, stop: threading.Event) -> None:
        deliver(CASCADES, {"metadata": {"name": "own", "namespace": "n", "resourceVersion": "1"}})
        deliver(CONFIG_MAPS, _config_map(2))
        stop.wait()

    stage = _Stage(bring)
    await stage.until(lambda: len(stage.keys) == 2)
    assert stage.keys == [Key("n", "own"), Key("n", "qwen")]
    assert [name for name, _ in stage.shown] == ["own", "qwen"]
    assert stage.versions.floor(CONFIG_MAPS, "n") == "2"


async def test_watches_that_end_or_fail_are_started_again_after_growing_pauses() -> None:
    stage = _Stage(_end, _fail, _end)
    await stage.until(lambda: len(stage.kinds) == 4)
    assert (stage.restarts("end"), stage.restarts("failure")) == (2, 1)
    assert stage.pauses[:3] == [2.0, 4.0, 8.0]


async def test_a_zombie_that_lives_and_delivers_nothing_is_replaced() -> None:
    stage = _Stage()

    def read_on() -> bool:
        if len(stage.kinds) == 1:
            stage.versions.read(CONFIG_MAPS, _config_map(7))
        return len(stage.kinds) == 2

    await stage.until(read_on)
    assert stage.restarts("silence") == 1


async def test_a_kind_that_is_installed_later_is_watched_without_a_restart_of_the_process() -> None:
    stage = _Stage()

    def install() -> bool:
        if len(stage.kinds) == 1:
            stage.findings = SurveyResult(OPTIONAL - {INFERENCE_SERVICES})
        return len(stage.kinds) == 2

    await stage.until(install)
    assert INFERENCE_SERVICES not in stage.kinds[0]
    assert INFERENCE_SERVICES in stage.kinds[1]
    assert stage.restarts("kinds") == 1


async def test_watches_that_do_not_open_although_the_api_server_answers_are_started_again() -> None:
    stage = _Stage()
    stage.opens = False
    await stage.until(lambda: len(stage.kinds) == 3)
    assert stage.restarts("closed") == 2


async def test_while_the_api_server_is_away_nothing_is_started_again() -> None:
    stage, asked = _Stage(), 0
    stage.opens = False

    def go_away(_: Deliver, stop: threading.Event) -> None:
        stage.findings = SurveyResult(OPTIONAL, away="connection refused")
        stop.wait()

    def looked_often() -> bool:
        nonlocal asked
        asked += len(stage.kinds)
        return asked > 50

    stage._scripts.append(go_away)
    await stage.until(looked_often)
    assert (len(stage.kinds), stage.restarts("closed")) == (1, 0)


async def test_nothing_is_watched_until_every_kind_may_be_listed() -> None:
    stage = _Stage()
    stage.findings, asked = SurveyResult(OPTIONAL, {JOBS: "403"}), 0

    def grant() -> bool:
        nonlocal asked
        asked += 1
        if asked == 5:
            assert stage.kinds == []
            stage.findings = SurveyResult(OPTIONAL)
        return len(stage.kinds) == 1

    await stage.until(grant)


async def test_a_kind_that_may_not_be_listed_and_can_be_done_without_is_not_watched() -> None:
    stage = _Stage()
    stage.findings = SurveyResult(forbidden={TRAIN_JOBS: "403"})
    await stage.until(lambda: len(stage.kinds) == 1)
    assert TRAIN_JOBS not in stage.kinds[0]
    assert INFERENCE_SERVICES in stage.kinds[0]


async def test_the_same_failure_again_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    stage = _Stage(_fail, _fail, _fail, _end)
    stage.opens = False
    with caplog.at_level("WARNING"):
        await stage.until(lambda: len(stage.kinds) == 5)
    said = [each.getMessage() for each in caplog.records]
    assert said == [
        "the watches are started again: failure: RuntimeError: the stream broke",
        "the watches are started again: end: they ended by themselves",
    ]


async def test_ending_the_task_ends_the_thread() -> None:
    stage = _Stage()
    ended: list[Any] = []

    def note(deliver: Deliver, stop: threading.Event) -> None:
        stop.wait()
        ended.append(True)

    stage._scripts.append(note)
    await stage.until(lambda: len(stage.kinds) == 1)
    assert ended == [True]
