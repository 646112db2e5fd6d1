"""SS-IL: separated softmax for incremental learning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from clbench.data.tensors import TaskData
from clbench.errors import UserError
from clbench.models.network import MASKED
from clbench.registry import Count, strategy
from clbench.strategy import Ahead, Learner

from ._budget import Budget
from ._exemplars import Choice
from ._memory import Draws, memory_batch
from ._rehearsal import Classes, Rehearsal, never_distilled

TEMPERATURE = 2.0


@strategy("ss-il", family="memory")
class SeparatedSoftmax(Rehearsal):
    """SS-IL: a softmax over new classes for new samples, one over old classes for exemplars; distillation by task.

    Ahn et al. 2021 (arXiv:2003.13947): beside each batch of B comes one of M exemplars; [Σ_B CE over new classes +
    Σ_M CE over old classes] / (B + M) + Σ_past stages τ²·KL(softmax(teacher/τ) ‖ softmax(f/τ)) over that stage's
    classes, τ = 2, of all samples. A class belongs to the stage that brought it first; one that comes back is new while
    it is trained on. The authors' exemplars are drawn at random; ours are herded unless ``selection`` says so.
    memory, per_class, selection: as for 'icarl'.
    batch: how many exemplars are drawn each step, without repeats (null: a quarter of the batch size, as in the paper,
    whose batches are 128 and 32).

    Cost: from the second stage on a quarter more samples in each batch and a forward pass of the last stage's network
    over all of them; a copy of the network; the exemplars.
    """

    method = "ss-il"

    def __init__(
        self,
        *,
        memory: Budget = 500,
        per_class: Count | None = None,
        selection: Choice = "herding",
        batch: Count | None = None,
    ) -> None:
        super().__init__(memory, per_class, selection)
        self.batch = batch
        self.brought: list[set[int]] = []  # classes by the stage that brought them first
        self.past: Tensor | None = None  # columns of each past stage's classes [stages, most], −1 where there are fewer

    def check_stream(self, ahead: Ahead) -> None:
        """Besides: a softmax over one class says nothing."""
        super().check_stream(ahead)
        if any(len(stage) < 2 for stage in ahead.classes()):
            raise UserError(
                f"strategy '{self.method}' tells a stage's classes apart among themselves, and a stage here has one. "
                "Set scenario.tasks so that each has two or more, or use wa or icarl."
            )

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """The stage's samples: exemplars come beside."""
        super().training_data(learner, data)
        return data

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Divide the classes, the old ones by stage; draw from the run's seed."""
        super().before_training_exp(learner, **kwargs)
        assert self.classes is not None
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))
        old, columns = self.classes.before, self.classes.place
        groups = [sorted(one & old) for one in self.brought if one & old]
        found = [columns[torch.tensor(group, device=columns.device)] for group in groups]
        self.past = pad_sequence(found, batch_first=True, padding_value=-1) if found else None

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put exemplars beside the batch."""
        if self.exemplars.data is not None:
            count = self.batch or max(learner.train_mb_size // 4, 1)
            replayed = memory_batch(learner, self.exemplars.data, self.draws, count)
            learner.mbatch = [torch.cat(pair) for pair in zip(learner.mbatch, replayed, strict=True)]

    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """Of each sample over its own side's classes; then what the teacher says, stage by stage."""
        others = classes.is_new[targets][:, None] != classes.is_new
        loss = functional.cross_entropy(logits.masked_fill(others, MASKED), targets)
        if self.taught is None or self.past is None:
            return loss
        taught = self.taught.index_select(1, classes.seen.clamp_max(self.taught.shape[1] - 1))
        mine, old = (by_stage(one / TEMPERATURE, self.past) for one in (logits, taught))
        return loss + TEMPERATURE**2 * functional.kl_div(mine, old, reduction="sum", log_target=True) / len(logits)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Note which classes the stage brought; let go of the draws."""
        assert self.classes is not None
        self.brought.append(self.classes.brought - self.known)
        super().after_training_exp(learner, **kwargs)
        self.past = None
        del self.draws

    def warnings(self) -> list[str]:
        """Whether there were old classes."""
        return never_distilled(self)


def by_stage(logits: Tensor, columns: Tensor) -> Tensor:
    """Log-softmax over each stage's classes apart [n, stages, most]; columns [stages, most], −1 for none."""
    found = logits.index_select(1, columns.clamp_min(0).flatten()).unflatten(1, columns.shape)
    apart: Tensor = found.masked_fill(columns < 0, MASKED).log_softmax(2)
    return apart
