"""The learner: Avalanche's SupervisedTemplate over resident tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from clbench.avalanche import MultiTaskModule, SupervisedPlugin, SupervisedTemplate
from clbench.data.augment import Augment
from clbench.data.benchmark import ResidentExperience
from clbench.data.tensors import Batch, BatchLoader, TaskData
from clbench.engine.counts import Counts
from clbench.engine.replay import WORTH, Replay, repeats, watches
from clbench.engine.seeding import generator
from clbench.errors import UserError
from clbench.metrics import Confusion
from clbench.models.network import MASKED
from clbench.models.rows import Rows
from clbench.optimizers import Sam
from clbench.strategy import REPLAYED, Strategy

Logits = Literal["all", "seen", "current"]
STEP_EVENTS = (
    "before_training_iteration",
    "before_forward",
    "after_forward",
    "before_backward",
    "after_backward",
    "before_update",
    "after_update",
    "after_training_iteration",
)
EVAL_BATCH = 1024
CONVOLUTIONS = 128  # on a CPU, whose caches hold the maps of so many: 1.4 to 2.1 times as fast as 1024


class NoEvaluator(SupervisedPlugin):
    """In the place of Avalanche's evaluator, which copies the experience at every callback of every step."""

    def get_last_metrics(self) -> dict[str, Any]:
        """Return nothing: R is kept by the learner."""
        return {}


@dataclass(frozen=True)
class Training:
    """How each stage is trained: by epochs or by steps, and what the batches are."""

    batch_size: int
    updates: int
    epochs: int | None
    steps: int | None
    reset_optimizer: bool
    logits: Logits
    flip: bool
    crop: bool


@dataclass(frozen=True)
class Arithmetic:
    """Where and in which number format the network runs."""

    device: torch.device
    precision: str
    memory_format: torch.memory_format

    @property
    def evaluation_batch(self) -> int:
        """How many samples are evaluated at a time."""
        on_maps = self.device.type == "cpu" and self.memory_format is torch.channels_last
        return CONVOLUTIONS if on_maps else EVAL_BATCH


