"""What the engine behind a sidecar is asked is, token by token, what the trainer teaches and judges."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from disrouter.calibration import Calibration, PlattScaling
from disrouter.refusal import REFUSAL
from disrouter.routes import Awareness, ProbabilityRoute
from disrouter.scenario import Scenario
from disrouter_sidecar.decision.probability_probe import probe_fields
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.query import engine_fields, parse
from disrouter_training.data.sources import Question
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.first_token import PROBED
from disrouter_training.generation.prompts import free, plain
from support.small_before_large import Entry, small_before_large
from support.tiny_cascade import MODEL, Engine
from support.tiny_model import ANSWER, KNOWN

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
QUESTION = Question(id="q", question=KNOWN, answer=ANSWER)
SURE = ProbabilityRoute(
    calibration=Calibration(token=REFUSAL[0], answer=ANSWER[1], platt=PlattScaling(intercept=9.0, slope=0.0))
)
"""Always answers; whatever a reply begins with is known."""


def chat(question: Question) -> dict[str, object]:
    """As a client asks."""
    return {"model": "qwen", "messages": [{"role": "user", "content": question.user}], "max_tokens": 8}


async def prompt(entry: Entry, scenario: Scenario) -> list[int]:
    """Tokens that vLLM was asked to go on from."""
    fields = {**chat(QUESTION), "return_token_ids": True, "disrouter": {"scenario": scenario.value}}
    return await asked(entry.http, entry.url, fields)


async def asked(http: aiohttp.ClientSession, url: str, fields: dict[str, object]) -> list[int]:
    async with http.post(f"{url}/v1/chat/completions", json=fields) as response:
        body = await response.json()
        assert response.status == 200, body
        ids: list[int] = body["prompt_token_ids"]
        return ids


@pytest.fixture
async def entry(engine: Engine, tmp_path: Path) -> AsyncIterator[Entry]:
    async with small_before_large(engine, tmp_path) as built:
        yield built


@pytest.fixture(scope="module")
def encoder(engine: Engine) -> Encoder:
    """The trainer's, of the weights that are served."""
    return Encoder(str(engine.adapters / "tiny"))


@pytest.mark.parametrize("scenario", Scenario)
@pytest.mark.parametrize("prompted", [False, True], ids=["trained", "prompted"])
async def test_who_may_refuse_is_asked_as_the_trainer_asks(
    entry: Entry, encoder: Encoder, scenario: Scenario, prompted: bool
) -> None:
    entry.route(awareness=Awareness.PROMPTED if prompted else Awareness.TRAINED)
    assert await prompt(entry, scenario) == encoder.prompt(free(QUESTION, scenario, prompted=prompted))


async def test_who_is_sure_by_probability_is_asked_the_plain_question_that_was_judged(
    entry: Entry, encoder: Encoder
) -> None:
    entry.route(awareness=Awareness.TRAINED, probability=SURE)
    assert await prompt(entry, Scenario.COST_FIRST) == encoder.prompt(plain(QUESTION))


async def test_a_probe_asks_what_the_trainer_measures(entry: Entry, engine: Engine, encoder: Encoder) -> None:
    entry.route(awareness=Awareness.TRAINED, probability=SURE)
    query = parse(json.dumps(chat(QUESTION)).encode(), CHAT, entry.service.table())
    fields = probe_fields(engine_fields(query, MODEL, PROBED, Awareness.TRAINED))
    found = await asked(entry.http, engine.url, {**fields, "return_token_ids": True})
    assert found == encoder.prompt(free(QUESTION, PROBED))
