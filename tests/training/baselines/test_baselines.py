"""Each baseline on a small world where the right answer is known: a signal that a judge can see, and one it cannot.

In the visible world the small agent is right where the question says `easy`; in the hidden one a coin decides. A sound
baseline routes the first almost like the Oracle and does no better than the best single agent in the second.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from disrouter_training.baselines.automix import AutoMix, verified
from disrouter_training.baselines.encoder import Backbone, Recipe, Scratch
from disrouter_training.baselines.forc import Forc
from disrouter_training.baselines.frugalgpt import FrugalGpt, asked
from disrouter_training.baselines.graphrouter import GraphRouter
from disrouter_training.baselines.lexical import Boosted, Linear, surface
from disrouter_training.baselines.predictors import Predictors
from disrouter_training.baselines.routellm import RouteLlm, capable
from disrouter_training.baselines.text import Examples, TextModel, condenser, log_loss
from disrouter_training.baselines.training_data import Baseline, TrainingData
from disrouter_training.data.sources import Question
from disrouter_training.evaluation.evidence import Evidence, ModelSet, Split
from disrouter_training.evaluation.policies import best_single, oracle, single

MODELS = ModelSet(("small", "large"), np.array([0.1, 0.9]))
SIZES = {"train": 160, "dev": 80, "test": 80}
ALPHA = 0.5
INSTRUCTION = "Answer the question and give a final answer."
TASKS = (INSTRUCTION, "Solve the following problem.")


@dataclass(frozen=True)
class World:
    """Questions and who is right."""

    training_data: TrainingData

    @property
    def evidence(self) -> Evidence:
        own = {name: split for name, split in self.training_data.splits.items() if name != "train"}
        return Evidence(MODELS, own, {})

    def regret(self, baseline: Baseline, seed: int = 1) -> dict[str, float]:
        """Utility that the Oracle has over each of its rows on the test split."""
        scores = baseline.fit(self.training_data, seed)
        best = oracle(self.training_data.splits["test"], MODELS).utility(ALPHA).mean()
        routes = baseline.route(scores, self.evidence, "test", ALPHA, [0, 1])
        return {name: float(best - routed.utility(ALPHA).mean()) for name, routed in routes.items()}

    @property
    def regret_of_best_single(self) -> float:
        test = self.training_data.splits["test"]
        chosen = best_single(self.training_data.splits["dev"], MODELS, ALPHA)
        best = oracle(test, MODELS).utility(ALPHA).mean()
        return float(best - single(test, MODELS, chosen).utility(ALPHA).mean())


def world(*, visible: bool, seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    splits, replies, approval = {}, {}, {}
    for name, count in SIZES.items():
        easy = rng.random(count) < 0.5
        right = easy if visible else rng.random(count) < 0.5
        questions = tuple(_question(f"{name}{n}", bool(easy[n]), rng) for n in range(count))
        splits[name] = Split(name, questions, np.column_stack([right, np.ones(count, bool)]))
        # A reply shows whether it is right in the visible world, and says nothing in the other.
        told = right if visible else rng.random(count) < 0.5
        small = [f"The final answer is: {'sure' if sure else 'maybe'}." for sure in told]
        replies[name] = [small, ["The final answer is: sure."] * count]
        approval[name] = np.where(told, 0.9, 0.2).reshape(-1, 1)
    train = splits["train"].base.astype(float)
    samples = [list(zip(replies["train"][k], train[:, k].tolist(), strict=True)) for k in range(2)]
    return World(TrainingData(MODELS, splits, train, samples, 1, replies, {"asked": approval}))


def _question(name: str, easy: bool, rng: np.random.Generator) -> Question:
    person = " ".join(rng.choice(["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn"], 2))
    text = f"What is the {'easy' if easy else 'arduous'} thing of {person}?"
    return Question(id=name, question=text, answer="x", instruction=TASKS[int(rng.integers(2))])


@pytest.fixture(scope="module")
def worlds() -> dict[bool, World]:
    return {visible: world(visible=visible) for visible in (True, False)}


def baselines(of: World) -> Iterator[Baseline]:
    yield RouteLlm()
    yield FrugalGpt()
    yield AutoMix()
    yield Forc(Predictors().fit(of.training_data, 1))
    yield GraphRouter()


def test_every_baseline_finds_a_signal_that_can_be_seen(worlds: dict[bool, World]) -> None:
    visible = worlds[True]
    for baseline in baselines(visible):
        for name, regret in visible.regret(baseline).items():
            paid_twice = "all asked" in name or name == "AutoMix"
            limit = 0.05 + (0.1 if paid_twice else 0.0)
            assert regret < limit < visible.regret_of_best_single, name


def test_no_baseline_finds_a_signal_that_is_not_there(worlds: dict[bool, World]) -> None:
    hidden = worlds[False]
    for baseline in baselines(hidden):
        for name, regret in hidden.regret(baseline).items():
            assert regret > hidden.regret_of_best_single - 0.06, name


def test_the_same_seed_gives_the_same_scores(worlds: dict[bool, World]) -> None:
    one, two = (GraphRouter().fit(worlds[True].training_data, 3) for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_automix_pays_for_verifications_as_the_paper_does() -> None:
    """Its cost of 1.10: the 0.5B answers and verifies, the 14B answers."""
    assert verified(np.array([0.1, 0.9])).tolist() == pytest.approx([0.2, 1.1])
    assert asked(np.array([0.1, 0.2, 0.9])).tolist() == pytest.approx([0.1, 0.3, 1.2])


def test_automix_takes_the_verification_that_works(worlds: dict[bool, World]) -> None:
    training_data = worlds[True].training_data
    useless = {name: np.full_like(each, 0.5) for name, each in training_data.verified["asked"].items()}
    both = World(replace(training_data, verified={"asked": useless, "agreement": training_data.verified["asked"]}))
    assert both.regret(AutoMix()) == worlds[True].regret(AutoMix())


def test_routellms_classes_are_the_smallest_capable_agents() -> None:
    base = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    assert capable(base).tolist() == [[1, 1], [0, 1], [0, 0], [0, 0]]


def models() -> list[TextModel]:
    return [Linear(), Boosted(), Scratch(recipe=Recipe(epochs=4, batch=16, learning_rate=3e-3))]


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_a_text_model_predicts_each_output_from_the_text_and_the_same_with_the_same_seed(model: TextModel) -> None:
    rng = np.random.default_rng(0)
    texts = [f"{INSTRUCTION}\nWhat is {a} {sign} {b}?" for a, sign, b in _sums(rng, 300)]
    targets = np.array([[float("+" in text), 0.9 if len(text) > len(INSTRUCTION) + 15 else 0.1] for text in texts])
    examples = Examples(texts[:240], targets[:240], texts[240:270], targets[240:270])
    found = model.fit(examples, 1)(texts[270:])
    assert found.shape == (30, 2)
    assert np.mean((found[:, 0] > 0.5) == (targets[270:, 0] > 0.5)) > 0.9
    assert np.array_equal(found, model.fit(examples, 1)(texts[270:]))
    constant = np.broadcast_to(targets.mean(axis=0), found.shape)
    assert log_loss(found, targets[270:]) < log_loss(constant, targets[270:])


def _sums(rng: np.random.Generator, count: int) -> list[tuple[int, str, int]]:
    return [
        (int(10 ** rng.integers(1, 5)), str(rng.choice(["+", "*"])), int(10 ** rng.integers(1, 5)))
        for _ in range(count)
    ]


def test_a_text_model_that_saw_one_class_says_so() -> None:
    texts, targets = [f"word {n}" for n in range(20)], np.ones((20, 1))
    for model in (Linear(), Boosted()):
        assert model.fit(Examples(texts, targets, texts, targets), 1)(["another"]).tolist() == [[1.0]]


def test_lines_that_many_texts_share_are_named_and_others_kept() -> None:
    texts = [f"{INSTRUCTION}\nWho is number {n}?" for n in range(50)]
    condense = condenser(texts)
    assert condense([texts[7], "Who?\nme"]) == ["#A0\nWho is number 7?", "Who?\nme"]


def test_the_surface_of_a_text_counts_words_and_digits() -> None:
    plain, numbers = surface(["Who is Ada", "12 + 345 = ?"])
    assert (plain[1], plain[5]) == (3, 0)
    assert (numbers[5], numbers[6], numbers[7]) == (2, 5, 3)


def test_a_judge_can_start_from_a_language_model(volumes: object) -> None:
    from pathlib import Path

    assert isinstance(volumes, Path)
    texts = [f"Which colour is {'rare ' if n % 2 else ''}thing{n:02d}?" for n in range(60)]
    targets = np.array([[float(n % 2)] for n in range(60)])
    model = Backbone(str(volumes / "models" / "tiny"), recipe=Recipe(epochs=10, batch=16, learning_rate=3e-3))
    predict = model.fit(Examples(texts[:40], targets[:40], texts[40:50], targets[40:50]), 1)
    assert np.mean((predict(texts[50:])[:, 0] > 0.5) == (targets[50:, 0] > 0.5)) == 1
