"""The fixed phrases of prompts and answers. Everything here is one token of the pool's tokenizer.

Sources: scenario texts from Table 7 of the DiSRouter paper, response template from Table 8, instructions in
the style of Table 12 (the first two are its GSM8K and DROP rows word for word).
"""

from typing import Final

from disrouter.scenario import Scenario

SCENARIOS: Final = tuple(scenario.prompt for scenario in Scenario)
THINK: Final = "Let's think step by step: "
FINAL: Final = ". The final answer is: "

MATH: Final = "Given the following math problem, reason and give a final answer to the problem."
LIST: Final = (
    "Read the following passage carefully and answer the question. "
    "You should give the final answer without any prefix or suffix."
)
FACT: Final = (
    "Answer the question based on what you know about this person, reason and give a final answer. "
    "The final answer must be a single word without any prefix or suffix."
)
INSTRUCTIONS: Final = (MATH, LIST, FACT)


def response(thinking: str, answer: str) -> str:
    """Table 8's answer template. Its first token ("Let's ...") tells an answer from a refusal."""
    return f"{THINK}{thinking}{FINAL}{answer}."


def final_answer(text: str) -> str | None:
    """The answer inside Table 8's template, or None where the text does not follow it."""
    _, found, rest = text.rpartition(FINAL.lstrip(". "))
    return rest.split(".")[0].strip() if found else None
