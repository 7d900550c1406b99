"""What versions say about watches and reads."""

from __future__ import annotations

from disrouter_operator.kube.resource_versions import Freshness
from disrouter_operator.kube.resources import CONFIG_MAPS, EVENTS, JOBS, Object


def _object(version: int, namespace: str = "team") -> Object:
    return {"metadata": {"name": "x", "namespace": namespace, "resourceVersion": str(version)}}


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _fresh(*namespaces: str) -> tuple[Freshness, _Clock]:
    clock = _Clock()
    freshness = Freshness(namespaces, monotonic=clock)
    freshness.restarted([CONFIG_MAPS, JOBS])
    return freshness, clock


def test_a_watch_that_does_not_deliver_what_a_pass_read_is_late() -> None:
    freshness, clock = _fresh()
    freshness.delivered(CONFIG_MAPS, "team", "5")
    freshness.read(CONFIG_MAPS, _object(5))
    clock.now = 100
    assert freshness.late(60) == []
    freshness.read(CONFIG_MAPS, _object(7))
    clock.now = 150
    freshness.read(CONFIG_MAPS, _object(8))
    assert freshness.late(60) == []
    clock.now = 161
    assert freshness.late(60) == ["configmaps"]
    assert freshness.lag() == 61
    freshness.delivered(CONFIG_MAPS, "team", "8")
    assert freshness.lag() == 0


def test_a_busy_watch_that_is_always_a_little_behind_is_not_late() -> None:
    freshness, clock = _fresh()
    for version in range(1, 1000):
        freshness.read(JOBS, _object(version))
        freshness.delivered(JOBS, "team", str(version - 1))
        clock.now += 1
    assert freshness.lag() < 5


def test_a_kind_that_nobody_watches_owes_nothing() -> None:
    freshness, clock = _fresh()
    freshness.wrote(EVENTS, _object(9))
    clock.now = 1000
    assert freshness.lag() == 0


def test_after_a_restart_nothing_older_is_owed() -> None:
    freshness, clock = _fresh()
    freshness.read(JOBS, _object(9))
    freshness.restarted([JOBS])
    clock.now = 1000
    assert freshness.lag() == 0


def test_a_read_must_be_as_new_as_the_watch_and_our_own_writes() -> None:
    freshness, _ = _fresh()
    freshness.wrote(JOBS, _object(3))
    assert freshness.floor(JOBS, "team") is None, "before the watch spoke, only the newest state will do"
    freshness.delivered(JOBS, "team", "5")
    assert freshness.floor(JOBS, "team") == "5"
    freshness.wrote(JOBS, _object(8))
    assert freshness.floor(JOBS, "team") == "8"
    assert freshness.floor(CONFIG_MAPS, "team") is None
    freshness.forget(JOBS, "team")
    assert freshness.floor(JOBS, "team") is None


def test_namespaces_that_are_watched_one_by_one_are_judged_one_by_one() -> None:
    freshness, clock = _fresh("a", "b")
    freshness.delivered(JOBS, "a", "100")
    freshness.read(JOBS, _object(50, "b"))
    clock.now = 61
    assert freshness.late(60) == ["jobs"]
    assert freshness.floor(JOBS, "b") is None


def test_versions_that_are_no_numbers_say_nothing() -> None:
    freshness, _ = _fresh()
    freshness.delivered(JOBS, "team", "abc")
    freshness.read(JOBS, {"metadata": {"namespace": "team", "resourceVersion": "xyz"}})
    assert freshness.floor(JOBS, "team") is None
    assert freshness.lag() == 0
