"""Manifests that say of a model of the Hub what makes no sense, or say it twice."""

from __future__ import annotations

from support.manifest import Invalid, change_agent

_HUB, _CLAIM = "hf://a/b", "pvc://models/qwen2.5-3b"
_ELSEWHERE = "are for a model of the Hub"

HUB = (
    Invalid(
        "a revision of what is not on the Hub",
        lambda m: change_agent(m, 1, model={"uri": _CLAIM, "revision": "main"}),
        "spec.agents[1].model.revision",
        "is for a model of the Hub",
        by_cel=_ELSEWHERE,
    ),
    Invalid(
        "a token of the Hub for what is not there",
        lambda m: change_agent(m, 1, model={"uri": _CLAIM, "tokenSecretRef": {"name": "hub", "key": "token"}}),
        "spec.agents[1].model.tokenSecretRef",
        "is for a model of the Hub",
        by_cel=_ELSEWHERE,
    ),
    Invalid(
        "a cache of the Hub for what is not there",
        lambda m: change_agent(m, 1, model={"uri": _CLAIM, "cache": {"persistentVolumeClaim": "hub"}}),
        "spec.agents[1].model.cache",
        "is for a model of the Hub",
        by_cel=_ELSEWHERE,
    ),
    Invalid(
        "a revision with a blank",
        lambda m: change_agent(m, 0, model={"uri": _HUB, "revision": "my branch"}),
        "spec.agents[0].model.revision",
        "write a commit, tag or branch of the Hub",
        by_schema=True,
    ),
    Invalid(
        "a revision that the arguments say too",
        lambda m: change_agent(
            m, 0, model={"uri": _HUB, "revision": "main"}, engine={"args": ["--tokenizer_revision=v1"]}
        ),
        "spec.agents[0].engine.args[0]",
        "--tokenizer-revision is said by model.revision",
    ),
    Invalid(
        "a token that the environment says too",
        lambda m: change_agent(
            m,
            0,
            model={"uri": _HUB, "tokenSecretRef": {"name": "hub", "key": "token"}},
            engine={"env": [{"name": "HF_TOKEN", "value": "x"}]},
        ),
        "spec.agents[0].engine.env[0]",
        "HF_TOKEN is said by model.tokenSecretRef",
    ),
    Invalid(
        "a cache that the environment says too",
        lambda m: change_agent(
            m,
            0,
            model={"uri": _HUB, "cache": {"persistentVolumeClaim": "hub"}},
            engine={"env": [{"name": "HF_HOME", "value": "/x"}]},
        ),
        "spec.agents[0].engine.env[0]",
        "HF_HOME is said by model.cache",
    ),
)
