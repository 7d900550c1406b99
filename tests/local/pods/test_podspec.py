"""A pod's containers as commands of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from disrouter_local.errors import InvalidPod
from disrouter_local.pods import engines, podspec, volumes
from disrouter_local.pods.podspec import Place, Program, expand
from disrouter_local.pods.probes import Probe
from disrouter_local.pods.volumes import Claims, Root
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.serving.engine_container import SERVER

ENGINE_ARGS = ["/mnt/models", "--served-model-name=small", "--host=$(ENGINE_HOST)", "--port=$(ENGINE_PORT)"]


def agent_pod() -> Object:
    """A pod as the operator and KServe make it."""
    engine = {
        "name": "kserve-container",
        "image": "vllm/vllm-openai:v1",
        "command": list(SERVER),
        "args": [*ENGINE_ARGS, "--max-model-len=512"],
        "env": [{"name": "ENGINE_PORT", "value": "8081"}, {"name": "ENGINE_HOST", "value": "::"}],
        "ports": [{"containerPort": 8081, "name": "engine"}],
        "startupProbe": {"httpGet": {"path": "/health", "port": 8081}, "periodSeconds": 10, "failureThreshold": 60},
        "volumeMounts": [{"name": "model", "mountPath": "/mnt/models", "subPath": "tiny", "readOnly": True}],
    }
    sidecar = {
        "name": "transformer-container",
        "image": "ghcr.io/disrouter/sidecar:v1",
        "env": [
            {"name": "DISROUTER_PORT", "value": "8080"},
            {"name": "ENGINE_PORT", "value": "8081"},
            {"name": "DISROUTER_ENGINE_URL", "value": "http://127.0.0.1:$(ENGINE_PORT)"},
            {"name": "DISROUTER_ENGINE_MODEL", "value": "small"},
            {"name": "DISROUTER_ROUTES", "value": "/etc/disrouter/routes.json"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [{"containerPort": 8080, "name": "http1"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http1"}, "periodSeconds": 5, "failureThreshold": 2},
        "volumeMounts": [{"name": "routes", "mountPath": "/etc/disrouter"}],
    }
    sources = [
        {"name": "routes", "configMap": {"name": "routes"}},
        {"name": "model", "persistentVolumeClaim": {"claimName": "models"}},
    ]
    return pod([engine, sidecar], sources)


def pod(containers: list[dict[str, Any]], sources: list[dict[str, Any]] | None = None) -> Object:
    metadata = {"name": "p-1", "namespace": "default"}
    return {"metadata": metadata, "spec": {"containers": containers, "volumes": sources or []}}


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    return Claims(tmp_path / "claims", {"models": tmp_path / "models"})


def translate(
    obj: Object, folder: Path, claims: Claims, engine: engines.Engine | None = None, secret: str | None = None
) -> dict[str, Program]:
    roots = {item["name"]: volumes.mount(obj, item, folder / "pod", claims) for item in obj["spec"]["containers"]}
    ports = {port: port + 20000 for port in podspec.container_ports(obj)}
    return podspec.translate(obj, Place(ports, roots, engine or engines.Transformers(), lambda *_: secret))


def test_a_sidecar_does_not_linger_for_proxies_that_are_not_there(tmp_path: Path, claims: Claims) -> None:
    obj = agent_pod()
    obj["spec"]["containers"][1]["env"] += [
        {"name": "DISROUTER_LINGER_SECONDS", "value": "5"},
        {"name": "DISROUTER_DRAIN_SECONDS", "value": "60"},
    ]
    env = translate(obj, tmp_path, claims)["transformer-container"].env
    assert float(env["DISROUTER_LINGER_SECONDS"]) <= 1
    assert env["DISROUTER_DRAIN_SECONDS"] == "60"


def test_ports_are_moved_wherever_they_are_named(tmp_path: Path, claims: Claims) -> None:
    programs = translate(agent_pod(), tmp_path, claims, engines.Vllm("/opt/vllm/python"))
    engine, sidecar = programs["kserve-container"], programs["transformer-container"]
    assert "--port=28081" in engine.argv
    assert sidecar.env["DISROUTER_PORT"] == "28080"
    assert sidecar.env["DISROUTER_ENGINE_URL"] == "http://127.0.0.1:28081"
    assert engine.probes.startup == Probe(28081, "/health", period=10, failures=60)
    assert sidecar.probes.readiness == Probe(28080, "/readyz", period=5, failures=2)


def test_vllm_gets_its_arguments_as_they_stand_on_loopback(tmp_path: Path, claims: Claims) -> None:
    engine = translate(agent_pod(), tmp_path, claims, engines.Vllm("/opt/vllm/python"))["kserve-container"]
    assert engine.argv[:3] == ("/opt/vllm/python", "-m", engines.VLLM_MODULE)
    assert "--host=127.0.0.1" in engine.argv
    assert engine.argv[-1] == "--max-model-len=512"
    model = Path(engines.option(engine.argv, "model"))
    assert model.resolve() == (tmp_path / "models" / "tiny").resolve()
    assert engine.env["HF_HUB_OFFLINE"] == "1"


def test_the_sidecar_asks_transformers_by_the_models_path(tmp_path: Path, claims: Claims) -> None:
    programs = translate(agent_pod(), tmp_path, claims)
    engine, sidecar = programs["kserve-container"], programs["transformer-container"]
    assert sidecar.env["DISROUTER_ENGINE_MODEL"] in engine.argv
    assert sidecar.env["DISROUTER_ENGINE_MODEL"] != "small"
    assert "--max-model-len=512" not in engine.argv


def test_an_image_is_a_module_of_this_installation(tmp_path: Path, claims: Claims) -> None:
    sidecar = translate(agent_pod(), tmp_path, claims)["transformer-container"]
    assert sidecar.argv == (sys.executable, "-m", "disrouter_sidecar")
    assert sidecar.env["DISROUTER_HOST"] == "127.0.0.1"
    assert sidecar.env["POD"] == "p-1"
    assert Path(sidecar.env["DISROUTER_ROUTES"]).parent.is_dir()


def test_parents_of_mounts_and_the_termination_log_lie_below_the_root(tmp_path: Path, claims: Claims) -> None:
    trainer = {
        "name": "trainer",
        "command": ["python", "-m", "disrouter_training"],
        "args": ["sft", "--run=/etc/disrouter/run.json"],
        "env": [
            {"name": "DISROUTER_PVC_ROOT", "value": "/mnt/pvc"},
            {"name": "DISROUTER_TERMINATION_LOG", "value": "/dev/termination-log"},
        ],
        "terminationMessagePath": "/dev/termination-log",
        "volumeMounts": [
            {"name": "models", "mountPath": "/mnt/pvc/models", "readOnly": True},
            {"name": "run", "mountPath": "/etc/disrouter"},
        ],
    }
    sources = [
        {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
        {"name": "run", "configMap": {"name": "run"}},
    ]
    program = translate(pod([trainer], sources), tmp_path, claims)["trainer"]
    assert (Path(program.env["DISROUTER_PVC_ROOT"]) / "models" / "tiny").is_dir()
    assert Path(program.env["DISROUTER_TERMINATION_LOG"]).parent.is_dir()
    assert program.argv[0] == sys.executable
    assert program.argv[-1].endswith("/etc/disrouter/run.json")
    assert program.argv[-1] != "--run=/etc/disrouter/run.json"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/mnt/a", "R/mnt/a"),
        ("--x=/mnt/a/b", "--x=R/mnt/a/b"),
        ("/mnt/ab", "/mnt/ab"),
        ("http://host/mnt/a", "http://host/mnt/a"),
        ("/mnt/a:/mnt/a/c", "R/mnt/a:R/mnt/a/c"),
        ("/mnt", "R/mnt"),
        ("/", "/"),
        ("/other/mnt/a", "/other/mnt/a"),
    ],
)
def test_only_whole_mount_paths_are_rewritten(text: str, expected: str) -> None:
    assert Root(Path("R"), ("/mnt/a",)).rewrite(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$(A)$(A)", "11"), ("100$", "100$")],
)
def test_variables_expand_as_in_kubernetes(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_a_secret_reaches_its_variable(tmp_path: Path, claims: Claims) -> None:
    reference = {"secretKeyRef": {"name": "k", "key": "token"}}
    container = {"name": "c", "command": ["true"], "env": [{"name": "KEY", "valueFrom": reference}]}
    assert translate(pod([container]), tmp_path, claims, secret="s3cret")["c"].env["KEY"] == "s3cret"
    with pytest.raises(InvalidPod, match=r"KEY.*Secret 'k' with key 'token' does not exist; apply it"):
        translate(pod([container]), tmp_path, claims)


def bad(**container: Any) -> Object:
    sources = [{"name": "disk", "awsElasticBlockStore": {}}, {"name": "models", **claim("models")}]
    return pod([{"name": "c", "command": ["true"], **container}], sources)


def claim(name: str) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name}}


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            pod([{"name": "c", "image": "redis:7"}]),
            r"container 'c': image 'redis:7' has no program.*command",
        ),
        (bad(volumeMounts=[{"name": "disk", "mountPath": "/d"}]), "kind awsElasticBlockStore"),
        (bad(volumeMounts=[{"name": "no", "mountPath": "/d"}]), "no volume of that name"),
        (
            bad(volumeMounts=[{"name": "models", "mountPath": "/d", "subPath": "../up"}]),
            r"climbs out of its volume; remove '\.\.'",
        ),
        (
            bad(volumeMounts=[{"name": "models", "mountPath": "/d", "subPath": "gone", "readOnly": True}]),
            r"models/gone does not exist; put the files there, or name the folder with --volume",
        ),
    ],
)
def test_what_one_machine_cannot_give_is_said_with_a_remedy(
    obj: Object, message: str, tmp_path: Path, claims: Claims
) -> None:
    with pytest.raises(InvalidPod, match=message):
        translate(obj, tmp_path, claims)


def test_the_engine_is_chosen_by_what_is_installed() -> None:
    assert engines.detect({engines.VLLM_PYTHON: "/p"}) == engines.Vllm("/p")
    assert engines.detect({engines.VLLM_PYTHON: "/p", engines.ENGINE_CHOICE: "transformers"}) == engines.Transformers()
    with pytest.raises(InvalidPod, match="use vllm or transformers"):
        engines.detect({engines.ENGINE_CHOICE: "llama"})
    with pytest.raises(InvalidPod, match="no --model"):
        engines.option(["--port", "1"], "model")


def test_files_of_a_config_map_stay_fresh_and_unchanged_ones_untouched(tmp_path: Path) -> None:
    volumes.write_files(tmp_path, {"a": "1", "b": "2"})
    before = (tmp_path / "a").stat()
    volumes.write_files(tmp_path, {"a": "1", "c": "3"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "1", "c": "3"}
    assert (tmp_path / "a").stat() == before
