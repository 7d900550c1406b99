"""Writes that the API server refuses, that do not last, and reconciles that fail."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disrouter_operator.errors import InternalError, Rejected
from disrouter_operator.kube.resources import INFERENCE_SERVICES, Object
from disrouter_operator.manifests.serving import service
from disrouter_operator.reconcile.reconciler import Requeue
from disrouter_operator.reconcile.write_guard import MOST, REMEMBERED, WriteGuard
from support import clusters
from support.scenes import Scene


async def test_a_refused_child_stalls_no_other_and_is_shown() -> None:
    scene = Scene(clusters.example())
    scene.kube.refuse = lambda obj: (
        Rejected("denied the request: GPU quota", 403) if obj["metadata"]["name"] == "qwen-small" else None
    )
    requeue = await scene.run()
    assert requeue is not None
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-medium"]
    assert scene.condition("Degraded")["reason"] == "ChildRefused"
    assert "InferenceService qwen-small: denied the request: GPU quota" in scene.condition("Ready")["message"]
    scene.kube.refuse = lambda _: None
    assert await scene.run() is None
    assert scene.condition("Degraded")["status"] == "False"


async def test_a_refused_child_is_logged_and_an_event_once_for_each_change_of_the_refusal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "disrouter_operator")
    scene = Scene(clusters.example())

    def refuse(words: str) -> None:
        scene.kube.refuse = lambda obj: Rejected(words, 403) if obj["metadata"]["name"] == "qwen-small" else None

    for words in ("denied: GPU quota", "denied: GPU quota", "denied: no such class"):
        refuse(words)
        await scene.run(2)
    said = [(each.levelname, each.getMessage()) for each in caplog.records if "ChildRefused" in each.getMessage()]
    assert said == [
        ("WARNING", "default/qwen: ChildRefused: InferenceService qwen-small: denied: GPU quota"),
        ("WARNING", "default/qwen: ChildRefused: InferenceService qwen-small: denied: no such class"),
    ]
    assert scene.reasons().count("ChildRefused") == 2
    scene.kube.refuse = lambda _: None
    await scene.run(2)
    assert caplog.messages[-1] == "default/qwen: ChildrenWritten: every child is written as it should be again"
    assert scene.reasons().count("ChildrenWritten") == 1


async def test_an_object_of_somebody_else_is_not_taken_over() -> None:
    scene = Scene(clusters.example())
    metadata = {"name": "qwen-small", "namespace": "default"}
    theirs = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": metadata, "spec": {}}
    scene.kube.put(theirs)
    await scene.run()
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small")["spec"] == {}
    assert "is not this cascade's" in scene.condition("Ready")["message"]


def _stamp_image(obj: Object) -> None:
    """A webhook that sets the image of every engine."""
    if obj["kind"] == "InferenceService":
        obj["spec"]["predictor"]["containers"][0]["image"] = "mirror/engine:1"


def _applies(scene: Scene, name: str) -> int:
    return scene.kube.writes.count(("apply", "InferenceService", name))


async def test_a_webhook_that_changes_a_wanted_field_makes_no_loop_of_writes() -> None:
    scene = Scene(clusters.example())
    scene.kube.mutate = _stamp_image
    assert await scene.run(10) == Requeue(600.0)
    assert _applies(scene, "qwen-small") == 1
    condition = scene.condition("Degraded")
    assert (condition["status"], condition["reason"]) == ("True", "ChildNotKept")
    assert "InferenceService qwen-small does not stay as it is applied" in condition["message"]
    assert "ChildRepaired" not in scene.reasons()
    scene.kube.writes.clear()
    await scene.run(3)
    assert scene.kube.writes == []
    scene.now += timedelta(seconds=600)
    scene.kube.mutate = lambda _: None
    assert await scene.run() is None
    assert scene.condition("Degraded")["status"] == "False"


async def test_an_agent_that_a_webhook_changes_still_serves_and_is_ready() -> None:
    scene = Scene(clusters.example())
    scene.kube.mutate = _stamp_image
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    assert scene.condition("Ready")["status"] == "True"


async def test_new_content_is_written_at_once_also_where_a_webhook_changed_the_last() -> None:
    scene = Scene(clusters.example())
    scene.kube.mutate = _stamp_image
    await scene.run(2)
    manifest = clusters.example()
    manifest["spec"]["agents"][0]["pod"] = {"nodeSelector": {"gpu": "h100"}}
    scene.kube.put(manifest)
    await scene.run()
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small")["spec"]["predictor"]["nodeSelector"] == {"gpu": "h100"}


async def test_edits_are_undone_at_once_until_they_look_like_a_machines() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    for _ in range(MOST + 3):
        _stamp_image(scene.kube.one(INFERENCE_SERVICES, "qwen-small"))
        scene.now += timedelta(seconds=1)
        await scene.run()
    assert _applies(scene, "qwen-small") == MOST
    assert "qwen-small does not stay" in scene.condition("Degraded")["message"]


def test_the_memory_of_writes_is_bounded() -> None:
    memory, now = WriteGuard(), datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(REMEMBERED + 1):
        memory.note({"metadata": {"uid": str(number)}}, {"spec": {}}, now)
    assert memory.wait({"metadata": {"uid": "0"}}, {"spec": {}}, now) == 0
    assert len(memory._applied) == REMEMBERED


async def test_a_bug_in_planning_is_told_in_the_status_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(clusters.example())
    await scene.run()
    before = scene.status["agents"]

    def surprise(*_: Any) -> Object:
        raise KeyError("surprise")

    monkeypatch.setattr(service, "service", surprise)
    for _ in range(3):
        with pytest.raises(InternalError, match="KeyError: 'surprise'"):
            await scene.run()
    ready = scene.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InternalError")
    assert "KeyError: 'surprise'" in ready["message"]
    assert "report" in ready["message"]
    assert scene.status["agents"] == before
    assert [bool(record.exc_info) for record in caplog.records] == [True]
    monkeypatch.undo()
    await scene.run()
    assert scene.condition("Ready")["reason"] != "InternalError"
