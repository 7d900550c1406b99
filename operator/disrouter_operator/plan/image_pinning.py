"""Which images an agent runs after the operator was upgraded: those it has, until something else changes it.

An upgrade brings newer default images. Giving them to agents at once would restart every GPU pod for no reason of the
cascade's own, so a running agent keeps its sidecar's image until its pod changes anyway, or `Settings.roll_agents` says
so. The default trainer is no part of a run, so a newer one trains nobody again.
"""

from __future__ import annotations

from collections.abc import Callable

from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.containers import SIDECAR
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.settings import Settings


def workload(build: Callable[[str], Object], live: Object | None, settings: Settings) -> Object:
    """What `build` makes of a sidecar image: the live one if that is the only difference, else the newest.

    An image edited by hand is not kept: it does not fit the revision that the operator wrote beside it.
    """
    running = _sidecar_image(live) if live is not None else None
    if live is not None and running is not None and not settings.roll_agents:
        kept = build(running)
        if inference_service.revision(kept) == inference_service.revision(live):
            return kept
    return build(settings.sidecar_image)


def _sidecar_image(live: Object) -> str | None:
    images = (
        each.get("image")
        for each in inference_service.pod_spec(live).get("containers") or []
        if each.get("name") == SIDECAR
    )
    return next((str(image) for image in images if image), None)
