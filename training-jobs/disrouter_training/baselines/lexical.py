"""Text models of scikit-learn: words and characters, linear or boosted.

Difficulty that can be read off a text (its length, its numbers) is given to both as numbers of its own, so that no
predictor is blind to what a person would see at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from disrouter_training.baselines.text import Examples, Predict, condenser, log_loss
from disrouter_training.evaluation.evidence import Floats

STRENGTHS = (0.03, 0.3, 3.0)
"""Inverse strengths of regularisation that are tried on dev."""
DENSE = 24
"""Dimensions of the words for boosting."""
MAX_WORDS, MAX_CHARACTERS = 20_000, 40_000
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")


def surface(texts: Sequence[str]) -> Floats:
    """What shows on the surface of a text, [texts, 10]."""
    return np.array([_surface(text) for text in texts], float)


def _surface(text: str) -> list[float]:
    words, numbers = _WORD.findall(text), _NUMBER.findall(text)
    last = words[-1] if words else ""
    return [
        len(text),
        len(words),
        max(map(len, words), default=0),
        len(last),
        len(set(last)),
        len(numbers),
        sum(map(len, numbers)),
        max(map(len, numbers), default=0),
        min(map(len, numbers), default=0),
        sum(not (c.isalnum() or c.isspace()) for c in text),
    ]


def _features(texts: Sequence[str]) -> Callable[[Sequence[str]], Any]:
    """TF-IDF of words and of characters, and the surface, as one sparse matrix; lines that many share are one word."""
    condense = condenser(texts)
    words = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True, max_features=MAX_WORDS
    )
    characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True, max_features=MAX_CHARACTERS)
    shown = make_pipeline(FunctionTransformer(surface), StandardScaler())
    union = make_union(words, characters, shown).fit(condense(texts))
    return lambda each: union.transform(condense(each))


@dataclass(frozen=True)
class Linear:
    """Logistic regression; for each output the regularisation that is best on dev."""

    name: str = "words, linear"

    def fit(self, examples: Examples, seed: int) -> Predict:
        features = _features(examples.texts)
        train, dev = features(examples.texts), features(examples.dev_texts)
        outputs = []
        for target, wanted in zip(examples.targets.T, examples.dev_targets.T, strict=True):
            fitted = [_linear(train, target, strength, seed) for strength in STRENGTHS]
            outputs.append(min(fitted, key=lambda each: log_loss(_chance(each, dev), wanted)))

        def predict(texts: Sequence[str]) -> Floats:
            x = features(texts)
            return np.column_stack([_chance(each, x) for each in outputs])

        return predict


@dataclass(frozen=True)
class Boosted:
    """Gradient boosting over condensed words and the surface."""

    name: str = "words, boosted"

    def fit(self, examples: Examples, seed: int) -> Predict:
        features = _features(examples.texts)
        train = features(examples.texts)
        svd = TruncatedSVD(max(1, min(DENSE, train.shape[1] - 1, train.shape[0] - 1)), random_state=seed).fit(train)

        def dense(texts: Sequence[str]) -> Floats:
            return np.hstack([svd.transform(features(texts)), surface(texts)])

        x = dense(examples.texts)
        outputs = [_boosted(x, target, seed) for target in examples.targets.T]

        def predict(texts: Sequence[str]) -> Floats:
            own = dense(texts)
            return np.column_stack([_chance(each, own) for each in outputs])

        return predict


def _linear(x: Any, target: Floats, strength: float, seed: int) -> Any:
    rows, labels, weights = _weighted(target)
    if len(set(labels.tolist())) < 2:
        return float(labels[0])
    model = LogisticRegression(C=strength, solver="liblinear", random_state=seed)
    return model.fit(x[rows], labels, sample_weight=weights)


def _boosted(x: Floats, target: Floats, seed: int) -> Any:
    rows, labels, weights = _weighted(target)
    if len(set(labels.tolist())) < 2:
        return float(labels[0])
    model = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=12, l2_regularization=1.0, random_state=seed
    )
    return model.fit(x[rows], labels, sample_weight=weights)


def _weighted(target: Floats) -> tuple[Any, Any, Floats]:
    """A target between 0 and 1 is the row twice: right with that weight, wrong with the rest."""
    rows = np.arange(len(target))
    both = np.concatenate([rows, rows])
    labels = np.concatenate([np.ones(len(rows), int), np.zeros(len(rows), int)])
    weights = np.concatenate([target, 1 - target])
    kept = weights > 0
    return both[kept], labels[kept], weights[kept]


def _chance(model: Any, x: Any) -> Floats:
    """A constant where training saw one class only."""
    if isinstance(model, float):
        return np.full(x.shape[0], model)
    return np.asarray(model.predict_proba(x)[:, 1], float)
