"""Random but repeatable edits of a few cascades that are always valid, and what the children must be after them."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from disrouter_operator.kube.diff import satisfies
from disrouter_operator.kube.observed import owner_uid
from disrouter_operator.kube.resources import CASCADES, EVENTS, Key, Object
from disrouter_operator.operator import Options
from disrouter_operator.reconcile.reconciler import reconcile
from support.kube_fake import KubeFake
from support.operators import SETTINGS
from support.places import Place

CASCADES_NAMES = ("one", "two", "three")


class Editor:
    """Holds the manifests as a person's repository would, and applies them."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self._random = random.Random(seed)
        self.manifests = {name: _manifest(place.namespace, name) for name in CASCADES_NAMES}
        self.deletions = Counter[str]()
        """Of each cascade, which was then made anew at once."""

    def start(self) -> None:
        """Apply everything once."""
        self.place.plane.apply(*self.manifests.values())

    def edit(self) -> str:
        """One random edit; returns what it was."""
        name = self._random.choice(CASCADES_NAMES)
        change = self._random.choice([_add, _remove, _swap, _rescale, _prefer, _provide, _retrain, _restrict])
        spec = self.manifests[name]["spec"]
        if self._random.random() < 0.08:
            self.place.plane.kubectl("delete", "src", name, "-n", self.place.namespace, "--wait=false")
            self.deletions[name] += 1
        change(spec, self._random)
        for number, agent in enumerate(spec["agents"], start=1):
            agent["cost"] = number / 10
        self.place.plane.apply(self.manifests[name])
        return f"{name}: {change.__name__}"


def _manifest(namespace: str, name: str) -> Object:
    training = {"datasets": [{"id": "openai/gsm8k"}], "artifacts": {"persistentVolumeClaim": "weights"}, "seed": 0}
    return {
        "apiVersion": CASCADES.api_version,
        "kind": CASCADES.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "drainSeconds": 1,
            "agents": [_agent("a0"), _agent("a1"), _external("a2")],
            "training": training,
            "networkPolicy": {"enabled": True},
        },
    }


def _agent(name: str) -> Object:
    return {"name": name, "model": {"uri": f"hf://models/{name}"}, "cost": 0.1}


def _external(name: str) -> Object:
    return {"name": name, "external": {"url": "https://provider.example/v1", "model": "big"}, "cost": 0.1}


def _add(spec: Any, draw: random.Random) -> None:
    if len(spec["agents"]) < 6:
        taken = {agent["name"] for agent in spec["agents"]}
        name = next(f"a{number}" for number in range(10) if f"a{number}" not in taken)
        spec["agents"].insert(draw.randrange(len(spec["agents"])), _agent(name))


def _remove(spec: Any, draw: random.Random) -> None:
    if len(spec["agents"]) > 2:
        del spec["agents"][draw.randrange(len(spec["agents"]))]


def _swap(spec: Any, draw: random.Random) -> None:
    draw.shuffle(spec["agents"])


def _rescale(spec: Any, draw: random.Random) -> None:
    number = draw.randint(1, 3)
    draw.choice(spec["agents"])["replicas"] = {"min": number, "max": number}


def _prefer(spec: Any, draw: random.Random) -> None:
    spec["preference"] = draw.randint(0, 100) / 100


def _provide(spec: Any, draw: random.Random) -> None:
    """A model moves to a provider, or back."""
    place = draw.randrange(len(spec["agents"]))
    agent = spec["agents"][place]
    spec["agents"][place] = _agent(agent["name"]) if "external" in agent else _external(agent["name"])


def _retrain(spec: Any, draw: random.Random) -> None:
    spec["training"]["seed"] = draw.randint(0, 5)


def _restrict(spec: Any, draw: random.Random) -> None:
    spec["networkPolicy"]["enabled"] = draw.random() < 0.5


_UNCOMPARED = (CASCADES, EVENTS)


async def wanted(parent: Object) -> dict[tuple[str, str], Object]:
    """The children of a cascade in a fresh world that has seen nothing but its last manifest."""
    kube = KubeFake()
    metadata = {key: parent["metadata"][key] for key in ("name", "namespace")}
    kube.put(parent | {"metadata": metadata} | {"status": {}})
    known = {key: parent["metadata"][key] for key in ("uid", "generation")}
    kube.objects[CASCADES, metadata["namespace"], metadata["name"]]["metadata"] |= known
    await reconcile(kube, Key(**metadata), SETTINGS, Options().clock)
    made = [obj for (kind, _, _), obj in kube.objects.items() if kind not in _UNCOMPARED]
    return {(obj["kind"], obj["metadata"]["name"]): _manifest_of(obj) for obj in made}


def difference(desired: dict[tuple[str, str], Object], parents: list[Object], children: list[Object]) -> list[str]:
    """What keeps the cluster from being exactly as desired; empty when it is."""
    uids = {parent["metadata"]["uid"] for parent in parents}
    ours = {(child["kind"], child["metadata"]["name"]): child for child in children}
    problems = [f"{id_} is missing" for id_ in desired.keys() - ours.keys()]
    problems += [f"{id_} should not be" for id_ in ours.keys() - desired.keys()]
    problems += [f"{id_} is an orphan" for id_, child in ours.items() if owner_uid(child) not in uids]
    both = desired.keys() & ours.keys()
    problems += [f"{id_} differs" for id_ in both if id_[0] != "Job" and not satisfies(ours[id_], desired[id_])]
    return problems


def _manifest_of(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key in ("name", "namespace", "labels")}
    return {key: value for key, value in obj.items() if key != "status"} | {"metadata": metadata}
