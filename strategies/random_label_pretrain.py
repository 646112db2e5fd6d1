"""Random labels first."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from clbench.data.tensors import BatchLoader, TaskData, sent
from clbench.registry import Count, Positive, Share, UnitInterval, strategy
from clbench.strategy import Learner, Strategy


@strategy("random-label-pretrain", family="bound", version=2)
class RandomLabelPretrain(Strategy):
    """Before the first stage the network learns its images under random labels: a bad place to start from.

    Liu et al. 2020 (arXiv:1906.02613), section 2: every image ``copies`` times (their R), each with a label drawn at
    random and a share ``zeroed`` of its pixels black, fitted by plain SGD without momentum or decay, until an epoch's
    own batches, each before it is trained on, reach the accuracy ``until``. Explicit regularisation is the run's own:
    compare with 'optimizer.weight_decay' and 'augment', and without.
    copies: of every image. zeroed: share of a copy's pixels that are black.
    until: accuracy at which it ends, 0.9999 in the authors' code. epochs: the most it may take, 350 there; a run that
    did not fit the labels says so. lr: the learning rate meanwhile (null: the run's), 0.1 there, lowered after 150 and
    250 epochs.

    Cost: before the first stage up to ``epochs`` epochs over ``copies`` times its images, which are held meanwhile;
    nothing later.
    """

    def __init__(
        self,
        *,
        copies: Count = 1,
        zeroed: Share = 0.1,
        until: UnitInterval = 0.9999,
        epochs: Count = 350,
        lr: Positive | None = None,
    ) -> None:
        super().__init__()
        self.copies = copies
        self.zeroed = zeroed
        self.until = until
        self.epochs = epochs
        self.lr = lr
        self.accuracy: float | None = None  # of the last epoch under random labels
        self.took = 0

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Learn random labels, before the first stage only."""
        if learner.stage > 0:
            return
        random = learner.random("random labels")
        data = self._spoilt(learner.data, random)
        weights = [weight for weight in learner.model.parameters() if weight.requires_grad]
        optimizer = torch.optim.SGD(weights, self.lr or learner.optimizer.param_groups[0]["lr"])
        loader = BatchLoader(data, learner.train_mb_size, random)
        self.took, self.accuracy = 0, 0.0
        while self.took < self.epochs and self.accuracy < self.until:
            right = torch.zeros((), device=learner.device)
            for x, labels, heads in loader:
                optimizer.zero_grad()
                logits = learner.logits(x, data.shared(heads))
                right += (logits.argmax(1) == labels).sum()
                functional.cross_entropy(logits, labels).backward()
                optimizer.step()
            self.took += 1
            self.accuracy = float(right) / len(data)
        optimizer.zero_grad()

    def warnings(self) -> list[str]:
        """Say so if the random labels were not fitted."""
        if self.accuracy is None or self.accuracy >= self.until:
            return []
        return [
            f"threshold missed: random-label-pretrain fitted {self.accuracy:.1%} of the random labels in {self.took} "
            f"epochs, not {self.until:.2%}; raise strategy.epochs or strategy.lr"
        ]

    def _spoilt(self, data: TaskData, random: torch.Generator) -> TaskData:
        """Copies of the data with black pixels and random labels out of their own."""
        copied = TaskData.concat([data] * self.copies)
        kept = torch.rand(copied.samples.shape, generator=random) >= self.zeroed
        classes = data.told[0].unique()
        drawn = torch.randint(len(classes), (len(copied),), generator=random)
        images = copied.samples.masked_fill(~kept.to(data.labels.device), data.encode.blank)
        labels = sent(classes[drawn], data.labels.device)
        return TaskData(images, labels, copied.heads, data.encode, data.head)
