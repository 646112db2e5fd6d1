"""PackNet: each task keeps the largest of the weights that earlier ones left, and nobody else moves them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clbench.errors import UserError
from clbench.registry import Share, strategy
from clbench.strategy import Learner, Weights, copies, named_weights, values

from ._held import HoldsWeights
from ._layers import NORMS

FREE = 0  # owner of a weight that no task has kept; task t's are owned by t


@strategy("packnet", family="network")
class PackNet(HoldsWeights):
    """PackNet: after learning a task, free its smallest weights for later tasks and never move the others again.

    Mallya and Lazebnik 2018 (arXiv:1711.05769), section 3. A task trains the weights that no earlier one has kept. Of
    these, layer by layer, the share ``prune`` that is smallest in magnitude is set to 0 and left to later tasks; the
    task trains the others again for what remains of the stage, and keeps them. Its head answers with its own and
    earlier tasks' weights, the others 0. Biases and normalisations are the first task's, statistics included.
    Only for tasks with a head each.
    prune: share of the weights of its own that a task gives back; .5 or .75 in the paper.
    retrain: share of a stage's steps that come after pruning.

    Cost: a copy of the backbone's weights each step; 2 bytes a weight for its owner, 4 for how far it may go.
    """

    method = "packnet"

    def __init__(self, *, prune: Share = 0.75, retrain: Share = 0.33) -> None:
        super().__init__()
        self.prune = prune
        self.retrain = retrain
        self.owners: Weights = []
        self.free: list[int] = []  # how many weights of each tensor have no owner
        self.task_of: dict[int, int] = {}  # head → the last task that trained it, counted from 1
        self.norms: list[nn.Module] = []
        self.step = self.prune_at = 0
        self.whole: Weights = []

    def check(self, model: nn.Module) -> None:
        """Only networks with a head for each task and weights to share."""
        super().check(model)
        if not any(weight.dim() > 1 for weight in named_weights(model).values()):
            raise UserError(
                "strategy 'packnet' divides the weights before the heads among tasks, and this network has none. Use "
                "one with hidden layers, for instance --model mlp."
            )

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let the task train what is free."""
        self.weights = list(named_weights(learner.model).values())
        task = learner.stage + 1
        if not self.owners:
            self.owners = [torch.full_like(weight, FREE, dtype=torch.int16) for weight in self.weights]
            self.free = [weight.numel() if weight.dim() > 1 else 0 for weight in self.weights]
        self.shares = [(owner == FREE).to(weight) for owner, weight in zip(self.owners, self.weights, strict=True)]
        self.norms = [one for one in learner.model.modules() if isinstance(one, NORMS)] if task > 1 else []
        self.task_of |= dict.fromkeys(learner.data.told[1].unique().tolist(), task)
        self.step, self.prune_at = 0, max(round(learner.stage_steps * (1 - self.retrain)), 1)

    def pass_begins(self, learner: Learner) -> None:
        """The first task's statistics are everybody's."""
        for norm in self.norms:
            norm.eval()

    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Prune when it is time."""
        super().after_update(learner, **kwargs)
        self.step += 1
        if self.step == self.prune_at:
            self._prune(learner.stage + 1)

    @torch.no_grad()
    def _prune(self, task: int) -> None:
        """Own the largest of the free weights of each layer; set the others to 0."""
        for place, (weight, owner, share) in enumerate(zip(self.weights, self.owners, self.shares, strict=True)):
            if weight.dim() == 1:  # owned as a whole by the first task
                owner.copy_(owner.masked_fill(owner == FREE, task))
                continue
            taken = owner != FREE
            given = round(self.prune * self.free[place])
            order = weight.abs().masked_fill(taken, torch.inf).flatten().argsort(stable=True)
            smallest = torch.zeros(taken.numel(), dtype=torch.bool, device=taken.device)
            smallest = smallest.index_fill_(0, order[:given], value=True).view(taken.shape)
            owner.masked_fill_(~(taken | smallest), task)
            share.masked_fill_(smallest, 0.0)
            weight.masked_fill_(smallest, 0.0)
            self.free[place] = given

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Prune if the stage has ended before; let go of what the stage needed."""
        if self.step < self.prune_at:
            self._prune(learner.stage + 1)
        self.shares = []

    def before_eval_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Answer with the weights that the task has, if it has been learnt."""
        task = self.task_of.get(int(learner.data.told[1][0]))
        if task is None or task > learner.stage:  # not learnt, or under way
            return
        self.whole = copies(self.weights)
        torch._foreach_mul_(values(self.weights), [_of_tasks(owner, task) for owner in self.owners])

    def after_eval_exp(self, learner: Learner, **kwargs: Any) -> None:
        """The whole network again."""
        if self.whole:
            torch._foreach_copy_(values(self.weights), self.whole)
            self.whole = []


def _of_tasks(owner: Tensor, task: int) -> Tensor:
    """1 where a weight is a task's or an earlier one's, as numbers that multiply weights."""
    return ((owner != FREE) & (owner <= task)).float()
