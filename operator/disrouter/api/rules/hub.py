"""Rules on models of the Hub: one field says each thing, and only where there is a Hub."""

from __future__ import annotations

from collections.abc import Iterator

from disrouter.api.agent import Agent
from disrouter.api.spec import CascadeSpec
from disrouter.errors import Violation

_FLAGS = ("--revision", "--tokenizer-revision")
HF_TOKEN, HF_HOME = "HF_TOKEN", "HF_HOME"
"""Variables of huggingface_hub."""


def violations(spec: CascadeSpec) -> Iterator[Violation]:
    """Every broken rule."""
    for index, agent in enumerate(spec.agents):
        if agent.model is not None:
            yield from _elsewhere(f"spec.agents[{index}].model", agent)
            yield from _twice(f"spec.agents[{index}].engine", agent)


def _elsewhere(field: str, agent: Agent) -> Iterator[Violation]:
    model = agent.model
    assert model is not None
    if model.uri.startswith("hf://"):
        return
    given = {"revision": model.revision, "tokenSecretRef": model.token_secret_ref, "cache": model.cache}
    for name in (name for name, value in given.items() if value is not None):
        yield Violation(f"{field}.{name}", f"is for a model of the Hub (hf://), not for {model.uri!r}; remove it")


def _twice(field: str, agent: Agent) -> Iterator[Violation]:
    model = agent.model
    assert model is not None
    for place, argument in enumerate(agent.engine.args):
        flag = argument.partition("=")[0].replace("_", "-")
        if model.revision is not None and flag in _FLAGS:
            yield Violation(f"{field}.args[{place}]", f"{flag} is said by model.revision; remove one of the two")
    said = {HF_TOKEN: model.token_secret_ref, HF_HOME: model.cache}
    names = {HF_TOKEN: "model.tokenSecretRef", HF_HOME: "model.cache"}
    for place, variable in enumerate(agent.engine.env):
        if said.get(variable.name) is not None:
            text = f"{variable.name} is said by {names[variable.name]}; remove one of the two"
            yield Violation(f"{field}.env[{place}]", text)
