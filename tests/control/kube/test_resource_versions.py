"""What versions say about watches and reads."""

from __future__ import annotations

from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.kube.resources import CONFIG_MAPS, EVENTS, JOBS, Object


def _object(version: int, namespace: str = "team") -> Object:
    return {"metadata": {"name": "x", "namespace": namespace, "resourceVersion": str(version)}}


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _fresh(*namespaces: str) -> tuple[ResourceVersions, _Clock]:
    clock = _Clock()
    versions = ResourceVersions(namespaces, monotonic=clock)
    versions.restarted([CONFIG_MAPS, JOBS])
    return versions, clock


def test_a_watch_that_does_not_deliver_what_a_pass_read_is_late() -> None:
    versions, clock = _fresh()
    versions.delivered(CONFIG_MAPS, "team", "5")
    versions.read(CONFIG_MAPS, _object(5))
    clock.now = 100
    assert versions.late(60) == []
    versions.read(CONFIG_MAPS, _object(7))
    clock.now = 150
    versions.read(CONFIG_MAPS, _object(8))
    assert versions.late(60) == []
    clock.now = 161
    assert versions.late(60) == ["configmaps"]
    assert versions.lag() == 61
    versions.delivered(CONFIG_MAPS, "team", "8")
    assert versions.lag() == 0


def test_a_busy_watch_that_is_always_a_little_behind_is_not_late() -> None:
    versions, clock = _fresh()
    for version in range(1, 1000):
        versions.read(JOBS, _object(version))
        versions.delivered(JOBS, "team", str(version - 1))
        clock.now += 1
    assert versions.lag() < 5


def test_a_kind_that_nobody_watches_owes_nothing() -> None:
    versions, clock = _fresh()
    versions.wrote(EVENTS, _object(9))
    clock.now = 1000
    assert versions.lag() == 0


def test_after_a_restart_nothing_older_is_owed() -> None:
    versions, clock = _fresh()
    versions.read(JOBS, _object(9))
    versions.restarted([JOBS])
    clock.now = 1000
    assert versions.lag() == 0


def test_a_read_must_be_as_new_as_the_watch_and_our_own_writes() -> None:
    versions, _ = _fresh()
    versions.wrote(JOBS, _object(3))
    assert versions.floor(JOBS, "team") is None, "before the watch spoke, only the newest state will do"
    versions.delivered(JOBS, "team", "5")
    assert versions.floor(JOBS, "team") == "5"
    versions.wrote(JOBS, _object(8))
    assert versions.floor(JOBS, "team") == "8"
    assert versions.floor(CONFIG_MAPS, "team") is None
    versions.forget(JOBS, "team")
    assert versions.floor(JOBS, "team") is None


def test_namespaces_that_are_watched_one_by_one_are_judged_one_by_one() -> None:
    versions, clock = _fresh("a", "b")
    versions.delivered(JOBS, "a", "100")
    versions.read(JOBS, _object(50, "b"))
    clock.now = 61
    assert versions.late(60) == ["jobs"]
    assert versions.floor(JOBS, "b") is None


def test_versions_that_are_no_numbers_say_nothing() -> None:
    versions, _ = _fresh()
    versions.delivered(JOBS, "team", "abc")
    versions.read(JOBS, {"metadata": {"namespace": "team", "resourceVersion": "xyz"}})
    assert versions.floor(JOBS, "team") is None
    assert versions.lag() == 0
