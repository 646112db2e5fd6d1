"""The model of warm starts of DASH: features are learnt, noise is memorised.

Shin et al. 2024 (arXiv:2410.23495), section 3. A point has each of its class's features with that feature's frequency,
and noise of its own. Training learns the feature that most points have which are not yet classified, as long as γ of
them have it; then it memorises the noise of the points that are left. A point is classified once τ of its features are
learnt, or its noise is memorised. How often each feature occurs is our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Start = Literal["cold", "warm", "ideal"]
STARTS: tuple[Start, ...] = ("cold", "warm", "ideal")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FeatureModel:
    """Classes, features per class and points per round; γ and τ; frequencies fall evenly from first to last."""

    classes: int = 2
    features: int = 50
    points: int = 1000
    gamma: int = 50
    tau: int = 3
    most_frequent: float = 0.2
    least_frequent: float = 0.01

    @property
    def frequencies(self) -> Array:
        """Of each feature of a class."""
        return np.linspace(self.most_frequent, self.least_frequent, self.features)

    def draw(self, count: int, random: np.random.Generator) -> tuple[Array, Array]:
        """Draw points: which features of its class each has [count, features], and their classes."""
        return random.random((count, self.features)) < self.frequencies, random.integers(0, self.classes, count)


@dataclass(frozen=True)
class Round:
    """What is known after a round: exact accuracy on new points, features learnt, points memorised, steps it took."""

    accuracy: float
    learnt: int
    memorised: int
    steps: int


def simulate(model: FeatureModel, start: Start, rounds: int, seed: int) -> Iterator[Round]:
    """Yield the rounds of one way to start: each adds points and trains on all so far until every one is classified.

    cold forgets everything before a round; warm nothing; ideal forgets the memorised noise and keeps the features.
    """
    random = np.random.default_rng(seed)
    has, labels = np.zeros((0, model.features), bool), np.zeros(0, np.int64)
    memorised = np.zeros(0, bool)
    learnt = np.zeros((model.classes, model.features), bool)
    for _ in range(rounds):
        points, classes = model.draw(model.points, random)
        has, labels = np.concatenate([has, points]), np.concatenate([labels, classes])
        memorised = np.concatenate([memorised, np.zeros(len(points), bool)])
        if start == "cold":
            learnt[:] = False
        if start != "warm":
            memorised[:] = False
        steps = 0
        for label in range(model.classes):
            mine = labels == label
            steps += _train(model, has[mine], learnt[label], waiting := ~memorised[mine])
            memorised[mine] |= waiting
        yield Round(accuracy(model, learnt), int(learnt.sum()), int(memorised.sum()), steps)


def _train(model: FeatureModel, has: Array, learnt: Array, waiting: Array) -> int:
    """Learn features of one class, most frequent first; leave the points to memorise in ``waiting``; count steps."""
    known = has[:, learnt].sum(1)
    waiting &= known < model.tau
    steps = 0
    while waiting.any():
        steps += 1
        counts = np.where(learnt, 0, has[waiting].sum(0))
        best = int(counts.argmax())
        if counts[best] < model.gamma:
            break  # this last step memorises them
        learnt[best] = True
        known += has[:, best]
        waiting &= known < model.tau
    return steps


def accuracy(model: FeatureModel, learnt: Array) -> float:
    """Exact share of new points that are classified: those with τ learnt features, and by chance some of the rest."""
    shares = []
    for mask in learnt:
        # distribution of the number of learnt features, counted up to τ (Poisson binomial)
        counts = np.zeros(model.tau + 1)
        counts[0] = 1.0
        for p in model.frequencies[mask]:
            moved = counts * p
            moved[-1] = 0.0
            counts = counts - moved + np.concatenate([[0.0], moved[:-1]])
        shares.append(counts[-1] + (1 - counts[-1]) / model.classes)
    return float(np.mean(shares))
