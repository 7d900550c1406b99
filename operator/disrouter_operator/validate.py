"""A manifest checked as a reconcile would, without a cluster: the contract's rules, then the pods that it asks for."""

from __future__ import annotations

from collections.abc import Iterator

from disrouter.api import violations as rule_violations
from disrouter.errors import InvalidCascade, Violation
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.manifests.serving.sidecar_container import Provider
from disrouter_operator.settings import SIDECAR_IMAGE

_SOMEWHERE = Provider("http://provider/v1", "model")
"""Where an agent is asked makes no difference to what its pod may be."""


def violations(manifest: Object) -> list[Violation]:
    """Every broken rule; of a manifest that keeps them, every pod option that breaks its pod."""
    return rule_violations(manifest) or list(dict.fromkeys(_pods(manifest)))  # options of all agents show in each


def _pods(manifest: Object) -> Iterator[Violation]:
    given = manifest["metadata"]
    stored = manifest | {"metadata": {"namespace": "default", **given, "uid": ""}}
    try:
        cascade = Cascade.of(stored)
    except InvalidCascade as error:
        yield from error.violations
        return
    for _, agent in cascade.indexed():
        try:
            if agent.served_elsewhere:
                inference_service.deployment(cascade, agent, _SOMEWHERE, SIDECAR_IMAGE)
            else:
                inference_service.inference_service(cascade, agent, None, SIDECAR_IMAGE)
        except InvalidCascade as error:
            yield from error.violations
