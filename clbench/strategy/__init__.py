"""What a continual-learning method may use: Avalanche's callbacks and a few named hooks more.

A strategy overrides the callbacks it needs; each receives the learner (Avalanche calls it "strategy"). In a training
step they come in this order::

    before_forward → after_forward → before_backward → after_backward → before_update → after_update

A sharpness-aware optimiser computes the loss of a batch twice, and calls ``task_loss`` and ``before_backward`` each
time: what is drawn for a step is drawn in ``before_forward`` or ``after_forward``, which are called once.

``after_backward`` is for *looking* at the task's own gradient; gradients are *changed* in ``before_update``, so that
composed methods see the same gradient whatever their order.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from clbench.avalanche import MultiTaskModule, SupervisedPlugin
from clbench.data.tensors import TaskData

Weights = list[Tensor]
# Hooks between a step's batch and its update, which a GPU may record and replay.
REPLAYED = (
    "after_forward",
    "before_backward",
    "after_backward",
    "before_update",
    "task_loss",
    "pass_begins",
    "pass_ends",
)


class Learner(Protocol):
    """The learner, as far as a strategy needs to know it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    plugins: list[SupervisedPlugin]
    loss: Tensor
    mbatch: list[Tensor]
    mb_output: Tensor
    train_mb_size: int
    stage_steps: int
    is_training: bool
    arrived: int
    device: torch.device
    upstream: TaskData | None
    classes_return: bool  # a label that comes again in a later stage is the same class, and not one of another task

    @property
    def data(self) -> TaskData:
        """Training data of the current stage."""

    @property
    def removed(self) -> TaskData | None:
        """Training samples of earlier stages that the current stage asks to be forgotten; ``data`` are then those that
        stay. None where it asks for nothing.
        """

    @property
    def heads(self) -> Tensor | int:
        """Head of the mini-batch's samples where they share one that is known, else the head of each."""

    @property
    def stage(self) -> int:
        """Number of stages that are finished."""

    @property
    def raw(self) -> Tensor:
        """Images of the mini-batch as they came, uint8: neither augmented nor normalised. The first ``arrived`` samples
        of ``mbatch`` are theirs. UserError if another plugin has brought batches of its own.
        """

    @property
    def batch_sizes(self) -> list[int]:
        """How many samples each step of an epoch of the stage has; UserError as for ``raw``."""

    @property
    def updates(self) -> int:
        """How many steps each batch is trained for, one after another: so many of ``batch_sizes`` are of one batch."""

    @property
    def last_update(self) -> bool:
        """Whether this step is the last of its batch's ``updates``."""

    @abstractmethod
    def augmented(self, images: Tensor) -> Tensor:
        """Augment uint8 images beside the batch as the run augments the batch, with random numbers of their own."""

    @abstractmethod
    def logits(
        self,
        x: Tensor,
        heads: Tensor | int,
        parameters: dict[str, Tensor] | None = None,
        of: nn.Module | None = None,
    ) -> Tensor:
        """Logits of inputs as they are trained on: float32, unseen classes masked if the run masks them.

        ``parameters`` stand in for the model's own, for ``torch.func``; ``of`` is a network like the run's own, such as
        a teacher, that answers in its place.
        """

    @abstractmethod
    def random(self, purpose: str) -> torch.Generator:
        """Return a CPU generator of the run's seed for one purpose, independent of every other."""


@dataclass(frozen=True)
class Protection:
    """How a method holds weights in the current stage, for diagnostics; all by name of weight.

    ``strength`` is λA of a penalty (2λA without the ½), which a step of plain SGD multiplies with η, or the share R of
    the way back to the anchor that explicit interpolation went in its last step.
    """

    kind: Literal["penalty", "explicit"]
    importance: dict[str, Tensor]
    strength: dict[str, Tensor]


@dataclass(frozen=True)
class Ahead:
    """What a method may know of a run before it begins, so as to refuse what it cannot do.

    ``incremental``: 'class', 'task' or 'domain'. ``outputs``: how many classes a head must tell apart, the largest
    where they differ. ``logits``: which classes the run trains on: 'all', those 'seen' so far, or the stage's own
    ('current'). ``classes()``: the labels of each stage; a long stream makes its tasks for it.
    """

    incremental: str
    outputs: int
    logits: str
    classes: Callable[[], list[list[int]]]


@dataclass(frozen=True)
class Upstream:
    """Another dataset, by name, that a method trains on beside the stream; its first so many classes, or all."""

    name: str
    classes: int | None


