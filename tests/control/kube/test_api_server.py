"""The adapter's promises on a real API server, above all those of server-side apply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from disrouter_operator.errors import Conflict, KubeError, NotLeading, Rejected, Unreachable
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.diff import foreign_managers, satisfies
from disrouter_operator.kube.leader_election import Election
from disrouter_operator.kube.rate_limit import TokenBucket
from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.kube.resources import CASCADES, CONFIG_MAPS, INFERENCE_SERVICES, PODS, Object
from disrouter_operator.manifests.serving.inference_service import inference_service
from disrouter_operator.reconcile.write_guard import WriteGuard
from support import clusters, operators
from support.controlplane import ControlPlane
from support.kube_fake import KubeFake
from support.webhooks import denying_config_maps, patching_config_maps

pytestmark = pytest.mark.controlplane


@pytest.fixture
async def kube(plane: ControlPlane) -> AsyncIterator[ApiServer]:
    async with await operators.api_client(plane.kubeconfig) as client:
        yield ApiServer(client)


def _config_map(name: str, **data: str) -> Object:
    metadata = {"name": name, "namespace": "default", "labels": {"test": "kube-api"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_apply_removes_what_is_wanted_no_more_and_drift_sees_it(kube: ApiServer) -> None:
    live = await kube.apply(_config_map("one", a="1", b="2"))
    assert satisfies(live, _config_map("one", a="1", b="2"))
    assert not satisfies(live, _config_map("one", a="1"))
    live = await kube.apply(_config_map("one", a="1"))
    assert live["data"] == {"a": "1"}
    assert (await kube.apply(_config_map("one", a="1")))["metadata"]["resourceVersion"] == live["metadata"][
        "resourceVersion"
    ]


async def test_what_a_webhook_changes_is_seen_in_the_answer_to_the_apply(kube: ApiServer, plane: ControlPlane) -> None:
    namespace = "webhook"
    labels = {"webhook": namespace}
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    desired = _config_map("four", a="1")
    desired["metadata"]["namespace"] = namespace
    memory, now = WriteGuard(), datetime.now(UTC)
    with patching_config_maps(plane, namespace, [{"op": "add", "path": "/data/a", "value": "2"}]):
        plane.wait("the webhook", lambda: _stamped(plane, namespace))
        live = await kube.apply(desired)
        assert live["data"] == {"a": "2"}
        assert foreign_managers(live, desired) == [], "it acts in our name, so no edit by somebody else is reported"
        assert memory.note(live, desired, now) > 0
        assert memory.wait(live, desired, now) > 0
    assert memory.note(await kube.apply(desired), desired, now) == 0


def _stamped(plane: ControlPlane, namespace: str) -> bool:
    """Whether the API server calls the webhook by now."""
    probe = _config_map("probe", b="1")
    probe["metadata"]["namespace"] = namespace
    plane.kubectl("delete", "configmap", "probe", "-n", namespace, "--ignore-not-found")
    plane.apply(probe)
    return "a" in plane.get("configmap", namespace, "probe")["data"]


def _denied(plane: ControlPlane, namespace: str) -> bool:
    probe = ("create", "configmap", "probe", "-n", namespace, "--dry-run=server")
    return plane.kubectl_process(*probe).returncode != 0


async def test_an_inference_service_that_was_just_applied_is_not_drift(kube: ApiServer) -> None:
    for rollout in ("surge", "recreate"):
        owner = clusters.cascade(clusters.example(rollout=rollout))
        desired = inference_service(owner, owner.spec.agents[0], None, "sidecar:test")
        desired["metadata"].pop("ownerReferences")  # the garbage collector would follow an owner that is not there
        live = await kube.apply(desired)
        assert satisfies(live, desired), rollout
        assert "status" not in live
    assert "rollingUpdate" not in live["spec"]["predictor"]["deploymentStrategy"]
    await kube.delete(INFERENCE_SERVICES, "default", desired["metadata"]["name"])


async def test_lists_carry_kinds_and_follow_labels(kube: ApiServer) -> None:
    await kube.apply(_config_map("two"))
    found = await kube.list(CONFIG_MAPS, None, {"test": "kube-api"})
    assert {(obj["apiVersion"], obj["kind"]) for obj in found} == {("v1", "ConfigMap")}
    assert await kube.list(PODS, "default", {"test": "kube-api"}) == []


async def test_a_status_is_replaced_whole_and_only_on_the_version_that_was_read(kube: ApiServer) -> None:
    manifest: Any = clusters.example()
    manifest["metadata"]["name"] = "statused"
    live = await kube.create(manifest)
    live = await kube.patch_status(live | {"status": {"url": "http://x", "agentsReady": "1/2"}})
    newer = await kube.patch_status(live | {"status": {"agentsReady": "2/2"}})
    assert newer["status"] == {"agentsReady": "2/2"}
    assert newer["metadata"]["generation"] == 1
    with pytest.raises(Conflict):
        await kube.patch_status(live | {"status": {}})
    await kube.delete(CASCADES, "default", "statused", uid=live["metadata"]["uid"])


async def test_missing_is_none_and_deleting_it_is_fine(kube: ApiServer) -> None:
    assert await kube.get(CONFIG_MAPS, "default", "nothing") is None
    await kube.delete(CONFIG_MAPS, "default", "nothing")


async def test_another_uid_is_spared(kube: ApiServer) -> None:
    await kube.apply(_config_map("three"))
    await kube.delete(CONFIG_MAPS, "default", "three", uid="00000000-0000-0000-0000-000000000000")
    assert await kube.get(CONFIG_MAPS, "default", "three") is not None


async def test_a_refusal_carries_the_api_servers_words(kube: ApiServer) -> None:
    wrong = clusters.example()
    wrong["spec"]["agents"][0]["cost"] = 7
    with pytest.raises(Rejected, match="should be less than or equal to 1"):
        await kube.apply(wrong)


async def test_no_answer_is_unreachable(kube: ApiServer) -> None:
    kube._client.configuration.host = "https://127.0.0.1:1"
    with pytest.raises(Unreachable):
        await kube.get(CONFIG_MAPS, "default", "x")


async def test_a_list_by_label_shows_our_own_writes_also_from_the_api_servers_cache(kube: ApiServer) -> None:
    asked: list[tuple[str, int]] = []
    fresh = ResourceVersions()
    fresh.restarted([CONFIG_MAPS])
    cached = ApiServer(kube._client, versions=fresh, record=lambda verb, _, code, *__: asked.append((verb, code)))
    first = await cached.apply(_config_map("cached"))
    fresh.delivered(CONFIG_MAPS, "default", first["metadata"]["resourceVersion"])
    for number in range(10):
        await cached.apply(_config_map("cached", a=str(number)))
        found = await cached.list(CONFIG_MAPS, "default", {"test": "kube-api"})
        assert {obj["metadata"]["name"]: obj.get("data") for obj in found}["cached"] == {"a": str(number)}
    await cached.delete(CONFIG_MAPS, "default", "cached")
    assert [code for verb, code in asked if verb == "list"] == [200] * 10


async def test_a_version_that_the_api_server_does_not_know_is_given_up(kube: ApiServer) -> None:
    """As after the restore of a backup: its versions begin anew, below what was seen before."""
    fresh = ResourceVersions()
    fresh.restarted([CONFIG_MAPS])
    fresh.delivered(CONFIG_MAPS, "default", "999999999")
    found = await ApiServer(kube._client, versions=fresh).list(CONFIG_MAPS, "default", {"test": "none"})
    assert found == []
    assert fresh.floor(CONFIG_MAPS, "default") is None


async def test_kinds_that_are_not_installed_are_known(kube: ApiServer) -> None:
    assert await kube.serves(INFERENCE_SERVICES)
    assert not await kube.serves(INFERENCE_SERVICES._replace(version="v9"))
    assert not await kube.serves(INFERENCE_SERVICES._replace(plural="others"))


async def test_a_leader_that_was_held_up_past_its_lease_reads_but_writes_nothing(kube: ApiServer) -> None:
    now = 0.0
    election = Election(KubeFake(), "default", "first", monotonic=lambda: now)
    fenced = ApiServer(kube._client, leads=election.leads)
    with pytest.raises(NotLeading):
        await fenced.apply(_config_map("fenced", a="0"))
    await election.acquire()
    live = await fenced.apply(_config_map("fenced", a="1"))
    now += election.duration
    writes = (
        fenced.apply(_config_map("fenced", a="2")),
        fenced.create(_config_map("another")),
        fenced.patch_status({**live, "status": {}}),
        fenced.delete(CONFIG_MAPS, "default", "fenced"),
        fenced.scale({"metadata": live["metadata"], "spec": {"replicas": 0}}),
    )
    for write in writes:
        with pytest.raises(NotLeading):
            await write
    found = {each["metadata"]["name"]: each.get("data") for each in await fenced.list(CONFIG_MAPS, "default")}
    assert (found["fenced"], "another" in found) == ({"a": "1"}, False)


async def test_a_lease_that_ends_while_a_write_waits_for_the_end_of_a_pause_keeps_it_back(kube: ApiServer) -> None:
    leads, limit = True, TokenBucket(100, 100)

    async def sleep(_: float) -> None:
        nonlocal leads
        leads = False

    limit.sleep = sleep
    await kube.apply(_config_map("kept", a="1"))
    limit.hold(2.0)
    with pytest.raises(NotLeading):
        await ApiServer(kube._client, limit, leads=lambda: leads).delete(CONFIG_MAPS, "default", "kept")
    assert await kube.get(CONFIG_MAPS, "default", "kept") is not None


async def test_a_webhook_that_denies_one_object_with_429_holds_up_no_other(
    kube: ApiServer, plane: ControlPlane
) -> None:
    namespace = "denied"
    labels = {"webhook": namespace}
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    limited = ApiServer(kube._client, TokenBucket(100, 100))
    desired = _config_map("five")
    desired["metadata"]["namespace"] = namespace
    with denying_config_maps(plane, namespace, 429):
        plane.wait("the webhook", lambda: _denied(plane, namespace))
        with pytest.raises(KubeError, match="not now") as raised:
            await limited.apply(desired)
    assert (raised.value.status, raised.value.of_webhook) == (429, True)
    assert await limited._token("GET /", 0.0) == 0.0, "no pause"
