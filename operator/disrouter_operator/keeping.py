"""Which images an agent runs after the operator was upgraded: those it has, until something else changes it.

An upgrade brings newer default images. Giving them to agents at once would restart every GPU pod and train every agent
again for no reason of the cascade's own, so a running agent keeps its sidecar's image until its pod changes anyway, and
a run keeps the trainer that it started with. `Settings.roll_agents` gives up the first; `spec.training.image` or any
changed input ends the second.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from disrouter import names
from disrouter.api import Agent
from disrouter.artifacts import RUN_FILE, RunConfig
from disrouter_operator import inference, training
from disrouter_operator.cascade import COMPONENT_TRAINING, Cascade
from disrouter_operator.containers import SIDECAR
from disrouter_operator.observe import Observed, label
from disrouter_operator.resources import CONFIG_MAPS, Object
from disrouter_operator.settings import Settings


def workload(build: Callable[[str], Object], live: Object | None, settings: Settings) -> Object:
    """What `build` makes of a sidecar image: the live one if that is the only difference, else the newest.

    An image edited by hand is not kept: it does not fit the revision that the operator wrote beside it.
    """
    running = _sidecar_image(live) if live is not None else None
    if live is not None and running is not None and not settings.roll_agents:
        kept = build(running)
        if inference.revision(kept) == inference.revision(live):
            return kept
    return build(settings.sidecar_image)


def run_config(cascade: Cascade, agent: Agent, observed: Observed, settings: Settings) -> RunConfig:
    """The run that the agent's inputs ask for, with the trainer image of a run that has them all otherwise."""
    for inputs in observed.owned(CONFIG_MAPS):
        ours = label(inputs, names.LABEL_COMPONENT) == COMPONENT_TRAINING
        image = _trainer_image(inputs) if ours and label(inputs, names.LABEL_AGENT) == agent.name else None
        if image is not None:
            kept = training.run_config(cascade, agent, image)
            if kept.run == label(inputs, names.LABEL_RUN):
                return kept
    return training.run_config(cascade, agent, settings.training_image)


def _sidecar_image(live: Object) -> str | None:
    images = (
        each.get("image") for each in inference.pod_spec(live).get("containers") or [] if each.get("name") == SIDECAR
    )
    return next((str(image) for image in images if image), None)


def _trainer_image(inputs: Object) -> str | None:
    try:
        image = json.loads((inputs.get("data") or {}).get(RUN_FILE, ""))["image"]
    except (ValueError, KeyError, TypeError):
        return None  # not what we wrote: the run is looked for as if it were not there
    return image if isinstance(image, str) and image else None
