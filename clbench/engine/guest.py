"""A whole strategy of Avalanche's in the learner's place: its own training loop, over the run's stages and tasks.

It is fed as Avalanche feeds it, sample by sample from its own loaders, and answers are counted as everybody's are. What
it keeps is not known, so that such a run has no checkpoints and no count of memory.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clbench.avalanche import BaseModel, BaseSGDTemplate, SupervisedPlugin
from clbench.config import RunConfig
from clbench.data.benchmark import ResidentExperience
from clbench.engine.counts import Counts
from clbench.engine.learner import Arithmetic, Training
from clbench.errors import UserError, in_words
from clbench.metrics import Confusion
from clbench.models.network import MultiHeadNetwork, Network
from clbench.models.rows import Rows

# What a run may ask of clbench's own loop alone: key → the only value that a guest can do.
ONLY: dict[str, Any] = {
    "until_train_accuracy": None,
    "evaluate_steps": None,
    "updates": 1,
    "logits": "all",
    "augment": "none",
    "optimizer.schedule": "constant",
    "optimizer.agc": None,
}

# Strategies of Avalanche's that draw whole batches of single classes, and never end where there are none.
WHOLE_BATCHES = ("ER_AML",)


def check(name: str, config: RunConfig, diagnostics: bool) -> None:
    """Raise UserError for what a training loop of somebody else's cannot do."""
    asked = config.model_dump() | {f"optimizer.{key}": value for key, value in config.optimizer.items()}
    for key, only in ONLY.items():
        if asked[key] != only:
            said = "null" if only is None else only
            raise UserError(f"{key}: '{name}' trains by a loop of its own, which knows no such thing. Use {said}.")
    if config.precision == "bf16":
        raise UserError(f"precision: '{name}' trains in fp32 alone. Leave it at auto.")
    if config.optimizer["name"] == "sam":
        raise UserError(f"optimizer.name: '{name}' takes one step a batch, and sam needs two. Use sgd, adam or adamw.")
    if diagnostics:
        raise UserError(f"diagnostics: '{name}' is not measured between stages. Leave --diagnostics out.")


