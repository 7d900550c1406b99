"""The traps that break naive operators on KServe and Kopf, and the test that fails when one is stepped into.

Numbers are those of the project's notes on both (`TRAPS` below has the same as a table). Where another file proves a
trap avoided, the table names its tests and this file asserts that they are there; what nobody else proves is here.

| KServe | trap |
|---|---|
| 1 | labels and annotations of an InferenceService reach the pod template: changing one restarts the GPU pod |
| 2 | each missing request or limit of the first container is filled with 1 CPU and 2 GiB |
| 3 | name and namespace above 52 characters, or a name above 48, make no host name |
| 4 | RawDeployment and Serverless are rewritten to Standard and Knative: a difference for ever; the mode is immutable |
| 5 | webhooks and controllers change other fields: comparing whole objects never ends |
| 6 | webhooks fail closed: while one is down, writes fail and must be repeated |
| 7 | a port without protocol is refused or differs for ever |
| 9 | KServe takes Jobs that carry its label for its own |
| 10 | an engine on 127.0.0.1 fails the kubelet's probes |

| Kopf | trap |
|---|---|
| 1 | kubernetes 37 breaks; patches without a content type are sent as JSON patch |
| 2 | indices go stale when a watch lists again |
| 3 | all but `on.event` write annotations, one `on.delete` or daemon brings finalizers |
| 4 | a package named `operator` at the root shadows the standard library's |
| 5 | no election, no metrics, no server-side apply; equal peers freeze each other; its probe proves only its own task |
| 6 | a watch may die in silence; `patch` in handlers leaks; storage prefixes collide |
| 7 | the default registry is global |
| 8 | it takes the signals of a main thread, cancels younger tasks at its end, and may kill the process minutes later |
"""

from __future__ import annotations

import ast
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kopf
import pytest

from disrouter_operator.errors import KubeError
from disrouter_operator.kube.observed import CHILDREN
from disrouter_operator.kube.resources import CASCADES, INFERENCE_SERVICES, SERVICES, Object
from disrouter_operator.manifests.containers import ENGINE
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.watch import kopf_watch
from support import clusters
from support.scenes import Scene

ROOT = Path(__file__).parents[2]
HERE = "control/test_traps.py"
SERVING = "manifests/test_inference_services.py"

