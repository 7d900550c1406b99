"""Real vLLM, as the operator starts it, serves the revision that the trainer trains from: weights and tokenizer."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from disrouter_operator.manifests import hub
from disrouter_operator.manifests.serving.inference_service import inference_service
from disrouter_training.data.sources import Question
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.prompts import plain
from support import clusters
from support.hub_cache import OLD, REPOSITORY, snapshot, two_revisions
from support.tiny_model import ANSWER, KNOWN
from support.vllm import vllm

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def _arguments() -> list[str]:
    """What an engine with a pinned model of the Hub is told of it."""
    manifest = clusters.example()
    cache = {"persistentVolumeClaim": "hub"}
    manifest["spec"]["agents"][0]["model"] = {"uri": f"hf://{REPOSITORY}", "revision": OLD, "cache": cache}
    owner = clusters.cascade(manifest)
    pod = inference_service(owner, owner.spec.agents[0], None, "sidecar:test")["spec"]["predictor"]
    engine = pod["containers"][0]
    assert {"name": "HF_HOME", "value": hub.MOUNT} in engine["env"]
    assert engine["args"][0] == REPOSITORY
    return [each for each in engine["args"] if "revision" in each]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The claim of the cache."""
    folder = tmp_path_factory.mktemp("claim")
    two_revisions(folder / "hub")
    return folder


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with vllm(home / "engine", "tiny", _arguments(), served=REPOSITORY, variables={"HF_HOME": str(home)}) as started:
        yield started


def test_what_is_served_is_the_revision_and_not_the_main_branch(url: str, home: Path) -> None:
    question = Question(id="q", question=KNOWN, answer=ANSWER)
    fields = {"model": "tiny", "messages": [{"role": "user", "content": question.user}], "temperature": 0}
    body = json.dumps({**fields, "max_tokens": 16, "return_token_ids": True}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert answer["prompt_token_ids"] == Encoder(str(snapshot(home / "hub", OLD))).prompt(plain(question))
