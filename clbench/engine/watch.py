"""Plugins of the engine itself: the step budget, the divergence watch and progress."""

from __future__ import annotations

import time
from typing import Any

import torch

from clbench.avalanche import SupervisedPlugin
from clbench.progress import Reporter

WINDOW = 256  # steps between two looks at the losses


class DivergedError(Exception):
    """Training has produced NaN or infinity."""

    def __init__(self, stage: int, step: int, what: str) -> None:
        super().__init__(f"{what} became NaN or infinite at step {step} of stage {stage}")


class StepBudget(SupervisedPlugin):
    """Stop each stage after the steps that it has, which may end inside an epoch."""

    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        """Stop when the budget is spent; the clock counts this step after all plugins."""
        if learner.clock.train_exp_iterations + 1 >= learner.stage_steps:
            learner.stop_training()


class DivergenceWatch(SupervisedPlugin):
    """Find the first step whose loss is not finite, looking only every WINDOW steps and at a stage's end.

    ``losses`` gets each stage's mean training loss, None where it had no step; the reporter hears of each look.
    """

    watches = True

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter = reporter
        self.window: list[torch.Tensor] = []
        self.losses: list[float | None] = []
        self._sum = 0.0
        self._count = 0

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Start counting."""
        self._sum, self._count, self.window = 0.0, 0, []

    def after_backward(self, learner: Any, **kwargs: Any) -> None:
        """Note the loss on the device."""
        self.window.append(learner.loss.detach())
        self._count += 1
        if len(self.window) == WINDOW:
            self._look(learner)

    def after_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Look at the last losses and at the parameters: a step may spoil them after the last loss."""
        self._look(learner)
        if not all(torch.isfinite(p).all() for p in learner.model.parameters()):
            raise DivergedError(learner.stage + 1, self._count, "a parameter")
        self.losses.append(self._sum / self._count if self._count else None)

    def _look(self, learner: Any) -> None:
        """One look at all losses since the last: they are added up on the device."""
        if not self.window:
            return
        losses = torch.stack(self.window)
        count, self.window = len(self.window), []
        total = float(losses.sum())
        if not torch.isfinite(losses).all():
            first = int((~torch.isfinite(losses)).nonzero()[0, 0])
            raise DivergedError(learner.stage + 1, self._count - count + first + 1, "the loss")
        self._sum += total
        self.reporter.losses_seen(self._count, total / count)


class AnswerWatch(SupervisedPlugin):
    """Count right answers on each batch before it is trained on, on the device; samples that plugins add do not count.

    ``online`` gets each stage's share of right answers. With a threshold a stage ends with the first epoch whose share
    reaches it, and ``reached`` says for each stage whether one did.
    """

    watches = True

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self.threshold = threshold
        self.online: list[float] = []
        self.reached: list[bool] = []
        self._window: list[tuple[torch.Tensor, torch.Tensor]] = []

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Start counting."""
        self._window, self._answers, self._epoch_answers = [], 0, 0
        self._right = torch.zeros((), dtype=torch.int64, device=learner.device)
        self._epoch_right = self._right.clone()
        self._enough = False

    def after_forward(self, learner: Any, **kwargs: Any) -> None:
        """Keep logits and labels of a batch that comes for the first time; they are compared for many steps at once."""
        if learner.update:
            return
        count = learner.arrived
        self._window.append((learner.mb_output.detach()[:count], learner.mbatch[1][:count]))
        self._epoch_answers += count
        if len(self._window) == WINDOW:
            self._compare()

    def after_training_epoch(self, learner: Any, **kwargs: Any) -> None:
        """Add the epoch up; read its share of right answers back if there is a threshold to reach."""
        self._compare()
        self._right += self._epoch_right
        self._answers += self._epoch_answers
        if self.threshold is not None:
            self._enough = int(self._epoch_right) >= self.threshold * self._epoch_answers
            if self._enough:
                learner.stop_training()
        self._epoch_right.zero_()
        self._epoch_answers = 0

    def after_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Keep the stage's numbers."""
        self.online.append(int(self._right) / max(self._answers, 1))
        if self.threshold is not None:
            self.reached.append(self._enough)

    def _compare(self) -> None:
        if self._window:
            logits, labels = map(torch.cat, zip(*self._window, strict=True))
            self._epoch_right += (logits.argmax(1) == labels).sum()
            self._window = []


class ReportSteps(SupervisedPlugin):
    """Tell the reporter about steps, ten times a second at most."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter = reporter
        self._next = 0.0

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Tell that a stage begins."""
        self.reporter.stage_started(learner.stage + 1, learner.stage_steps)

    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        """Tell how far the stage is."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.1
            self.reporter.stepped(learner.clock.train_exp_iterations + 1, learner.clock.train_exp_epochs + 1)
