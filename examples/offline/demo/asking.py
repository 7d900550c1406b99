"""Six questions through the `openai` client, streamed and not, each with the path it took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI

from disrouter.scenario import Scenario

from .questions import Question


@dataclass(frozen=True)
class Reply:
    """What came back, and through whom."""

    text: str
    path: str
    pieces: int


def ask(client: OpenAI, question: Question, scenario: Scenario) -> Reply:
    """Ask and wait for the whole answer."""
    raw = client.chat.completions.with_raw_response.create(
        model="tiny",
        messages=[{"role": "user", "content": question.prompt}],
        max_tokens=64,
        temperature=0,
        extra_body={"disrouter": {"scenario": scenario}},
    )
    return Reply(raw.parse().choices[0].message.content or "", _path(raw.headers.get("x-disrouter-path")), 1)


def ask_streamed(client: OpenAI, question: Question, scenario: Scenario) -> Reply:
    """Ask and read the answer as it is made; `pieces` counts the deltas with text."""
    pieces: list[str] = []
    with client.chat.completions.with_streaming_response.create(
        model="tiny",
        messages=[{"role": "user", "content": question.prompt}],
        max_tokens=64,
        temperature=0,
        stream=True,
        extra_body={"disrouter": {"scenario": scenario}},
    ) as response:
        path = _path(response.headers.get("x-disrouter-path"))
        deltas = (chunk.choices[0].delta.content for chunk in response.parse() if chunk.choices)
        pieces += [delta for delta in deltas if delta]
    return Reply("".join(pieces), path, len(pieces))


def choose(questions: Sequence[Question], predictions: Path) -> list[tuple[Question, Scenario]]:
    """Two questions a scenario: one that the first agent answered in its evaluation, and one that it refused."""
    by_id = {question.id: question for question in questions}
    rows = [json.loads(line) for line in predictions.read_text(encoding="utf-8").split("\n") if line]
    chosen: list[tuple[Question, Scenario]] = []
    for scenario in Scenario:
        for refused in (False, True):
            taken = {question.family for question, _ in chosen}
            fitting = [by_id[row["id"]] for row in rows if row["scenario"] == scenario and row["refused"] is refused]
            if fitting:
                fresh = next((question for question in fitting if question.family not in taken), fitting[0])
                chosen.append((fresh, scenario))
    return chosen


def show(client: OpenAI, chosen: Iterable[tuple[Question, Scenario]]) -> None:
    """Ask each question, turn by turn whole and streamed, and print the answer and its path."""
    for index, (question, scenario) in enumerate(chosen):
        streamed = index % 2 == 1
        reply = (ask_streamed if streamed else ask)(client, question, scenario)
        how = f"streamed, {reply.pieces} pieces" if streamed else "whole"
        final = reply.text.rsplit("The final answer is:", 1)[-1].strip().rstrip(".")
        verdict = "right" if final == question.answer else f"wrong, {question.answer} is right"
        print(f"  Q     {question.text}   [{scenario}; {how}]")
        print(f"  A     {reply.text}   ({verdict})")
        print(f"  path  {reply.path}\n", flush=True)


def _path(header: str | None) -> str:
    return " -> ".join((header or "?").split(","))
