"""Streams that ask for samples to be forgotten: who may run on them, and what is measured of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench import metrics, optimizers, store
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig
from clbench.data.streams import Request, Stream
from clbench.data.tensors import BatchLoader, TaskData
from clbench.engine.learner import ResidentLearner
from clbench.engine.seeding import generator
from clbench.errors import UserError
from clbench.models.copies import bare_copy
from clbench.strategy import Strategy, evaluating
from clbench.strategy.composition import is_fine_tuning

RELEARNING = 1000  # steps at most, and samples whose loss is looked at after each
BATCH = 1024
ROUNDING = 1 + 1e-4  # sums of other batches round otherwise


def check(config: RunConfig, plugins: Sequence[SupervisedPlugin], stream: Stream, guest: str | None = None) -> None:
    """Refuse strategies that answer requests where nothing asks, and others where a stream does.

    ``guest``: the part that is a whole strategy of Avalanche's, and no plugin. What another method keeps of the removed
    samples – a memory, an anchor, a teacher – would stay. Raises UserError.
    """
    names = [name for name in store.parts(config.strategy["name"]) if name != guest]
    parts = dict(zip(names, plugins, strict=True))
    answering = [name for name, part in parts.items() if isinstance(part, Strategy) and part.forgets]
    others = [name for name, part in parts.items() if name not in answering and not is_fine_tuning(part)]
    others += [] if guest is None else [guest]
    scenario = config.scenario["name"]
    if stream.request is None and answering:
        raise UserError(
            f"strategy '{answering[0]}' removes training samples on request, and scenario '{scenario}' makes no "
            "request. Use a scenario that does, for instance --scenario forget-class-digits."
        )
    if stream.request is not None and others:
        raise UserError(
            f"strategy '{others[0]}' knows no requests to forget, and scenario '{scenario}' makes one: what it keeps "
            "of the removed samples would stay. Use one that answers requests (clbench list strategies has them under "
            "'forgetting on request'), or naive, which ignores them."
        )


class RemovalWatch(SupervisedPlugin):
    """Notes, whenever a row of R is evaluated, what a removal is measured by; it changes nothing.

    ``losses``: of each sample of the removed task and of the unseen one, of what was answered, whoever answered.
    ``answers``: softmax outputs [n, outputs] for the removed samples. ``old_losses``: of these before the
    request.
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request
        self.losses: dict[int, Tensor] = {}
        self.answers = torch.empty(0)
        self.old_losses = torch.empty(0)
        self._now: list[tuple[Tensor, Tensor]] = []

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Keep the removed samples' loss as the request found it."""
        if learner.removed is not None:
            self.old_losses = self.losses[self.request.removed]

    def after_eval_iteration(self, learner: Any, **kwargs: Any) -> None:
        """Note a batch, once there is something to forget: before, a growing classifier has no output for it."""
        if learner.stage and learner.experience.tasks[0] in (self.request.removed, self.request.unseen):
            logits = learner.mb_output.float()
            losses = functional.cross_entropy(logits, learner.mbatch[1], reduction="none")
            self._now.append((losses, logits.softmax(1)))

    def after_eval_exp(self, learner: Any, **kwargs: Any) -> None:
        """Put a task's batches together."""
        if self._now:
            losses, answers = map(torch.cat, zip(*self._now, strict=True))
            self._now, task = [], learner.experience.tasks[0]
            self.losses[task] = losses
            if task == self.request.removed:
                self.answers = answers


def measured(
    config: RunConfig,
    learner: ResidentLearner,
    watch: RemovalWatch,
    removed: TaskData,
    retrained: Callable[[], ResidentLearner] | None,
) -> metrics.Removal:
    """Measure how a request was answered, when the run is over.

    ``retrained`` makes the learner of a network that was trained without the removed samples; None: there is no
    comparison with one.
    """
    distance = None
    if retrained is not None:
        distance = float((watch.answers - answers_of(retrained(), removed)).abs().sum(1).mean() / 2)
    return metrics.Removal(
        kept=watch.request.kept,
        removed=watch.request.removed,
        known=watch.request.known,
        removed_losses=watch.losses[watch.request.removed].tolist(),
        unseen_losses=watch.losses[watch.request.unseen].tolist(),
        relearning=relearning_steps(learner, config, removed, watch.old_losses),
        distance=distance,
    )


def relearning_steps(learner: ResidentLearner, config: RunConfig, removed: TaskData, before: Tensor) -> int | None:
    """Return after how many steps on removed samples a copy of the network has the mean loss of ``before`` [n] again.

    As the run trains: its optimiser, begun anew, and its batches. None if not within RELEARNING steps, or if a strategy
    answers in the network's place.
    """
    parts = [plugin for plugin in learner.plugins if isinstance(plugin, Strategy)]
    if any(type(part).after_eval_forward is not SupervisedPlugin.after_eval_forward for part in parts):
        return None
    settings = dict(config.optimizer)
    order = torch.randperm(len(removed), generator=generator(learner.seed, "samples of relearning"))
    chosen = order[:RELEARNING].to(before.device)
    looked_at, target = removed.subset(chosen), float(before[chosen].mean()) * ROUNDING
    batches = BatchLoader(removed, config.batch_size, generator(learner.seed, "batches of relearning"))
    with _in_place_of_network(learner, bare_copy(learner.model)) as model:
        optimizer = optimizers.declared(settings.pop("name")).make(list(model.parameters()), learner.device, **settings)
        step = 0
        while step <= RELEARNING:
            for x, labels, heads in batches:
                if mean_loss(learner, looked_at) <= target:
                    return step
                optimizer.zero_grad()
                functional.cross_entropy(learner.logits(x, removed.shared(heads)), labels).backward()
                optimizer.step()
                step += 1
    return None


@contextmanager
def _in_place_of_network(learner: ResidentLearner, model: nn.Module) -> Iterator[nn.Module]:
    """Let the learner compute with another network for a while, whose samples are no work of the run's."""
    own, learner.model = learner.model, model.train()
    try:
        with learner.rows.paused():
            yield model
    finally:
        learner.model = own


@torch.no_grad()
def mean_loss(learner: ResidentLearner, data: TaskData) -> float:
    """Mean cross-entropy over samples, the network in evaluation mode."""
    total = torch.zeros((), device=learner.device)
    with evaluating(learner.model):
        for x, labels, heads in data.batches(BATCH):
            total += functional.cross_entropy(learner.logits(x, data.shared(heads)), labels, reduction="sum")
    return float(total) / len(data)


@torch.no_grad()
def answers_of(learner: ResidentLearner, data: TaskData) -> Tensor:
    """Softmax outputs [n, outputs], the network in evaluation mode."""
    with evaluating(learner.model):
        found = [learner.logits(x, data.shared(heads)).softmax(1) for x, _, heads in data.batches(BATCH)]
    return torch.cat(found)
