"""The extraction step of Appendix C: what a larger model takes apart, and what is done where it does not."""

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from disrouter.artifacts import Extraction, RunConfig, Stage
from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario
from disrouter_training.data.shards import read_rows
from disrouter_training.data.sources import Question
from disrouter_training.data.template import Parts
from disrouter_training.generation.prompts import Prompt
from disrouter_training.generation.transformers_generator import Sample, Sampling
from disrouter_training.job import Job
from disrouter_training.models.loading import release_memory
from disrouter_training.training import extraction
from disrouter_training.training.extraction import FOLDER, parse, prompt, standardise
from disrouter_training.training.sft_examples import Example
from support.trainer import Trainer

QUESTION = Question(id="q", question="2+2?", answer="4", grader="number")
ANSWER = Example(Scenario.BALANCE, QUESTION, "Two and two\n#### 4")
GOOD = "The Extracted Reasoning Parts: Two and two make 4. The Extracted Final Answer: 4."


def test_the_prompt_is_that_of_table_9_with_the_question_and_the_output() -> None:
    text = prompt("2+{output}?", "It is {question}.").messages[0]["content"]
    assert text.startswith("There is a question and the corresponding output from a model. I would now like you to ")
    assert text.endswith("Input Question:\n2+{output}?.\n Model Output:It is {question}. . The content you extracted:")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (GOOD, Parts("Two and two make 4", "4")),
        ("The Extracted Reasoning Parts: <It is\nso>. The Extracted Final Answer: <yes>.", Parts("It is\nso", "yes")),
        ("The Extracted Reasoning Parts: It is 3.5. The Extracted Final Answer: 3.5", Parts("It is 3.5", "3.5")),
        ("Sure! Two and two make 4.", None),
        ("The Extracted Reasoning Parts: x. The Extracted Final Answer: .", None),
    ],
)
def test_a_reply_is_read_by_its_template_or_not_at_all(reply: str, expected: Parts | None) -> None:
    assert parse(reply) == expected


def test_extracted_parts_are_put_into_the_answer_template() -> None:
    done = standardise([ANSWER], {("q", ANSWER.reply): GOOD})
    assert done.examples[0].reply == "Let's think step by step: Two and two make 4. The final answer is: 4."
    assert done.summary() == {"byModel": 1, "byMarkers": 0}


@pytest.mark.parametrize("reply", ["No.", GOOD.replace("Answer: 4", "Answer: 5")])
def test_where_it_fails_or_spoils_the_answer_markers_take_the_reply_apart(reply: str) -> None:
    done = standardise([ANSWER], {("q", ANSWER.reply): reply})
    assert done.examples[0].reply == "Let's think step by step: Two and two. The final answer is: 4."
    assert done.summary() == {"byModel": 0, "byMarkers": 1}


def test_refusals_and_replayed_replies_stay_as_they_are() -> None:
    others = [replace(ANSWER, reply=REFUSAL), replace(ANSWER, asked=None)]
    assert standardise(others, {}).examples == others


class Extractor:
    """A generator that extracts nothing."""

    def replies(self, prompts: Sequence[Prompt], _sampling: Sampling, seed: int) -> list[list[str]]:
        return [["No."] for _ in prompts]

    def samples(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[Sample]]:
        raise NotImplementedError


def test_the_extraction_model_is_let_go_of_before_training_looks_at_the_memory(
    trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Extractor]] = []
    released: list[bool] = []

    def open_generator(*_: object, **__: object) -> Extractor:
        extractor = Extractor()
        alive.append(weakref.ref(extractor))
        return extractor

    monkeypatch.setattr(extraction, "open_generator", open_generator)
    monkeypatch.setattr(extraction, "release_memory", lambda: released.append(alive[0]() is None))
    job = Job(RunConfig.read(trained.run_file), trained.layout, trained.volumes, say=lambda _: None)
    done = extraction.extract(job, Extraction(model="pvc://models/tiny"), [ANSWER])
    assert done.summary() == {"byModel": 0, "byMarkers": 1}
    assert released == [True], "nothing refers to it when the memory is given back"


@pytest.mark.parametrize("gpu", [True, False])
def test_memory_is_given_back_by_python_and_by_torch_where_there_is_a_gpu(
    gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda: calls.append("collect"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))
    release_memory()
    assert calls == (["collect", "empty"] if gpu else ["collect"])


def test_a_stage_asks_the_extraction_model_and_goes_on_where_it_was(
    finished: Trainer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changes = {"sft": {"extraction": {"model": "pvc://models/tiny"}, "samples": 48, "epochs": 1.0}}
    trainer = finished.changed(tmp_path_factory.mktemp("extracted"), changes)
    trainer.take(finished, Stage.COLLECT)
    assert trainer("sft") == 0
    counts = trainer.layout.require(Stage.SFT)["metrics"]["extracted"]
    assert counts["byModel"] == 0, "the tiny agent knows nothing of extraction"
    assert 0 < counts["byMarkers"] <= 24
    shards = trainer.layout.stage(Stage.SFT) / FOLDER
    assert sum(len(read_rows(path)) for path in shards.glob("*.jsonl")) == counts["byMarkers"]
    before = {path: path.stat().st_mtime_ns for path in shards.iterdir()}
    (trainer.layout.stage(Stage.SFT) / "done.json").unlink()
    assert trainer("sft") == 0
    assert {path: path.stat().st_mtime_ns for path in shards.iterdir()} == before
