"""The walk and its judges: the same seed walks the same way, and each invariant can be violated."""

from __future__ import annotations

import random
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from chaos import edits, processes
from chaos.faults import faults
from chaos.invariants import KILLED_SECONDS, Span, orphans, shown_refusals, unexplained, unsettled
from chaos.traffic import Asked
from chaos.walk import QUIET, STEPS_UNTIL_QUIET, walk
from disrouter import names
from disrouter.api import violations
from disrouter.refusal import REFUSAL
from support.pool import cascade


def at(moment: float) -> Span:
    return Span(moment, moment)


FAILED = Asked(100.0, 101.0, "", "small", "cut")


def test_a_seed_walks_one_way_and_another_seed_another() -> None:
    def steps(seed: int) -> list[Any]:
        return [
            *islice(
                walk(seed, sorted(edits.edits(train=True)), sorted(faults(parts=True, local=True, clocks=True))), 500
            )
        ]

    assert steps(1) == steps(1) != steps(2)
    quiet = [place for place, step in enumerate(steps(1)) if step == QUIET]
    assert all(after - before <= STEPS_UNTIL_QUIET + 1 for before, after in pairwise(quiet))
    assert {step.name for step in steps(1)} >= {*edits.edits(train=True), *faults(parts=True, local=True, clocks=True)}


@pytest.mark.parametrize("train", [False, True])
def test_every_edit_leaves_a_valid_manifest(*, train: bool) -> None:
    draw, spec = random.Random(7), edits.first(train=train)
    for _ in range(300):
        draw.choice([*edits.edits(train=train).values()])(spec, draw)
        assert not violations(edits.manifest("pool", spec))


@pytest.mark.parametrize(
    ("kills", "expected"),
    [([], [FAILED]), ([at(100.5)], []), ([at(100 - KILLED_SECONDS + 0.1)], []), ([at(101.1)], [FAILED]),
     ([at(100 - KILLED_SECONDS - 0.1)], [FAILED]), ([Span(50, 150)], []), ([Span(50, 60), Span(102, 150)], [FAILED])],
)  # fmt: skip
def test_a_failure_is_explained_by_a_kill_while_it_was_under_way_or_just_before(
    kills: list[Span], expected: list[Asked]
) -> None:
    assert unexplained([FAILED, Asked(100.0, 101.0, "Rome", "small")], kills) == expected


def test_refusals_and_silence_are_no_answers() -> None:
    asked = [Asked(0.0, 1.0, text, "small") for text in ("Rome", REFUSAL, "")]
    assert shown_refusals([*asked, FAILED]) == asked[1:]


def test_children_of_agents_that_are_gone_are_orphans_unless_they_are_going() -> None:
    def child(agent: str, **more: Any) -> dict[str, Any]:
        return {"kind": "Pod", "metadata": {"name": f"p-{agent}", "labels": {names.LABEL_AGENT: agent}, **more}}

    children = [child("small"), child("gone"), child("going", deletionTimestamp="now"), {"metadata": {}}]
    assert orphans(cascade("pool", {"name": "small"}), children) == ["Pod/p-gone"]


def test_a_status_settles_with_its_generation_and_conditions() -> None:
    def found(observed: int, **conditions: str) -> dict[str, Any]:
        told = [{"type": each, "status": conditions[each], "reason": "R", "message": "m"} for each in conditions]
        return {"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": told}}

    assert unsettled(found(2, Ready="True", AgentsReady="True")) is None
    assert "generation 1" in str(unsettled(found(1, Ready="True")))
    assert "AgentsReady is False" in str(unsettled(found(2, Ready="True", AgentsReady="False")))
    assert unsettled(found(2)) is not None


def test_processes_are_found_by_their_pod(tmp_path: Path) -> None:
    for pid, group, command in ((7, "kubepods-pod1_2.slice", "python\0-m\0engine"), (8, "/pod1-2/x", "sidecar"),
                                (9, "other", "engine")):  # fmt: skip
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "cgroup").write_text(f"0::/{group}\n")
        (folder / "cmdline").write_text(command)
    assert processes.of_pod("1-2", "engine", tmp_path) == [7]
    assert processes.of_pod("1-2", "sidecar", tmp_path) == [8]
    assert processes.named("engine", tmp_path) == [9]
    assert processes.named("python", tmp_path) == [7]


def test_a_program_of_a_node_is_told_from_another_clusters(tmp_path: Path) -> None:
    for pid, command, network in ((1, "/bin/kubelet", "net:[1]"), (2, "etcd\0-x", "net:[1]"), (3, "etcd", "net:[2]")):
        folder = tmp_path / str(pid) / "ns"
        folder.mkdir(parents=True)
        (folder / "net").symlink_to(network)
        (tmp_path / str(pid) / "cmdline").write_text(command)
    assert processes.on_nodes("etcd", tmp_path) == [2]
