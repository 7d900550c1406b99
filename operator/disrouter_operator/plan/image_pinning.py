"""Which images an agent runs after the operator was upgraded: those it has, until something else changes it.

An upgrade brings newer default images. Giving them to agents at once would restart every GPU pod for no reason of the
cascade's own, so a running agent keeps its sidecar's image until its pod changes anyway, or `Settings.roll_agents` says
so. The default trainer is no part of a run, so a newer one trains nobody again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.containers import SIDECAR
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.settings import Settings


@dataclass(frozen=True)
class Candidates:
    """An agent's workload as it may look: one manifest per sidecar image, that of the installation first."""

    by_image: Mapping[str, Object]

    @property
    def newest(self) -> Object:
        """With the installation's image."""
        return next(iter(self.by_image.values()))

    def pinned(self, live: Object | None) -> Object:
        """What a live workload should be: as it is, if the image is the only difference; else the newest.

        An image edited by hand is not kept: it does not fit the revision that the operator wrote beside it.
        """
        kept = self.by_image.get(_sidecar_image(live) or "") if live is not None else None
        if live is None or kept is None or inference_service.revision(kept) != inference_service.revision(live):
            return self.newest
        return kept


def images(lives: Iterable[Object], settings: Settings) -> list[str]:
    """The installation's sidecar image, then those that live workloads may keep."""
    running = [] if settings.roll_agents else [_sidecar_image(live) for live in lives]
    return list(dict.fromkeys([settings.sidecar_image, *(image for image in running if image)]))


def _sidecar_image(live: Object) -> str | None:
    containers = inference_service.pod_spec(live).get("containers") or []
    return next((str(each["image"]) for each in containers if each.get("name") == SIDECAR and each.get("image")), None)
