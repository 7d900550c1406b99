"""Resources of a container: complete, and never a request above its limit."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter.api.quantity import ResourceRequirements
from disrouter_operator.manifests.containers import GPU, complete_resources

REQUESTS, LIMITS = {"cpu": "2", "memory": "8Gi"}, {"cpu": "8", "memory": "32Gi"}


def _complete(wanted: Any) -> Any:
    asked = ResourceRequirements.model_validate(wanted) if wanted is not None else None
    return complete_resources(asked, REQUESTS, LIMITS)


def test_without_a_wish_an_engine_gets_one_gpu() -> None:
    assert _complete(None) == {"requests": REQUESTS | {GPU: "1"}, "limits": LIMITS | {GPU: "1"}}


def test_a_wish_replaces_the_gpu_and_keeps_cpu_and_memory_that_it_leaves_open() -> None:
    assert _complete({"limits": {"memory": "4Gi"}}) == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"cpu": "8", "memory": "4Gi"},
    }


@pytest.mark.parametrize("wanted", [{"requests": {"cpu": 16}}, {"limits": {"cpu": 16}}])
def test_one_side_of_a_wish_sets_the_other_where_it_must(wanted: Any) -> None:
    complete = _complete(wanted)
    assert complete["limits"]["cpu"] == "16"
    assert int(complete["requests"]["cpu"]) <= 16


def test_a_gpu_is_asked_for_on_both_sides() -> None:
    complete = _complete({"limits": {GPU: 4}})
    assert complete["requests"][GPU] == complete["limits"][GPU] == "4"
