"""Smoke probes beside the reconciles: asked once, told when the answer changes, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections import Counter

from disrouter_operator.kube.resources import Key
from disrouter_operator.reconcile.probe_runner import AGAIN_SECONDS, MOST, ProbeRunner
from disrouter_operator.reconcile.reconciler import reconcile
from disrouter_operator.smoke_probe import SmokeProbe
from support import clusters
from support.scenes import SETTINGS, Scene

NEW = SmokeProbe("new", "http://new", "qwen/small")
OTHER = SmokeProbe("other", "http://other", "qwen/medium")


class Pods:
    """New pods that answer when, and as, the test says."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.given_up: list[str] = []
        self._replies: asyncio.Queue[str | None] = asyncio.Queue()

    async def __call__(self, probe: SmokeProbe) -> str | None:
        self.asked[probe.workload] += 1
        try:
            return await self._replies.get()
        except asyncio.CancelledError:
            self.given_up.append(probe.workload)
            raise

    async def reply(self, answer: str | None) -> None:
        self._replies.put_nowait(answer)
        await _turn()


class Sleep:
    """The time between questions, which passes when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._over.wait()
        self._over.clear()

    async def over(self) -> None:
        self._over.set()
        await _turn()


async def _turn() -> None:
    """Let every task do what it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_is_known_until_the_answer_wakes_the_cascade() -> None:
    pods, woken = Pods(), list[str]()
    probes = ProbeRunner(woken.append)
    probes.ask("a", [NEW], pods)
    await _turn()
    probes.ask("a", [NEW], pods)
    await _turn()
    assert (probes.answers("a"), pods.asked, woken) == ({}, {"new": 1}, []), "it is asked once"
    await pods.reply(None)
    assert woken == ["a"]
    assert probes.answers("a") == {NEW: None}
    assert pods.asked == {"new": 1}


async def test_a_bad_answer_holds_until_another_one_comes_and_wakes_only_when_it_differs() -> None:
    pods, sleep, woken = Pods(), Sleep(), list[str]()
    probes = ProbeRunner(woken.append, sleep=sleep)
    probes.ask("a", [NEW], pods)
    await pods.reply("HTTP 500")
    assert (probes.answers("a"), woken) == ({NEW: "HTTP 500"}, ["a"])
    await sleep.over()
    assert probes.answers("a") == {NEW: "HTTP 500"}, "while it is asked again"
    await pods.reply("HTTP 500")
    assert woken == ["a"], "nothing new"
    await sleep.over()
    await pods.reply(None)
    assert (probes.answers("a"), woken) == ({NEW: None}, ["a", "a"])
    assert (pods.asked, sleep.asked) == ({"new": 3}, [AGAIN_SECONDS, AGAIN_SECONDS])


async def test_what_no_plan_asks_any_more_is_given_up_and_asked_anew_later() -> None:
    pods = Pods()
    probes = ProbeRunner[str]()
    probes.ask("a", [NEW, OTHER], pods)
    await _turn()
    probes.ask("a", [OTHER], pods)
    await _turn()
    assert pods.given_up == ["new"]
    probes.ask("a", [NEW, OTHER], pods)
    await _turn()
    assert pods.asked == {"new": 2, "other": 1}
    probes.forget("a")
    await _turn()
    assert sorted(pods.given_up) == ["new", "new", "other"]


async def test_cascades_do_not_hear_each_others_answers() -> None:
    pods = Pods()
    probes = ProbeRunner[str]()
    probes.ask("a", [NEW], pods)
    await pods.reply(None)
    assert probes.answers("b") == {}
    assert probes.answers("a") == {NEW: None}
    await probes.close()


async def test_no_more_than_so_many_are_asked_at_once_and_the_others_when_these_have_answered() -> None:
    pods = Pods()
    probes = ProbeRunner[str]()
    probes.ask("a", [SmokeProbe(f"new{number}", "http://new", "m") for number in range(MOST + 1)], pods)
    await _turn()
    assert pods.asked.total() == MOST
    await pods.reply(None)
    assert pods.asked.total() == MOST + 1
    await probes.close()
    assert len(pods.given_up) == MOST


async def test_a_failure_of_the_operator_itself_is_a_bad_answer() -> None:
    woken = list[str]()
    probes = ProbeRunner(woken.append)

    async def broken(_: SmokeProbe) -> str | None:
        raise ValueError("no such thing")

    probes.ask("a", [NEW], broken)
    await _turn()
    assert woken == ["a"]
    assert "ValueError: no such thing" in str(probes.answers("a")[NEW])
    await probes.close()


async def test_a_cascade_that_is_gone_is_not_asked_about() -> None:
    scene, pods = Scene(clusters.example()), Pods()
    scene.memory.probes.ask(Key("default", "gone"), [NEW], pods)
    await _turn()
    assert await reconcile(scene.kube, Key("default", "gone"), SETTINGS, lambda: scene.now, scene.memory) is None
    await _turn()
    assert pods.given_up == ["new"]