TRAPS = {
    "KServe 1": [
        f"{SERVING}::test_a_scenario_a_cost_and_a_successor_are_no_part_of_a_pod",
        f"{SERVING}::test_the_revision_moves_with_the_pod_and_only_with_it",
        "control/test_cluster.py::test_kopf_leaves_no_finalizer_and_no_annotation",
        "control/test_cluster.py::test_adding_an_agent_touches_no_other_inference_service",
    ],
    "KServe 2": [f"{SERVING}::test_every_container_states_requests_and_limits"],
    "KServe 3": [f"{SERVING}::test_a_long_name_still_fits_kserve"],
    "KServe 4": [f"{HERE}::test_the_deployment_mode_is_always_said_in_the_words_that_kserve_keeps"],
    "KServe 5": [
        "control/kube/test_diff.py::test_defaults_and_other_fields_are_not_drift",
        "control/kube/test_diff.py::test_fields_of_other_managers_may_go_beyond_what_we_want",
        "control/kube/test_api_server.py::test_an_inference_service_that_was_just_applied_is_not_drift",
        "control/reconcile/test_apply.py::test_a_webhook_that_changes_a_wanted_field_makes_no_loop_of_writes",
    ],
    "KServe 6": [f"{HERE}::test_a_webhook_that_is_down_is_said_retried_and_keeps_no_other_child"],
    "KServe 7": [f"{HERE}::test_every_port_says_its_protocol"],
    "KServe 9": ["control/manifests/test_builders.py::test_a_job_carries_no_label_of_kserve"],
    "KServe 10": [f"{HERE}::test_the_engine_listens_where_the_kubelet_asks"],
    "Kopf 1": [
        f"{HERE}::test_the_client_is_pinned_below_the_release_that_breaks",
        "control/kube/test_api_server.py::test_apply_removes_what_is_wanted_no_more_and_drift_sees_it",
        "control/kube/test_api_server.py::test_a_status_is_replaced_whole_and_only_on_the_version_that_was_read",
    ],
    "Kopf 2": [
        f"{HERE}::test_kopf_only_watches",
        "control/test_chaos.py::test_killed_operators_lost_answers_and_a_restarted_api_server_end_in_the_desired_state",
    ],
    "Kopf 3": [
        f"{HERE}::test_kopf_only_watches",
        "control/test_cluster.py::test_kopf_leaves_no_finalizer_and_no_annotation",
    ],
    "Kopf 4": [f"{HERE}::test_nothing_shadows_the_standard_library"],
    "Kopf 5": [
        f"{HERE}::test_kopf_takes_part_in_no_peering_and_posts_nothing",
        "control/test_process.py::test_one_candidate_leads_and_the_next_takes_over_only_when_it_is_silent",
        "control/test_guards.py::test_the_probe_fails_when_cascades_wait_and_no_pass_ends",
        "control/kube/test_api_server.py::test_a_leader_that_was_held_up_past_its_lease_reads_but_writes_nothing",
    ],
    "Kopf 6": [
        "control/watch/test_supervisor.py::test_a_zombie_that_lives_and_delivers_nothing_is_replaced",
        "control/watch/test_supervisor.py::test_watches_that_end_or_fail_are_started_again_after_growing_pauses",
        "control/test_cluster.py::test_a_second_pass_writes_nothing",
    ],
    "Kopf 7": [f"{HERE}::test_the_registry_is_our_own"],
    "Kopf 8": [
        f"{HERE}::test_a_watch_that_ended_kills_nobody",
        "control/watch/test_supervisor.py::test_ending_the_task_ends_the_thread",
        "control/test_process.py::test_the_process_leads_reconciles_and_hands_the_lease_back_on_sigterm",
    ],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_tests_that_exist(trap: str) -> None:
    for test in TRAPS[trap]:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in found, test


def test_the_table_above_has_every_trap() -> None:
    rows = [line.split("|")[1].strip() for line in str(__doc__).splitlines() if line.startswith("| ")]
    numbers = [row for row in rows if row.isdigit()]
    assert numbers == [trap.split()[1] for trap in TRAPS]


def _inference_services() -> list[Object]:
    """Every agent of the example in both modes of deployment, as it is first built."""
    found = []
    for mode in ("Standard", "Knative"):
        cascade = clusters.cascade(clusters.example(deploymentMode=mode))
        models = [agent for agent in cascade.spec.agents if agent.model is not None]
        found += [inference_service.inference_service(cascade, agent, None, "sidecar:test") for agent in models]
    return found


def test_the_deployment_mode_is_always_said_in_the_words_that_kserve_keeps() -> None:
    modes = [isvc["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] for isvc in _inference_services()]
    assert modes == ["Standard", "Standard", "Knative", "Knative"]


def test_every_port_says_its_protocol() -> None:
    for isvc in _inference_services():
        ports = [port for each in isvc["spec"]["predictor"]["containers"] for port in each.get("ports", [])]
        assert ports
        assert all(port.get("protocol") for port in ports), isvc["metadata"]["name"]


def test_the_engine_listens_where_the_kubelet_asks() -> None:
    for isvc in _inference_services():
        engine = next(each for each in isvc["spec"]["predictor"]["containers"] if each["name"] == ENGINE)
        said = " ".join([*engine.get("command", []), *engine["args"]])
        assert "127.0.0.1" not in said
        assert "localhost" not in said


async def test_a_webhook_that_is_down_is_said_retried_and_keeps_no_other_child() -> None:
    scene = Scene(clusters.example())
    words = 'Internal error occurred: failed calling webhook "inferenceservice.kserve-webhook-server.defaulter"'
    scene.kube.refuse = lambda obj: KubeError(words, 500) if obj["kind"] == "InferenceService" else None
    again = await scene.run()
    assert again is not None
    assert again.after > 0
    assert "qwen" in scene.kube.names(SERVICES)
    assert words in scene.condition("Ready")["message"]
    waits = []
    for _ in range(8):
        again = await scene.run()
        assert again is not None
        waits.append(again.after)
    assert waits == sorted(waits)
    assert waits[-1] == 300.0
    scene.kube.refuse = lambda _: None
    assert await scene.run() is None
    assert len(scene.kube.names(INFERENCE_SERVICES)) == 2


def test_the_client_is_pinned_below_the_release_that_breaks() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["operator"]
    assert "kubernetes>=36.0.3,<37" in wanted
    assert version("kubernetes").split(".")[0] == "36"


def _registry() -> Any:
    return kopf_watch.registry(lambda *_: None, [CASCADES, *CHILDREN])


def test_kopf_only_watches() -> None:
    registry = _registry()
    assert len(registry._watching.get_all_handlers()) == 1 + len(CHILDREN)
    for kind in (registry._indexing, registry._spawning, registry._changing, registry._webhooks):
        assert not list(kind.get_all_handlers())


def test_kopf_takes_part_in_no_peering_and_posts_nothing() -> None:
    chosen = kopf_watch.settings(CHILDREN)
    assert chosen.peering.standalone
    assert not chosen.posting.enabled


def test_only_what_carries_our_label_leaves_the_api_server() -> None:
    chosen = kopf_watch.settings([CASCADES, *CHILDREN])
    assert len(chosen.watching.label_selectors) == len(CHILDREN)
    assert set(chosen.watching.label_selectors.values()) == {"disrouter.io/cascade"}


def test_the_registry_is_our_own() -> None:
    _registry()
    assert not list(kopf.get_default_registry()._watching.get_all_handlers())
    assert _registry() is not _registry()


def test_a_watch_that_ended_kills_nobody() -> None:
    assert kopf_watch.settings(CHILDREN).process.ultimate_exiting_timeout is None


def test_nothing_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "tests" / "operator").exists()
