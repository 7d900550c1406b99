"""The ten datasets of the paper (section 4.1) with their prompts (Table 12), by Hub id.

Seven train and test in domain, SQuAD, HellaSwag and HeadQA test out of domain. Splits are named in the manifest:
`train` by default, `test` to judge by, `validation` where there is no test or its answers are hidden.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Sequence

from disrouter_training.data.graders import SEPARATOR
from disrouter_training.data.sources.convert import PARQUET_COPY, Fields, Filtered, Row, Unusable, converter

_ONE_OF = "The final answer must be one of: [A, B, C, D] without any prefix or suffix."
_SCIENCE = "Choose the most reasonable answer based on scientific reasoning and give a final answer. " + _ONE_OF
_MULTIPLE = (
    "Choose the most reasonable answer of the multiple choice question based on scientific reasoning and give a final "
    "answer. " + _ONE_OF
)


@converter("openai/gsm8k", config="main")
def gsm8k(row: Row) -> Fields:
    """The number behind `####` of the worked solution (Cobbe et al., 2021)."""
    _, mark, result = str(row["answer"]).rpartition("####")
    if not mark:
        raise Unusable("answer: no result behind `####`")
    instruction = "Given the following math problem, reason and give a final answer to the problem."
    return {"instruction": instruction, "question": row["question"], "answer": result.strip(), "grader": "number"}


@converter("allenai/ai2_arc", config="ARC-Challenge")
def arc(row: Row) -> Fields:
    """Grade-school science (Clark et al., 2018); some rows number their choices 1 to 4."""
    labels, texts = row["choices"]["label"], row["choices"]["text"]
    return {"id": row["id"], **_choice(_SCIENCE, row["question"], texts, _index(row["answerKey"], labels))}


@converter("cais/mmlu", config="all", split="auxiliary_train")
def mmlu(row: Row) -> Fields:
    """Fifty-seven subjects (Hendrycks et al., 2020). Without a `train`; `auxiliary_train` is other datasets'."""
    return {"family": row.get("subject"), **_choice(_MULTIPLE, row["question"], row["choices"], row["answer"])}


@converter("ehovy/race", config="high")
def race(row: Row) -> Fields:
    """High-school reading comprehension (Lai et al., 2017). Several questions share an `example_id`."""
    instruction = (
        "Read the following passage carefully, choose the most suitable answer for the multiple-choice question based "
        "on commonsense reasoning and give a final answer. " + _ONE_OF
    )
    question = f"Passage: {row['article']}\nQuestion: {row['question']}"
    fields = _choice(instruction, question, row["options"], _index(row["answer"], string.ascii_uppercase))
    return {"passage": _mark(row["article"]), **fields}


@converter("allenai/openbookqa", config="main")
def openbookqa(row: Row) -> Fields:
    """Elementary science facts in new situations (Mihaylov et al., 2018)."""
    instruction = (
        "Use both common sense and basic science knowledge to choose the best answer to the multiple-choice question. "
        "The final answer must be the one of: [A, B, C, D] without any prefix or suffix."
    )
    labels, texts = row["choices"]["label"], row["choices"]["text"]
    return {"id": row["id"], **_choice(instruction, row["question_stem"], texts, _index(row["answerKey"], labels))}


@converter("ucinlp/drop")
def drop(row: Row) -> Fields:
    """Discrete reasoning over paragraphs (Dua et al., 2019). Answers of several spans are left out: no one text."""
    spans = list(row["answers_spans"]["spans"])
    kinds = set(row["answers_spans"].get("types") or ())
    if not spans:
        raise Unusable("answers_spans: no answer")
    if "spans" in kinds or (len(set(spans)) > 1 and kinds != {"span"}):
        raise Filtered("its answer is several spans at once")
    return {
        "id": row["query_id"],
        "instruction": "Read the following passage carefully and answer the question. "
        "You should give the final answer without any prefix or suffix.",
        "question": f"Passage: {row['passage']}\nQuestion: {row['question']}",
        "answer": _any_of(spans),
        "grader": "number" if kinds == {"number"} else "span",
        "passage": _mark(row["passage"]),
    }


