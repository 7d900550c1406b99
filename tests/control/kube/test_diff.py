"""What counts as already satisfied."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter_operator.kube.diff import foreign_managers, satisfies

DESIRED = {
    "metadata": {"name": "x", "labels": {"a": "1"}},
    "spec": {
        "containers": [{"name": "c", "args": ["--x", "--y"], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}],
        "min": 1,
    },
}


def _live(**container: Any) -> Any:
    base = {"name": "c", "args": ["--x", "--y"], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    return {
        "metadata": {"name": "x", "labels": {"a": "1", "b": "2"}, "uid": "u"},
        "spec": {"containers": [base | {"imagePullPolicy": "Always"} | container], "min": 1, "max": 3},
        "status": {"ready": True},
    }


def _managed(manager: str, fields: Any, operation: str = "Apply") -> Any:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def test_defaults_and_other_fields_are_not_drift() -> None:
    assert satisfies(_live(), DESIRED)


def test_one_gateway_less_is_drift_though_the_api_server_keeps_no_owner_of_each() -> None:
    """The list is atomic: an item that is wanted no more would stay."""
    public, private = {"name": "public"}, {"name": "private"}
    live = {"spec": {"parentRefs": [public | {"weight": 1}, private]}}
    assert satisfies(live, {"spec": {"parentRefs": [public, private]}})
    assert not satisfies(live, {"spec": {"parentRefs": [public]}})


@pytest.mark.parametrize("limits", [{"cpu": "1000m", "memory": "1Gi"}, {"cpu": 1, "memory": "1024Mi"}])
def test_the_same_quantity_in_other_words_is_not_drift(limits: Any) -> None:
    volumes = [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": size}} for size in ("16Gi", "16384Mi")]
    assert satisfies({"volumes": volumes[:1]}, {"volumes": volumes[1:]})
    assert satisfies(_live(resources={"limits": limits}), DESIRED)


@pytest.mark.parametrize(
    "change",
    [
        {"args": ["--x"]},
        {"args": ["--y", "--x"]},
        {"args": ["--x", "--y", "--z"]},
        {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}},
        {"resources": {}},
        {"name": "other"},
    ],
)
def test_a_changed_or_missing_wanted_field_is_drift(change: Any) -> None:
    assert not satisfies(_live(**change), DESIRED)


def test_an_item_that_another_manager_added_to_a_keyed_list_is_not_drift() -> None:
    live = _live()
    live["spec"]["containers"].append({"name": "injected"})
    assert satisfies(live, DESIRED)


def test_a_field_that_we_own_but_want_no_more_is_drift() -> None:
    live = _live()
    fields: Any = {"f:spec": {"f:min": {}, "f:max": {}, "f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}}}}}
    live["metadata"]["managedFields"] = [_managed("disrouter", fields)]
    assert not satisfies(live, DESIRED)
    del fields["f:spec"]["f:max"]
    assert satisfies(live, DESIRED)
    fields["f:spec"]["f:containers"]['k:{"name":"gone"}'] = {".": {}}
    assert not satisfies(live, DESIRED)


def test_fields_of_other_managers_may_go_beyond_what_we_want() -> None:
    live = _live()
    live["metadata"]["managedFields"] = [_managed("kserve", {"f:spec": {"f:max": {}}}, "Update")]
    assert satisfies(live, DESIRED)
    assert foreign_managers(live, DESIRED) == []


def test_who_changed_a_wanted_field_is_named() -> None:
    live = _live(args=["--z"])
    live["spec"]["min"] = 7
    fields: Any = {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:args": {}}}}}
    live["metadata"]["managedFields"] = [
        _managed("kubectl-edit", fields, "Update"),
        _managed("hpa", {"f:spec": {"f:max": {}}}, "Update"),
        _managed("disrouter", {"f:spec": {"f:min": {}}}),
    ]
    assert foreign_managers(live, DESIRED) == ["kubectl-edit"]
