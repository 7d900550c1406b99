"""What the engine behind a sidecar is asked is, token by token, what the trainer teaches and judges."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from disrouter.calibration import Calibration, PlattScaling
from disrouter.refusal import REFUSAL
from disrouter.routes import AgentRoute, Awareness, ProbabilityRoute, RouteTable
from disrouter.scenario import Scenario
from disrouter_sidecar.app.service import Service
from disrouter_sidecar.decision.probability_probe import probe_fields
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.query import engine_fields, parse
from disrouter_training.data.sources import Question
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.first_token import PROBED
from disrouter_training.generation.prompts import free, plain
from support.origin import origin, saying
from support.sidecars import config_of, sidecar
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


@dataclass
class Entry:
    """The sidecar of `small` in front of vLLM; what it refuses goes to an agent that is no engine."""

    service: Service
    url: str
    routes: Path
    large: str
    http: aiohttp.ClientSession

    def publish(self, awareness: Awareness, probability: ProbabilityRoute | None) -> None:
        small = AgentRoute(url=self.url, cost=0.1, awareness=awareness, next="large", probability=probability)
        large = AgentRoute(url=self.large, cost=0.9, awareness=Awareness.NONE)
        table = RouteTable(generation=1, cascade="qwen", entrypoint="small", agents={"small": small, "large": large})
        self.routes.write_text(table.to_json())
        self.service.holder.poll()

    async def prompt(self, scenario: Scenario) -> list[int]:
        """Tokens that vLLM was asked to go on from."""
        fields = {**chat(QUESTION), "return_token_ids": True, "disrouter": {"scenario": scenario.value}}
        return await asked(self.http, self.url, fields)


async def asked(http: aiohttp.ClientSession, url: str, fields: dict[str, object]) -> list[int]:
    async with http.post(f"{url}/v1/chat/completions", json=fields) as response:
        body = await response.json()
        assert response.status == 200, body
        ids: list[int] = body["prompt_token_ids"]
        return ids


@pytest.fixture
async def entry(engine: Engine, tmp_path: Path) -> AsyncIterator[Entry]:
    routes = tmp_path / "routes.json"
    config = config_of("small", engine.url, routes, engine_model=MODEL)
    async with origin(saying("large")) as large, sidecar(config) as (service, url), aiohttp.ClientSession() as http:
        yield Entry(service, url, routes, large.url, http)


@pytest.fixture(scope="module")
def encoder(engine: Engine) -> Encoder:
    """The trainer's, of the weights that are served."""
    return Encoder(str(engine.adapters / "tiny"))


@pytest.mark.parametrize("scenario", Scenario)
@pytest.mark.parametrize("prompted", [False, True], ids=["trained", "prompted"])
async def test_who_may_refuse_is_asked_as_the_trainer_asks(
    entry: Entry, encoder: Encoder, scenario: Scenario, prompted: bool
) -> None:
    entry.publish(Awareness.PROMPTED if prompted else Awareness.TRAINED, None)
    assert await entry.prompt(scenario) == encoder.prompt(free(QUESTION, scenario, prompted=prompted))


async def test_who_is_sure_by_probability_is_asked_the_plain_question_that_was_judged(
    entry: Entry, encoder: Encoder
) -> None:
    entry.publish(Awareness.TRAINED, SURE)
    assert await entry.prompt(Scenario.COST_FIRST) == encoder.prompt(plain(QUESTION))


async def test_a_probe_asks_what_the_trainer_measures(entry: Entry, engine: Engine, encoder: Encoder) -> None:
    entry.publish(Awareness.TRAINED, SURE)
    query = parse(json.dumps(chat(QUESTION)).encode(), CHAT, entry.service.table())
    fields = probe_fields(engine_fields(query, MODEL, PROBED, Awareness.TRAINED))
    found = await asked(entry.http, engine.url, {**fields, "return_token_ids": True})
    assert found == encoder.prompt(free(QUESTION, PROBED))