class Guest:
    """A strategy of Avalanche's, as far as the engine needs to know it: ``fit`` a stage, evaluate a ``row``."""

    def __init__(
        self,
        name: str,
        template: BaseSGDTemplate[Any, Any, Any],
        watches: Sequence[SupervisedPlugin],
        training: Training,
        arithmetic: Arithmetic,
        rows: Rows,
        outputs: int,
    ) -> None:
        self.name = name
        self.template = template
        self.training = training
        self.arithmetic = arithmetic
        self.rows = rows
        self.stage_steps = 0
        self.epochs_behind = 0  # a stage is never continued
        self.update = 0  # its only one with a batch
        self.between: Callable[[], None] | None = None
        self.answers: list[int | None] = []
        self.confusions: list[Confusion | None] = []
        self._scores = _Scores(outputs, template.device)
        template.plugins.insert(0, _Seat(self, watches))
        template.plugins.append(self._scores)

    def __getattr__(self, name: str) -> Any:
        """What the template has beside: model, optimizer, device, clock, plugins, train_mb_size, train_epochs."""
        if name == "template":  # while it is copied or made
            raise AttributeError(name)
        return getattr(self.template, name)

    @property
    def stage(self) -> int:
        """Number of stages that are finished."""
        count: int = self.template.clock.train_exp_counter
        return count

    @property
    def loss(self) -> Tensor:
        """Loss of the mini-batch, a scalar."""
        found: Tensor = self.template.loss.mean()
        return found

    def fit(self, experience: ResidentExperience) -> None:
        """Train one stage; UserError with the strategy's own error if it raises."""
        self.rows.count = 0
        training, template = self.training, self.template
        if type(template).__name__ in WHOLE_BATCHES:
            self._check_batches(experience.data.labels)
        batches = -(-len(experience.data) // training.batch_size)
        budget = None if training.steps is None else training.steps * experience.fresh
        # With a budget there are epochs enough, whatever an epoch of this strategy is; StepBudget ends the stage.
        template.train_epochs = training.epochs or 1 if budget is None else budget
        self.stage_steps = budget or template.train_epochs * batches
        with self._alone(f"in stage {self.stage + 1}"):
            template.train([experience], eval_streams=[], reset_optimizer_state=training.reset_optimizer)

    def _check_batches(self, labels: Tensor) -> None:
        """Refuse batches that a class cannot fill: the strategy would wait for them for ever."""
        fewest = min(int(labels.unique(return_counts=True)[1].min()), self.template.mem_size // self._scores.outputs)
        if fewest < self.training.batch_size:
            size = self.training.batch_size
            raise UserError(
                f"strategy '{self.name}' takes whole batches of {size} samples of each class from its memory, which "
                f"has {fewest} of one. Set batch_size to {fewest} at most, or strategy.mem_size higher."
            )

    def row(self, experiences: Sequence[ResidentExperience], counted: Iterable[int] = ()) -> list[float | None]:
        """Evaluate tasks, as a learner does; before the first stage nothing, since not every strategy can answer."""
        self.answers, self.confusions = [], []
        if self.stage == 0:
            return [None] * len(experiences)
        self._scores.begin({*counted})
        with self._alone("when it is evaluated"):
            self.template.eval(experiences)
        self.answers, self.confusions = self._scores.answers, self._scores.confusions
        return [*self._scores.accuracies]

    @contextmanager
    def _alone(self, when: str) -> Iterator[None]:
        """Run its code: what it prints goes to stderr, and its errors become one paragraph."""
        way_out = "The scenario or the network may not fit it."
        if isinstance(self.template.model, MultiHeadNetwork):
            way_out = "It may need one classifier for all tasks: --set scenario.incremental=class."
        with foreign_code(f"strategy '{self.name}' cannot go on {when}", way_out):
            yield


@contextmanager
def foreign_code(what: str, way_out: str) -> Iterator[None]:
    """Run code of Avalanche's: what it prints goes to stderr, its warnings nowhere, and its errors become a UserError.

    The engine's own pass through: a run that diverges or is stopped ends as every other.
    """
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            if isinstance(error, UserError) or type(error).__module__.partition(".")[0] == "clbench":
                raise
            where = f"{Path(last.filename).name}, line {last.lineno}"
            raise UserError(f"{what}: {in_words(error)} ({where}). {way_out}") from error


class _Seat(SupervisedPlugin):
    """Lets the engine's watches look on: they meet the guest where a plugin meets its template."""

    def __init__(self, guest: Guest, watches: Sequence[SupervisedPlugin]) -> None:
        super().__init__()
        self.guest = guest
        self.watches = watches

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Tell that a stage begins."""
        for watch in self.watches:
            watch.before_training_exp(self.guest, **kwargs)

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Let the run be stopped."""
        if self.guest.between is not None:
            self.guest.between()

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Show the loss."""
        for watch in self.watches:
            watch.after_backward(self.guest, **kwargs)

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Tell that a step is done."""
        for watch in self.watches:
            watch.after_training_iteration(self.guest, **kwargs)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Tell that a stage is done."""
        for watch in self.watches:
            watch.after_training_exp(self.guest, **kwargs)


class _Scores(SupervisedPlugin):
    """Counts right answers of each task that is evaluated, after all that the strategy does to its scores."""

    def __init__(self, outputs: int, device: torch.device) -> None:
        super().__init__()
        self.outputs, self.device = outputs, device
        self.begin(set())

    def begin(self, counted: set[int]) -> None:
        """Forget the last row; count the confusion of some tasks of the next."""
        self.counted = counted
        self.accuracies: list[float] = []
        self.answers: list[int | None] = []
        self.confusions: list[Confusion | None] = []

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Start counting a task."""
        known = strategy.experience.classes_in_this_experience
        wanted = strategy.experience.tasks[0] in self.counted
        self._counts = Counts(known, self.outputs, self.device) if wanted else None
        self._right, self._all = 0, 0
        self._given: set[int] = set()

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Count a batch: the class of the highest score, among those that there are."""
        scores, labels = strategy.mb_output, strategy.mbatch[1]
        if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(labels):
            raise UserError(
                f"strategy '{type(strategy).__name__}' gives no score to each class in evaluation, so that nobody can "
                "say what it answers. Run another."
            )
        answers = scores[:, : self.outputs].argmax(1)
        self._right += int((answers == labels).sum())
        self._all += len(labels)
        self._given |= {*answers.unique().tolist()}
        if self._counts is not None:
            self._counts.add(labels, answers)

    def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Keep the task's numbers."""
        counts = self._counts
        self.accuracies.append(self._right / self._all)
        self.answers.append(self._given.pop() if len(self._given) == 1 else None)
        self.confusions.append(None if counts is None else counts.cells(counts.values.cpu()))
        strategy.experience.release()


class Features(nn.Module):
    """A network's features [n, features] of inputs, without its classifier; they share the weights and the count."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone: nn.Module = network.backbone
        self._rows: Rows = network.rows

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        self._rows.note(x)
        found: Tensor = self.backbone(x)
        return found


class OneHead(nn.Module, BaseModel):
    """A network with one classifier as Avalanche's own are: it can be asked for its features."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.classifier = network.classifier
        self._rows = network.rows

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [n, classes] of inputs."""
        logits: Tensor = self.classifier(self.get_features(x))
        return logits

    def get_features(self, x: Tensor) -> Tensor:
        """Return features [n, features] of inputs."""
        self._rows.note(x)
        found: Tensor = self.backbone(x)
        return found
