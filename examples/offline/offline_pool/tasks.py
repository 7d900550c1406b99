"""Surface families: computations whose difficulty shows in the question (how many digits, how many letters)."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from offline_pool import texts
from offline_pool.world import Example

Solved = tuple[str, str, str]
"""Question, worked steps, answer."""


def _number(rng: random.Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def _add(rng: random.Random, digits: int) -> Solved:
    a, b = _number(rng, digits), _number(rng, digits)
    steps, carry = [], 0
    for x, y in zip(reversed(str(a)), reversed(str(b)), strict=True):
        total = int(x) + int(y) + carry
        steps.append(f"{x}+{y}+{carry}={total}")
        carry = total // 10
    return f"{a}+{b}=?", ",".join(steps), str(a + b)


def _subtract(rng: random.Random, digits: int) -> Solved:
    b, a = sorted((_number(rng, digits), _number(rng, digits)))
    steps, borrow = [], 0
    for x, y in zip(reversed(str(a)), reversed(str(b).zfill(len(str(a)))), strict=True):
        rest = int(x) - int(y) - borrow
        steps.append(f"{x}-{y}-{borrow}={rest % 10}")
        borrow = int(rest < 0)
    return f"{a}-{b}=?", ",".join(steps), str(a - b)


def _multiply(rng: random.Random, digits: int) -> Solved:
    a, b = _number(rng, digits), rng.randint(2, 9)
    steps, carry = [], 0
    for x in reversed(str(a)):
        total = int(x) * b + carry
        steps.append(f"{x}*{b}+{carry}={total}")
        carry = total // 10
    return f"{a}*{b}=?", ",".join(steps), str(a * b)


def _reverse(rng: random.Random, length: int) -> Solved:
    letters = "".join(rng.choice("abcdefghij") for _ in range(length))
    return f"Reverse: {letters}", ",".join(letters[::-1]), letters[::-1]


def _sort(rng: random.Random, length: int) -> Solved:
    letters = rng.sample("abcdefghijklmnopqrst", length)
    return f"Sort: {''.join(letters)}", ",".join(sorted(letters)), "".join(sorted(letters))


def _count(rng: random.Random, length: int) -> Solved:
    letters, wanted = "".join(rng.choice("abc") for _ in range(length)), rng.choice("abc")
    steps = [f"{letter}{letters[: i + 1].count(wanted)}" for i, letter in enumerate(letters)]
    return f"How many {wanted} in {letters}", ",".join(steps), str(letters.count(wanted))


def _next(rng: random.Random, length: int) -> Solved:
    letters = "".join(rng.choice("abcdefghij") for _ in range(length))
    after = [chr(ord(letter) + 1) for letter in letters]
    return f"Next letters: {letters}", ",".join(map("".join, zip(letters, after, strict=True))), "".join(after)


@dataclass(frozen=True)
class Task:
    """A surface family. Problems have `low` to `high` digits or letters in pretraining; questions go to `asked`."""

    instruction: str
    solve: Callable[[random.Random, int], Solved]
    low: int
    high: int
    asked: int


TASKS: Final[dict[str, Task]] = {
    "add": Task(texts.MATH, _add, 1, 3, 2),
    "subtract": Task(texts.MATH, _subtract, 1, 3, 2),
    "multiply": Task(texts.MATH, _multiply, 1, 3, 2),
    "reverse": Task(texts.LIST, _reverse, 2, 7, 5),
    "sort": Task(texts.LIST, _sort, 2, 7, 5),
    "count": Task(texts.LIST, _count, 2, 6, 5),
    "next": Task(texts.LIST, _next, 2, 7, 4),
}
PHRASES: Final = ("Reverse: ", "Sort: ", "Next letters: ", "How many ", " in ")


def surface_example(family: str, rng: random.Random, size: int) -> Example:
    """A random problem of the given size; its difficulty is the size."""
    task = TASKS[family]
    question, thinking, answer = task.solve(rng, size)
    return Example(family, "surface", task.instruction, question, thinking, answer, size)