class Strategy(SupervisedPlugin):
    """Base class of strategies: fine-tuning, unless a hook says otherwise.

    ``exclusive`` says what the method does that no other part of a composition may do too. ``trains`` False: it
    answers by a rule in the network's place, so that no other part could have a say. ``forgets``: it answers requests
    to forget training samples (``learner.removed``), and is for streams that make one. ``holds``: weights of earlier
    tasks stay as they are, so that no other part may be one that ``rewrites``: sets weights otherwise than by the
    optimiser's step, or takes them out of training.
    """

    exclusive: ClassVar[str | None] = None
    trains: ClassVar[bool] = True
    forgets: ClassVar[bool] = False
    holds: ClassVar[bool] = False
    rewrites: ClassVar[bool] = False

    def stages(self, tasks: int) -> list[list[int]] | None:
        """Say which tasks' data each training stage uses; None leaves it to the scenario."""
        return None

    def check(self, model: nn.Module) -> None:
        """Refuse a network that the method cannot work on, before training: UserError that says which it can."""

    def check_stream(self, ahead: Ahead) -> None:
        """Refuse a stream that the method cannot work on, before training: UserError that says which it can."""

    def prepare(self, model: nn.Module) -> None:
        """Change the network before its optimiser is made, for instance put another classifier in.

        The network is whole, on the CPU, and has passed ``check``. A checkpoint is put back into a network that was
        prepared likewise.
        """

    def upstream(self) -> Upstream | None:
        """Say which other dataset is needed as ``learner.upstream``."""
        return None

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """Say what the coming stage trains on, given its own data."""
        return data

    def stage_epochs(self, learner: Learner) -> int | None:
        """Say for how many epochs the coming stage trains, whatever the run says; None leaves it to the run.

        0: the network stays as it is. In a composition the longest counts.
        """
        return None

    @property
    def own_loss(self) -> bool:
        """Whether ``task_loss`` may say something; of one part of a composition alone."""
        return type(self).task_loss is not Strategy.task_loss

    @property
    def own_answers(self) -> bool:
        """Whether it may answer in the classifier's place when tasks are evaluated; so may one part alone."""
        return type(self).after_eval_forward is not SupervisedPlugin.after_eval_forward

    def task_loss(self, learner: Learner) -> Tensor | None:
        """Say what the loss of the mini-batch is; None leaves it at cross-entropy."""
        return None

    def pass_begins(self, learner: Learner) -> None:
        """Called before the network computes a batch's own outputs, in training and evaluation; under a sharpness-aware
        optimiser a second time in a step. What other parts of a composition compute on the way is not between the two.
        """

    def pass_ends(self, learner: Learner) -> None:
        """Called when it has."""

    def repeats(self) -> bool:
        """Say whether ``after_forward`` to ``before_update`` do the same to the same tensors in every step of a stage.

        A GPU may then record a step and replay it: nothing there may be drawn, counted or decided by the host, or be
        kept in a new tensor from one step to the next. What overrides none of these hooks does.
        """
        return all(getattr(type(self), hook) is getattr(Strategy, hook) for hook in REPLAYED)

    def protection(self) -> Protection | None:
        """Say how weights are held, where a method does that."""
        return None

    def warnings(self) -> list[str]:
        """Say, when the run is over, what a reader of its numbers must know, as '<kind>: <sentence>'; nothing if all is
        well. For instance 'never fired: no stage is as long as 1000 steps' or 'unstable: ηλA up to 3.1'.
        """
        return []


def named_weights(model: nn.Module, include_head: bool = False) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name: those of the backbone, or of the classifier too."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (include_head or not name.startswith("classifier"))
    }


def has_heads(model: nn.Module) -> bool:
    """Say whether each task has a head of its own, rather than one classifier for all."""
    return isinstance(model, MultiTaskModule)


def gradients(parameters: Sequence[nn.Parameter]) -> Weights:
    """Return the parameters' gradients, sharing memory; zeros are put where the step gave none."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters]  # type: ignore[misc]


def values(parameters: Sequence[nn.Parameter]) -> Weights:
    """Return the parameters' values, sharing memory, outside of autograd."""
    return [parameter.detach() for parameter in parameters]


def copies(parameters: Sequence[nn.Parameter]) -> Weights:
    """Return copies of the parameters' values."""
    return [parameter.detach().clone() for parameter in parameters]


def layer_of(name: str) -> str:
    """Return the layer that a parameter's name belongs to."""
    return name.rpartition(".")[0]


def by_layer(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join the values of each layer's parameters: layer → [weights]."""
    layers: dict[str, list[Tensor]] = defaultdict(list)
    for name, value in named.items():
        layers[layer_of(name)].append(value.detach().flatten())
    return {layer: torch.cat(values) for layer, values in layers.items()}


def grown(known: Tensor | None, start: Tensor) -> Tensor:
    """Return what is known of a weight, in the shape of ``start``, whose values new rows of a growing classifier get.

    ``start`` is written to; ``known`` itself comes back where nothing has grown.
    """
    if known is None:
        return start
    if known.shape == start.shape:
        return known
    start[: len(known)] = known
    return start


def as_units(output: Tensor) -> Tensor:
    """Return a layer's outputs as [samples, units]; each place of a map, and each token, is a sample of its unit."""
    if output.dim() == 3:  # [samples, tokens, units]
        return output.flatten(0, 1)
    return output if output.dim() == 2 else output.transpose(0, 1).flatten(1).T


def weight_groups(parameter: Tensor) -> Tensor:
    """Return a parameter's groups of weights as [..., weights of a group]: DASH's (Shin et al. 2024, arXiv:2410.23495).

    A linear layer's output row [rows, in]; a convolution's kernel of each pair [out, in, k·k]; a bias whole [1, n]; of
    what is added to tokens [1, tokens, n], each token's.
    """
    match parameter.dim():
        case 1:
            return parameter.reshape(1, -1)
        case 4:
            return parameter.flatten(2)
    return parameter


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode; afterwards each of its modules is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