class ResidentLearner(SupervisedTemplate):
    """Avalanche's training and evaluation loops, fed by indexing into tensors that stay on the device.

    Plugins see what they know from Avalanche (``experience.dataset``, ``adapted_dataset``, ``mbatch``, ``clock``); a
    plugin that sets its own ``dataloader`` is obeyed. ``rows`` counts the samples that the network is trained on.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        plugins: Sequence[SupervisedPlugin],
        training: Training,
        arithmetic: Arithmetic,
        seed: int,
        outputs: int,
        classes_return: bool = False,
    ) -> None:
        self.training = training
        self.arithmetic = arithmetic
        self.seed = seed
        self.stage_steps = 0
        rows: Any = model.rows
        self.rows: Rows = rows
        self.upstream: TaskData | None = None
        self.classes_return = classes_return
        self._outputs = outputs
        self._masked: Tensor | None = None  # [outputs], True where a class is left out
        self._seen: set[int] = set()
        self._accuracies: list[float] = []
        self.answers: list[int | None] = []  # of each task evaluated last: the one class answered, None: several
        self.confusions: list[Confusion | None] = []  # of each of these tasks; None: not counted
        self._counted: set[int] = set()  # tasks whose confusion is wanted
        self._loaded_heads: Tensor | None = None
        self.arrived = 0
        self.between: Callable[[], None] | None = None  # called before each training batch
        self.epochs_behind = 0  # of a stage that is continued
        self._callbacks: dict[str, list[Callable[..., None]]] = {}
        self._watching: list[Callable[..., None]] = []  # callbacks that may look at a step after it
        self._replay: Replay | None = None
        self._parts = parts = [plugin for plugin in plugins if isinstance(plugin, Strategy)]
        self._losses = [part for part in parts if part.own_loss]
        self._around = [part for part in parts if type(part).pass_begins is not Strategy.pass_begins]
        self._shuffle = generator(seed, "batches")
        self._augment = self._augmentation("augmentation")
        self._augment_beside = self._augmentation("augmentation beside the batch")
        super().__init__(
            model=model,
            optimizer=optimizer,
            criterion=nn.CrossEntropyLoss(),
            train_mb_size=training.batch_size,
            train_epochs=training.epochs or 1,
            eval_mb_size=arithmetic.evaluation_batch,
            device=arithmetic.device,
            plugins=list(plugins),
            evaluator=NoEvaluator(),
        )

    # What strategies use.

    @property
    def data(self) -> TaskData:
        """Data of the current experience: of the training stage, or of the task that is evaluated."""
        assert isinstance(self.experience, ResidentExperience)
        return self.experience.data

    @property
    def removed(self) -> TaskData | None:
        """Samples that the current experience asks to be forgotten; None if it asks for nothing."""
        assert isinstance(self.experience, ResidentExperience)
        return self.experience.removed

    @property
    def stage(self) -> int:
        """Number of stages that are finished."""
        count: int = self.clock.train_exp_counter
        return count

    @property
    def heads(self) -> Tensor | int:
        """Head of the mini-batch's samples where they share one that is known, else the head of each."""
        heads: Tensor = self.mbatch[-1]
        if heads is self._loaded_heads and isinstance(self.dataloader, BatchLoader):
            # No plugin has mixed other tasks in, so the head is known without asking the device.
            return self.dataloader.data.shared(heads)
        return heads

    @property
    def raw(self) -> Tensor:
        """Images of the mini-batch as they came, uint8, without those that plugins have put behind them."""
        loader = self._own_loader()
        assert loader.rows is not None
        return loader.data.samples.index_select(0, loader.rows)

    @property
    def batch_sizes(self) -> list[int]:
        """How many samples each step of an epoch of the stage has, several steps with the same where there are more."""
        return self._own_loader().sizes()

    @property
    def updates(self) -> int:
        """How many steps each batch is trained for, one after another."""
        return self.training.updates

    @property
    def update(self) -> int:
        """Which of them this step is, counted from 0; UserError if there are several, of batches of a plugin's own."""
        loader: Any = self.dataloader
        if isinstance(loader, BatchLoader):
            return loader.update
        if self.updates > 1:
            raise UserError(
                "updates: a part of the composition makes batches of its own, and each of them comes once. Leave "
                "updates at 1, or take that part out."
            )
        return 0

    @property
    def last_update(self) -> bool:
        """Whether no further step with the batch follows."""
        return self.update == self.updates - 1

    def augmented(self, images: Tensor) -> Tensor:
        """Augment uint8 images beside the batch; the batches' own augmentation goes on as without them."""
        return images if self._augment_beside is None else self._augment_beside(images)

    def random(self, purpose: str) -> torch.Generator:
        """Return a CPU generator of the run's seed for one purpose."""
        return generator(self.seed, purpose)

    def logits(
        self,
        x: Tensor,
        heads: Tensor | int,
        parameters: dict[str, Tensor] | None = None,
        of: nn.Module | None = None,
    ) -> Tensor:
        """Logits as they are trained on: float32, with the classes that this run leaves out masked.

        ``parameters`` stand in for the model's own, for ``torch.func``; gradients of single samples are then whole
        float32, since autocast and vmap do not agree on attention. ``of``: a network like the run's own in its place.
        """
        arithmetic, model = self.arithmetic, self.model if of is None else of
        half = arithmetic.precision == "bf16" and parameters is None
        if arithmetic.memory_format is torch.channels_last and parameters is None:  # torch.func knows no such format
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(arithmetic.device.type, torch.bfloat16) if half else nullcontext():
            inputs = (x, heads) if isinstance(model, MultiTaskModule) else (x,)
            output = model(*inputs) if parameters is None else functional_call(model, parameters, inputs)
        logits: Tensor = output.float()
        if self._masked is not None:
            logits = logits.masked_fill(self._masked[: logits.shape[1]], MASKED)
        return logits

    # What the engine uses.

    def fit(self, experience: ResidentExperience) -> None:
        """Train one stage, its samples counted from 0."""
        self.rows.count = 0
        self._seen |= {*experience.classes_in_this_experience}
        if self.training.logits != "all":
            current = self.training.logits == "current"
            self._leave_out_all_but({*experience.classes_in_this_experience} if current else self._seen)
        self._callbacks = {event: self._overridden(event) for event in STEP_EVENTS}
        self.train([experience], eval_streams=[])
        self._replay = None

    def _replays(self) -> bool:
        """Whether the steps of this stage are replayed."""
        return self.device.type == "cuda" and self.stage_steps >= WORTH and repeats(self.plugins, self.optimizer)

    def row(self, experiences: Sequence[ResidentExperience], counted: Iterable[int] = ()) -> list[float]:
        """Evaluate tasks: their accuracies, for a row of R; ``confusions`` of the tasks that are to be ``counted``."""
        self._counted = {*counted}
        if self.training.logits != "all" and self._seen:
            self._leave_out_all_but(self._seen)
        self._accuracies, self.answers, self.confusions = [], [], []
        self.eval(experiences)
        return self._accuracies

    def _augmentation(self, purpose: str) -> Augment | None:
        training = self.training
        if not (training.flip or training.crop):
            return None
        return Augment(training.flip, training.crop, generator(self.seed, purpose, self.arithmetic.device))

    def _own_loader(self) -> BatchLoader:
        loader: Any = self.dataloader
        if not isinstance(loader, BatchLoader):
            raise UserError(
                "strategy: a part of the composition makes batches of its own, so another one cannot keep their images "
                "as they came. Take one of the two out."
            )
        return loader

    def _overridden(self, event: str) -> list[Callable[..., None]]:
        """The plugins' callbacks for an event, without those that only inherit a do-nothing one."""
        empty = getattr(SupervisedPlugin, event)
        return [getattr(p, event) for p in self.plugins if getattr(type(p), event, empty) is not empty]

    def _leave_out_all_but(self, classes: set[int]) -> None:
        self._masked = torch.ones(self._outputs, dtype=torch.bool, device=self.device)
        self._masked[sorted(classes)] = False

    # Avalanche's template methods.

    def forward(self) -> Tensor:
        """Logits of the current mini-batch."""
        for part in self._around:
            part.pass_begins(self)
        output = self.logits(self.mbatch[0], self.heads)
        for part in self._around:
            part.pass_ends(self)
        return output

    def criterion(self) -> Tensor:
        """Loss of the current mini-batch: cross-entropy, unless a strategy says otherwise."""
        for part in self._losses:
            changed = part.task_loss(self)
            if changed is not None:
                return changed
        loss: Tensor = self._criterion(self.mb_output, self.mbatch[1])
        return loss

    def backward(self) -> None:
        """Gradients of the loss; with a sharpness-aware optimiser those a step uphill, of the same batch and losses."""
        super().backward()
        if isinstance(self.optimizer, Sam):
            output, loss = self.mb_output, self.loss  # type: ignore[has-type]
            self.optimizer.climb()
            with statistics_kept(self.model):
                self.mb_output = self.forward()
            self.loss = self._make_empty_loss()
            self.loss += self.criterion()
            self._before_backward()  # plugins add their losses here
            super().backward()
            self.optimizer.descend()
            self.mb_output, self.loss = output, loss

    def _make_empty_loss(self) -> Tensor:
        """A scalar, as the loss is: the template's vector of one would cost a broadcast and its gradient each step."""
        return torch.zeros((), device=self.device)

    def make_train_dataloader(self, **kwargs: Any) -> None:
        """Shuffled batches of the stage's tensors; as many epochs as a strategy, or the budget of steps, asks for.

        A request to forget trains nothing unless a strategy answers it.
        """
        data = self.data
        for part in self._parts:
            data = part.training_data(self, data)
        loader = BatchLoader(data, self.train_mb_size, self._shuffle, self._augment, self.training.updates)
        loader.between = self.between
        self.dataloader = loader
        own = [epochs for part in self._parts if (epochs := part.stage_epochs(self)) is not None]
        if self.removed is not None and not any(part.forgets for part in self._parts):
            own = [0]
        steps = None if own else self._step_budget()
        if steps is not None:
            self.train_epochs = math.ceil(steps / len(loader))
        else:
            self.train_epochs = max(own) if own else self.training.epochs or 1
        self.stage_steps = steps or self.train_epochs * len(loader)

    def _step_budget(self) -> int | None:
        """Steps of the coming stage, where the run counts them: so many for each task that no stage has had yet."""
        if self.training.steps is None:
            return None
        assert isinstance(self.experience, ResidentExperience)
        return self.training.steps * self.experience.fresh

    def make_eval_dataloader(self, **kwargs: Any) -> None:
        """Large batches, in order."""
        self.dataloader = BatchLoader(self.data, self.eval_mb_size)

    @property
    def adapted_dataset(self) -> Any:
        """The experience as an AvalancheDataset, made when a plugin asks for it."""
        return self.experience.dataset if self.experience is not None else None

    @adapted_dataset.setter
    def adapted_dataset(self, value: Any) -> None:
        """Ignore the template's bookkeeping: the experience has the data."""

    def train_dataset_adaptation(self, **kwargs: Any) -> None:
        """Adapt nothing: the tensors are the data."""

    def eval_dataset_adaptation(self, **kwargs: Any) -> None:
        """Adapt nothing: the tensors are the data."""

    def model_adaptation(self, model: nn.Module | None = None) -> nn.Module:
        """Grow a growing classifier, but never because of classes that are only tested."""
        adapted: nn.Module = super().model_adaptation(model) if self.is_training else self.model
        return adapted

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        """Adapt model and optimiser; reset the optimiser's state if the run says so."""
        super().check_model_and_optimizer(reset_optimizer_state=self.training.reset_optimizer, **kwargs)

    def training_epoch(self, **kwargs: Any) -> None:
        """One epoch; the middle of its steps is replayed where they repeat."""
        if self._replay is None:
            super().training_epoch(**kwargs)
            return
        for batch in self.dataloader:
            if self._stop_training:
                break
            self.mbatch = batch
            self._unpack_minibatch()
            self._before_training_iteration(**kwargs)
            self._before_forward(**kwargs)
            self._replay.step(self, self._middle)
            for look in self._watching:
                look(self)
            self._after_update(**kwargs)
            self._after_training_iteration(**kwargs)

    def _middle(self) -> None:
        """What a step does with its batch."""
        self.optimizer.zero_grad()
        self.loss = self._make_empty_loss()
        self.mb_output = self.forward()
        self._after_forward()
        self.loss += self.criterion()
        self._before_backward()
        self.backward()
        self._after_backward()
        self._before_update()
        self.optimizer_step()

    def _watch_afterwards(self) -> None:
        """Take the callbacks that only look out of the steps' middle."""
        self._watching = []
        for event in set(STEP_EVENTS) & set(REPLAYED):
            every = self._callbacks[event]
            own = [call for call in every if not watches(call.__self__)]  # type: ignore[attr-defined]
            self._watching += [call for call in every if call not in own]
            self._callbacks[event] = own

    @contextmanager
    def in_place_of_batch(self, batch: Batch) -> Iterator[None]:
        """Compute with another batch of the same shapes and heads for a while."""
        own, loaded = self.mbatch, self._loaded_heads
        if own[-1] is loaded:
            self._loaded_heads = batch[-1]
        self.mbatch = batch
        try:
            yield
        finally:
            self.mbatch, self._loaded_heads = own, loaded

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        """Train the epochs that are left of a stage."""
        if self._replays():
            self._replay = Replay()
            self._watch_afterwards()
        whole = self.train_epochs
        self.train_epochs = whole - self.epochs_behind
        super()._train_exp(experience, eval_streams, **kwargs)
        self.train_epochs = whole

    def _unpack_minibatch(self) -> None:
        loader: Any = self.dataloader
        if isinstance(loader, BatchLoader):
            self._loaded_heads = self.mbatch[-1]
        else:
            super()._unpack_minibatch()
        self.arrived = len(self.mbatch[1])  # plugins may add samples behind these

    def eval_epoch(self, **kwargs: Any) -> None:
        """Count right answers on the device, by label if wanted, and note the lowest and highest class answered.

        Read back once per task. An unknown label, −1, is never answered, and so wrong.
        """
        known = self.experience.classes_in_this_experience
        wanted = self.experience.tasks[0] in self._counted  # of small tests it takes a third of the evaluation's time
        counts = Counts(known, self._outputs, self.device) if wanted else None
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        lowest, highest = torch.full_like(right, self._outputs), torch.full_like(right, -1)
        for batch in self.dataloader:
            self.mbatch = batch
            self._unpack_minibatch()
            self._before_eval_iteration(**kwargs)
            self._before_eval_forward(**kwargs)
            self.mb_output = self.forward()
            self._after_eval_forward(**kwargs)
            answers = self.mb_output.argmax(1)
            right += (answers == self.mbatch[1]).sum()
            lowest, highest = torch.minimum(lowest, answers.min()), torch.maximum(highest, answers.max())
            if counts is not None:
                counts.add(self.mbatch[1], answers)
            self._after_eval_iteration(**kwargs)
        found = torch.stack([right, lowest, highest])
        found = (found if counts is None else torch.cat([found, counts.values])).cpu()
        count, low, high = found[:3].tolist()
        self._accuracies.append(count / len(self.data))
        self.answers.append(low if low == high else None)
        self.confusions.append(None if counts is None else counts.cells(found[3:]))
        self.experience.release()  # long streams must not hold every task's test images


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Let normalisation layers use a batch's statistics without remembering them."""
    layers = [module for module in model.modules() if isinstance(module, _NormBase)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _trigger(event: str) -> Callable[..., None]:
    """A step's trigger that calls only what plugins override; Avalanche's own asks every plugin every time."""

    def trigger(self: ResidentLearner, **kwargs: Any) -> None:
        for callback in self._callbacks[event]:
            callback(self, **kwargs)

    return trigger


for _event in STEP_EVENTS:
    setattr(ResidentLearner, f"_{_event}", _trigger(_event))
