"""The GitOps examples converge from an empty cluster in any order, and what was applied does not drift afterwards."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lupa
import pytest

from disrouter import names
from support import installed
from support.controlplane import ControlPlane
from support.documents import ROOT

pytestmark = pytest.mark.controlplane

PARTS = {
    "crds": "crds",
    "operator": "examples/gitops/kustomize/operator",
    "cascades": "examples/gitops/kustomize/cascades",
}
MANAGER = "--field-manager=argocd-controller"
PATIENCE = 120.0
CRD = f"{names.PLURAL}.{names.GROUP}"


def manifests(plane: ControlPlane, part: str) -> str:
    """What a GitOps tool builds."""
    return plane.kubectl("kustomize", str(ROOT / PARTS[part]))


def sync(plane: ControlPlane, order: tuple[str, ...]) -> None:
    """Apply the parts in this order, and again what the server did not take: what every GitOps tool does."""
    deadline = time.monotonic() + PATIENCE
    waiting = list(order)
    while waiting:
        waiting = [part for part in waiting if not _applied(plane, part)]
        assert time.monotonic() < deadline, f"never taken: {waiting}"
        if waiting:
            time.sleep(0.5)


def _applied(plane: ControlPlane, part: str) -> bool:
    return (
        plane.kubectl_process("apply", "--server-side", MANAGER, "-f", "-", stdin=manifests(plane, part)).returncode
        == 0
    )


@pytest.fixture
def empty(bare: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster, emptied again afterwards; deleting must not get stuck."""
    yield bare
    bare.kubectl_process("delete", "crd", CRD, "--timeout=50s")
    for part in ("cascades", "operator"):
        bare.kubectl_process("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=manifests(bare, part))
    for namespace in ("team-a", "disrouter"):
        bare.wait(f"the end of {namespace}", partial(_gone, bare, "namespace", namespace), PATIENCE)
    assert _gone(bare, "crd", CRD)


def _gone(plane: ControlPlane, kind: str, name: str) -> bool:
    return plane.kubectl_process("get", kind, name).returncode != 0


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)), ids="-".join)
def test_any_order_converges(empty: ControlPlane, order: tuple[str, ...]) -> None:
    sync(empty, order)
    assert empty.get("src", "team-a", "chat")["spec"]["scenario"] == "balance"
    assert installed.deployment(empty, "disrouter", "disrouter")


def test_an_operator_that_came_first_finds_the_cascade_and_git_and_cluster_stay_equal(
    empty: ControlPlane, tmp_path: Path
) -> None:
    """No ignoreDifferences: applying Git once more would change nothing, before and after the operator's work."""
    sync(empty, ("operator",))
    with installed.running(empty, "disrouter", "disrouter", "early", tmp_path):
        sync(empty, ("cascades", "crds"))
        empty.wait("its agents", lambda: bool(empty.get("isvc", "team-a")["items"]), PATIENCE)
        empty.wait("its status", lambda: "status" in empty.get("src", "team-a", "chat"), PATIENCE)
        for part in PARTS:
            done = empty.kubectl_process("diff", "--server-side", MANAGER, "-f", "-", stdin=manifests(empty, part))
            assert done.returncode == 0, f"{part} drifts:\n{done.stdout}{done.stderr}"


READY = {"type": "Ready", "status": "True", "message": "3 of 3 agents serve"}


@pytest.mark.parametrize(
    ("conditions", "observed", "health"),
    [
        ([READY], 2, ("Healthy", "3 of 3 agents serve")),
        ([READY], 1, ("Progressing", "waiting for the operator")),
        ([{**READY, "status": "False", "message": "small is not ready"}], 2, ("Progressing", "small is not ready")),
        ([READY, {"type": "Degraded", "status": "True", "message": "small fails"}], 2, ("Degraded", "small fails")),
        ([READY, {"type": "SpecValid", "status": "False", "message": "bad cost"}], 2, ("Degraded", "bad cost")),
        ([], 2, ("Progressing", "waiting for the operator")),
        (None, None, ("Progressing", "waiting for the operator")),
    ],
)
def test_argo_cds_health_script_reads_a_cascades_conditions(
    conditions: Any, observed: int | None, health: tuple[str, str]
) -> None:
    cascade: dict[str, Any] = {"metadata": {"generation": 2}}
    if conditions is not None:
        cascade["status"] = {"observedGeneration": observed, "conditions": conditions}
    lua = lupa.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(cascade, recursive=True)
    found = lua.execute((ROOT / "examples/gitops/argocd/health.lua").read_text())
    assert (found["status"], found["message"]) == health