@converter("allenai/cosmos_qa", revision=PARQUET_COPY)
def cosmosqa(row: Row) -> Fields:
    """Commonsense reading comprehension (Huang et al., 2019). Test labels are hidden: use `validation`."""
    if int(row["label"]) < 0:
        raise Unusable("label: hidden; use the split validation")
    instruction = (
        "Read the given passage and choose the most plausible answer to the question based on context and common sense "
        "reasoning. " + _ONE_OF
    )
    question = f"Passage: {row['context']}\nQuestion: {row['question']}"
    fields = _choice(instruction, question, [row[f"answer{k}"] for k in range(4)], row["label"])
    return {"id": row["id"], "passage": _mark(row["context"]), **fields}


@converter("rajpurkar/squad_v2")
def squad(row: Row) -> Fields:
    """Answerable questions on Wikipedia passages (Rajpurkar et al., 2018)."""
    answers = list(row["answers"]["text"])
    if not answers:
        raise Filtered("the passage does not answer it")
    return {
        "id": row["id"],
        "instruction": "Answer the questions based on the provided context. Your response must follow the format "
        "requirement. The final answer must be the direct answer to the problem without any prefix or suffix.",
        "question": f"Context: {row['context']}\nQuestion: {row['question']}",
        "answer": _any_of(answers),
        "grader": "span",
        "passage": _mark(row["context"]),
    }


@converter("Rowan/hellaswag")
def hellaswag(row: Row) -> Fields:
    """The likeliest continuation (Zellers et al., 2019). Test labels are hidden: use `validation`."""
    if row["label"] in ("", None):
        raise Unusable("label: hidden; use the split validation")
    instruction = (
        "Choose the most reasonable continuation for the given text, reason and give a final answer. " + _ONE_OF
    )
    return {"family": row.get("activity_label"), **_choice(instruction, row["ctx"], row["endings"], int(row["label"]))}


@converter("dvilares/head_qa", config="en", revision=PARQUET_COPY)
def headqa(row: Row) -> Fields:
    """Exams of the Spanish healthcare system (Vilares and Gomez-Rodriguez, 2019); `ra` counts from 1."""
    answers = sorted(row["answers"], key=lambda answer: int(answer["aid"]))
    place = next((k for k, answer in enumerate(answers) if int(answer["aid"]) == int(row["ra"])), -1)
    fields = _choice(_MULTIPLE, row["qtext"], [answer["atext"] for answer in answers], place)
    return {"family": row.get("category"), **fields}


def _choice(instruction: str, question: str, options: Sequence[str], right: int) -> Fields:
    """A multiple choice with lettered lines. Raises Unusable where there is no right one among them."""
    if not 2 <= len(options) <= len(string.ascii_uppercase):
        raise Unusable(f"{len(options)} options are no choice")
    if not 0 <= right < len(options):
        raise Unusable(f"the right answer is number {right} of {len(options)}")
    lines = [f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False)]
    letters = ", ".join(string.ascii_uppercase[: len(options)])
    return {
        "instruction": instruction.replace("[A, B, C, D]", f"[{letters}]"),
        "question": "\n".join([question, *lines]),
        "answer": string.ascii_uppercase[right],
        "grader": "choice",
    }


def _index(label: str, labels: Sequence[str]) -> int:
    """Place of a label. Raises Unusable where it is none of them."""
    if label not in labels:
        raise Unusable(f"the right answer {str(label)[:20]!r} is none of {', '.join(labels)}")
    return list(labels).index(label)


def _any_of(answers: Sequence[str]) -> str:
    return SEPARATOR.join(dict.fromkeys(answer.strip() for answer in answers))


def _mark(passage: str) -> str:
    """Of a text, what is enough to know it again: a hash, since every question of a dataset is held in memory."""
    return hashlib.sha256(passage.strip().encode()).hexdigest()[:16]
