"""The extraction step of Appendix C: a larger model takes replies apart into thinking and final answer.

Without `sft.extraction` markers do it (`template.py`), which is enough for models that end as they are asked to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from disrouter.artifacts import Extraction, Stage
from disrouter.refusal import REFUSAL
from disrouter_training.data.correctness import canonical
from disrouter_training.data.shards import Row, missing, parted, run_shards
from disrouter_training.data.sources import Question
from disrouter_training.data.standard_form import as_template
from disrouter_training.data.template import Parts
from disrouter_training.generation.engines import Generator, chosen, open_generator
from disrouter_training.generation.prompts import Prompt
from disrouter_training.generation.transformers_generator import Told, greedy
from disrouter_training.job import Job
from disrouter_training.models.loading import release_memory
from disrouter_training.process.places import resolve
from disrouter_training.training.sft_examples import Example

PROMPT = (
    "There is a question and the corresponding output from a model. I would now like you to help me extract the "
    "reasoning part and the final answer from the model’s output. Please note that only the reasoning part and the "
    "final answer is needed, and any other content should be excluded, and do not generate any other prefix or suffix. "
    "Use the following template to reply: The Extracted Reasoning Parts: <>. The Extracted Final Answer: <>. Now, "
    "start the task: Input Question:\n{question}.\n Model Output:{output} . The content you extracted:"
)
"""Table 9, verbatim."""
FOLDER = "extracted"
_REPLY = re.compile(
    r"The Extracted Reasoning Parts:\s*(.*?)\s*The Extracted Final Answer:\s*(.*?)\s*", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class Extracted:
    """Examples in the Answer template, and how they came to it."""

    examples: list[Example]
    by_model: int
    by_markers: int

    def summary(self) -> dict[str, int]:
        """For `done.json`: distinct replies."""
        return {"byModel": self.by_model, "byMarkers": self.by_markers}


def prompt(question: str, output: str) -> Prompt:
    """What the extraction model is asked."""
    head, _, rest = PROMPT.partition("{question}")
    middle, _, tail = rest.partition("{output}")
    return Prompt([{"role": "user", "content": f"{head}{question}{middle}{output}{tail}"}])


def parse(reply: str) -> Parts | None:
    """What it extracted; None where it did not keep to its template."""
    match = _REPLY.fullmatch(reply.strip())
    parts = Parts(*(_bare(part) for part in match.groups())) if match else None
    return parts if parts and parts.final else None


def extract(job: Job, config: Extraction, examples: Sequence[Example]) -> Extracted:
    """Put raw answers of examples into the template, going on with the shards that an earlier start left."""
    texts: dict[tuple[str, str], Question] = {}
    for example in examples:
        if _is_answer(example):
            texts.setdefault((example.question.id, example.reply), example.question)
    raw: dict[str, str] = {}
    tasks = []
    for number, ((identity, reply), question) in enumerate(texts.items()):
        tasks.append(question.model_copy(update={"id": f"{identity}#{number}"}))
        raw[tasks[-1].id] = reply
    replies = _replies(job, config, tasks, raw)
    return standardise(examples, {(task.id.rpartition("#")[0], raw[task.id]): replies[task.id] for task in tasks})


def standardise(examples: Sequence[Example], replies: Mapping[tuple[str, str], str]) -> Extracted:
    """Pure: `replies` of the extraction model by question id and raw answer. What it spoils, markers take apart."""
    done: dict[tuple[str, str], tuple[str, bool]] = {}
    out: list[Example] = []
    for example in examples:
        if not _is_answer(example):
            out.append(example)
            continue
        key = (example.question.id, example.reply)
        if key not in done:
            done[key] = _templated(example, replies[key])
        out.append(replace(example, reply=done[key][0]))
    by_model = sum(ours for _, ours in done.values())
    return Extracted(out, by_model, len(done) - by_model)


def _templated(example: Example, reply: str) -> tuple[str, bool]:
    """In the template, and whether by the model: only an answer that is still right is worth learning."""
    parts = parse(reply)
    if parts is not None:
        final = canonical(example.question, parts.filled)
        if final is not None:
            return Parts(parts.thinking, final).filled, True
    text_by_markers = as_template(example.question, example.reply)
    assert text_by_markers is not None, "only a right reply is put into the template"
    return text_by_markers, False


def _replies(job: Job, config: Extraction, tasks: Sequence[Question], raw: Mapping[str, str]) -> dict[str, str]:
    tokens = 2 * job.config.collect.max_new_tokens
    sampling = greedy(job.config.collect, tokens=tokens)
    folder = job.folder(Stage.SFT) / FOLDER
    shards = parted(tasks, sampling.prompts_at_once, [folder])
    progress = job.progress(Stage.SFT, "extractions", len(shards))
    progress.resume(len(shards) - len(missing(folder, shards)))
    prompts = {task.id: prompt(task.user, raw[task.id]) for task in tasks}
    generator = _Lazily(lambda: _open(job, config, list(prompts.values()), tokens, progress.within))

    def work(part: Sequence[Question], number: int) -> list[Row]:
        texts_of = generator.get().replies([prompts[task.id] for task in part], sampling, job.seed("extract", number))
        return [{"id": task.id, "reply": texts[0]} for task, texts in zip(part, texts_of, strict=True)]

    rows = run_shards(folder, shards, work, progress, len)
    generator.close()
    return {row["id"]: row["reply"] for row in rows}


def _open(job: Job, config: Extraction, prompts: Sequence[Prompt], tokens: int, told: Told) -> Generator:
    engine = chosen(job.config.collect.engine, "collect.engine")
    return open_generator(resolve(config.model, job.pvc_root), engine, prompts, tokens, job.stop, told=told)


class _Lazily:
    """A generator that is loaded when the first shard is missing, and not before."""

    def __init__(self, open_it: Callable[[], Generator]) -> None:
        self._open = open_it
        self._generator: Generator | None = None

    def get(self) -> Generator:
        self._generator = self._generator or self._open()
        return self._generator

    def close(self) -> None:
        """Let go of the model: the one that is trained next needs the memory."""
        self._generator = None
        release_memory()


def _is_answer(example: Example) -> bool:
    return example.asked is not None and example.reply != REFUSAL


def _bare(part: str) -> str:
    """Without the template's full stop and angle brackets."""
    part = part.strip().removesuffix(".").strip()
    return part[1:-1].strip() if part.startswith("<") and part.endswith(">") else part
