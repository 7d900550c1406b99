"""Probability mode and adapters in front of the real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.refusal import REFUSAL
from disrouter.routes import AdapterRoute, Awareness, ProbabilityRoute
from support.local import until
from support.sidecars import sample
from support.small_before_large import Entry, small_before_large
from support.tiny_cascade import MODEL, Engine
from support.tiny_model import KNOWN, SURE, UNKNOWN, YES

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
POINTS = (CalibrationPoint(refusal=0.0, competence=1.0), CalibrationPoint(refusal=1.0, competence=0.0))
PROBABILITY = ProbabilityRoute(calibration=Calibration(token=REFUSAL[0], points=POINTS))


def publish(entry: Entry, adapter: AdapterRoute | None = None) -> None:
    entry.route(awareness=Awareness.TRAINED, probability=PROBABILITY, adapter=adapter)


async def ask(entry: Entry, question: str, preference: float) -> tuple[str, str]:
    """Who answered with which model, and what."""
    fields = {"messages": [{"role": "user", "content": question}], "disrouter": {"preference": preference}}
    async with entry.http.post(f"{entry.url}/v1/chat/completions", json={"model": "qwen", **fields}) as response:
        body = await response.json()
        assert response.status == 200, body
        return body["model"], body["choices"][0]["message"]["content"]


@pytest.fixture
async def entry(engine: Engine, tmp_path: Path) -> AsyncIterator[Entry]:
    async with small_before_large(engine, tmp_path) as built:
        publish(built)
        yield built


async def test_the_first_tokens_chance_decides_for_every_preference_and_the_answer_is_uninstructed(
    entry: Entry,
) -> None:
    for preference in (0.01, 0.3, 0.5, 0.77, 0.99):
        assert await ask(entry, SURE, preference) == (MODEL, YES)
        assert await ask(entry, UNKNOWN, preference) == ("m", "large")
    assert (await ask(entry, UNKNOWN, 1.0))[0] == MODEL, "cost is all that counts: any competence is enough"
    assert sample(entry.service, "disrouter_unreadable_probability_probes_total") == 0


async def test_an_adapter_is_loaded_into_the_running_engine_and_another_takes_its_place(
    entry: Entry, engine: Engine
) -> None:
    adapters = entry.service.neighbours.adapters
    for name in ("run-1", "run-2", "run-1"):
        publish(entry, AdapterRoute(name=name, path=str(engine.adapters / name)))
        await until(lambda name=name: adapters.loaded is not None and adapters.loaded.name == name, 120)  # type: ignore[misc]
        assert await ask(entry, SURE, 0.5) == (name, YES)
    publish(entry, AdapterRoute(name="run-3", path=str(engine.adapters / "nowhere")))
    await until(lambda: adapters.problem, 120)
    assert await ask(entry, SURE, 0.5) == ("run-1", YES)


async def test_what_is_no_question_is_passed_to_the_engine(entry: Entry) -> None:
    async def send(path: str, **fields: object) -> tuple[int, dict[str, Any]]:
        async with entry.http.post(f"{entry.url}/v1{path}", json={"model": "qwen/small", **fields}) as response:
            return response.status, await response.json()

    status, tokens = await send("/tokenize", prompt=KNOWN)
    assert (status, tokens["count"] > 0) == (200, True), tokens
    status, text = await send("/detokenize", tokens=tokens["tokens"])
    assert (status, KNOWN in text["prompt"]) == (200, True), text
    status, counted = await send("/messages/count_tokens", messages=[{"role": "user", "content": KNOWN}])
    assert (status, counted["input_tokens"] > 0) == (200, True), counted
    status, failed = await send("/embeddings", input="a")
    assert (status, failed["error"]["code"]) == (404, "unsupported_api"), failed
