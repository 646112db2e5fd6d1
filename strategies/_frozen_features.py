"""Classifiers that answer from statistics of features which no longer move."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import TaskData, sent
from clbench.errors import UserError
from clbench.strategy import Learner, evaluating, has_heads

from ._between import BetweenStages
from ._passes import KeepsFeatures, features_seen

First = Literal["train", "frozen"]
BATCH = 1024
BLOCK = 4096  # samples whose float64 features are in memory at a time
UNSEEN = -torch.inf


class FrozenFeatures(KeepsFeatures):
    """Base of methods that freeze the network, after its first stage or at once, and answer in its classifier's place.

    Each stage's samples then pass once through the network in evaluation mode, and ``learn`` takes their features in.
    A class is a row of the statistics: its label, behind those of earlier heads where each task has a head of its own;
    then a task's samples are answered among its own classes. Until a class is known the network answers. Data that a
    stage shows again (a class that comes back, a stream that grows) go on with the statistics.
    """

    exclusive = "answers from statistics of frozen features"
    rewrites = True

    def __init__(self, first: First) -> None:
        super().__init__()
        self.first = first
        self.counts = torch.zeros(0, dtype=torch.int64)  # samples of each row so far
        self.fingerprint: Tensor | None = None  # of the backbone since it is frozen

    @abstractmethod
    def learn(self, learner: Learner, features: Tensor, rows: Tensor) -> None:
        """Take a stage's features [n, d], float32, in; ``rows`` [n] are their classes, which ``counts`` has already."""

    @abstractmethod
    def scores(self, features: Tensor, rows: slice) -> Tensor:
        """Return how well features [n, d] fit each of some rows: [n, rows], greatest is the answer."""

    def repeats(self) -> bool:
        """They do: in training nobody looks at features."""
        return True

    def before_training(self, learner: Learner, **kwargs: Any) -> None:
        """Refuse what would move the features between stages."""
        plugins: list[Any] = getattr(learner, "plugins", [])
        moving = next((plugin for plugin in plugins if isinstance(plugin, BetweenStages)), None)
        if moving is not None:
            raise _moved(f"'{moving.method}' changes the network before later stages")

    def stage_epochs(self, learner: Learner) -> int | None:
        """The run's in the first stage, if that trains; then none."""
        return None if learner.stage == 0 and self.first == "train" else 0

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Refuse to go on where another part trains a network that is frozen."""
        if self.fingerprint is not None:
            raise _moved("another part trains the network in later stages too")

    @torch.no_grad()
    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take the stage's features in."""
        backbone: Any = learner.model.backbone
        found = fingerprint(backbone)
        if self.fingerprint is not None and not torch.equal(found, self.fingerprint):
            raise _moved("another part has changed the network since")
        self.fingerprint = found
        data = learner.data
        labels, heads = data.told
        rows = labels + _outputs(learner.model) * heads
        known = sent(rows.bincount(minlength=len(self.counts)), learner.device)
        known[: len(self.counts)] += self.counts.to(known)
        self.counts = known
        self.learn(learner, features_of(learner, data), sent(rows, learner.device))

    def before_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Watch the features that the network computes anyway."""
        self.watch(learner.model)

    def after_eval(self, learner: Learner, **kwargs: Any) -> None:
        """No more."""
        self.unwatch()

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put the scores in the place of the network's logits."""
        logits, outputs = learner.mb_output, _outputs(learner.model)
        head = learner.heads if outputs else 0
        assert isinstance(head, int)  # a task has one head
        rows = slice(head * outputs, (head + 1) * outputs) if outputs else slice(len(self.counts))
        seen = self.counts[rows] > 0
        if len(seen):
            assert self.features is not None
            scores = self.scores(self.features.float(), rows).masked_fill(~seen, UNSEEN)
            scores = functional.pad(scores, (0, logits.shape[1] - len(seen)), value=UNSEEN)
            learner.mb_output = torch.where(seen.any(), scores, logits)


def _outputs(model: nn.Module) -> int:
    """Classes of the largest head where each task has one; 0 where one classifier knows all."""
    outputs: Any = model.outputs if has_heads(model) else 0
    return int(outputs)


def _moved(how: str) -> UserError:
    return UserError(
        f"strategy: features that are frozen after the first stage must stay as they are, and {how}. Compose with what "
        "acts while the first stage trains, for instance l2-init or orthogonal, or take that part out."
    )


def fingerprint(module: nn.Module) -> Tensor:
    """Return a few numbers that change when the values of a module's weights or statistics do."""
    found = [value.detach().double() for value in (*module.parameters(), *module.buffers())]
    sums = [value.sum() for value in found] + [value.square().sum() for value in found]
    return torch.stack(sums) if sums else torch.empty(0)


@torch.no_grad()
def features_of(learner: Learner, data: TaskData) -> Tensor:
    """Pass samples once through the network as it is evaluated: their features [n, d], float32."""
    with evaluating(learner.model), features_seen(learner.model) as found:
        for x, _, heads in data.batches(BATCH):
            learner.logits(x, data.shared(heads))
    return torch.cat(found)


def blocks(features: Tensor, rows: Tensor, count: int, size: int = BLOCK) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features [b, d] and one-hot rows [b, count], float64, some samples at a time.

    Sums over a class are products with the latter: on a GPU these are the same each time, where ``index_add`` is not.
    """
    for part, own in zip(features.split(size), rows.split(size), strict=True):
        yield part.double(), functional.one_hot(own, count).double()


class Expansion:
    """Random features relu(f·W), W ~ N(0, scale²) of [d, units]: the same for every order of a run's classes."""

    def __init__(self, features: Tensor, units: int, random: torch.Generator, scale: float = 1.0) -> None:
        drawn = torch.randn(features.shape[1], units, generator=random)
        self.weights = (scale * drawn).to(features.device)

    def __call__(self, features: Tensor) -> Tensor:
        """Expand features [n, d] to [n, units]."""
        return (features @ self.weights).relu()
