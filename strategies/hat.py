"""Hard attention to the task: each task learns which units it uses, and later ones cannot change those."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from clbench.data.tensors import sent
from clbench.errors import UserError
from clbench.registry import NonNegative, Ratio, strategy
from clbench.strategy import Learner, named_weights

from ._held import HoldsWeights
from ._units import HiddenLayer, hidden_layers

GATES = "classifier_gates"  # with a classifier's name, so that nobody takes them for weights of the backbone
FARTHEST = 6.0  # that an embedding may go from 0: the authors' code


@strategy("hat", family="network")
class HardAttention(HoldsWeights):
    """HAT: a learnt, nearly binary mask over units for each task, and no change to what earlier masks use.

    Serrà et al. 2018 (arXiv:1801.01423). A unit's output is multiplied by a = σ(s·e), e being learnt for each task and
    unit; s rises from 1/s_max to s_max over each epoch (eq. 3) and is s_max in evaluation. A weight between units i and
    j goes the share 1 − min(a_i, a_j) of its step, of the largest masks so far (eq. 2). The gradient of e is made up
    for the annealing of s (eq. 5), and c·Σ a(1 − a_before)/Σ(1 − a_before) is added to the loss (eq. 6), so that a task
    uses few units that are free. Only for tasks with a head each, and networks whose layers follow one another.
    s_max: how hard the masks get; 400 in the paper. c: how much a unit costs; .75 in the paper.

    Cost: a multiplication for each hidden unit and a copy of the backbone's weights each step; a number for each task
    and unit, and one for each weight.
    """

    method = "hat"

    def __init__(self, *, s_max: Ratio = 400.0, c: NonNegative = 0.75) -> None:
        super().__init__()
        self.s_max = s_max
        self.c = c
        self.layers: list[HiddenLayer] = []
        self.norms: list[nn.Module] = []
        self.used = torch.empty(0)  # [units], the largest masks of finished stages
        self.masks = torch.empty(0)  # of the batch's own pass, [units] or [samples, units]
        self.s = s_max
        self.batch = self.batches = 0
        self.hooks: list[RemovableHandle] = []

    def check(self, model: nn.Module) -> None:
        """Only networks with a head for each task and units that can be told apart."""
        super().check(model)
        for layer in hidden_layers(model, self.method):
            if layer.norm is not None and not isinstance(layer.norm, _NormBase):
                raise UserError(
                    "strategy 'hat' cannot hold what a unit says where a normalisation mixes it with those of later "
                    f"tasks, as {type(layer.norm).__name__} does. Use --set model.norm=none, or batch."
                )

    def before_training(self, learner: Learner, **kwargs: Any) -> None:
        """Draw every task's embeddings, N(0, 1), the first time; the optimiser finds them among the weights."""
        self.layers = hidden_layers(learner.model, self.method)
        if not hasattr(learner.model, GATES):
            heads, units = len(learner.model.classifier), sum(layer.units for layer in self.layers)  # type: ignore[arg-type]
            drawn = torch.randn(heads, units, generator=learner.random("attention"))
            learner.model.register_parameter(GATES, nn.Parameter(drawn.to(learner.device)))
            self.used = torch.zeros(units, device=learner.device)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Say how far each weight may go; of the embeddings, those of the stage's tasks alone."""
        gates = _gates(learner)
        self.norms = [layer.norm for layer in self.layers if layer.norm is not None] if learner.stage > 0 else []
        free = {id(parameter): share for parameter, share in self._free()}
        backbone = named_weights(learner.model).values()
        self.weights = [gates, *backbone]
        own = torch.zeros_like(gates)
        own[_heads(learner)] = 1.0
        self.shares = [own, *(free.get(id(weight), torch.ones_like(weight)) for weight in backbone)]

    def _free(self) -> list[tuple[Tensor, Tensor]]:
        """1 − min(a_i, a_j) of each weight between units i and j; 1 − a_j of what unit j has alone."""
        found: list[tuple[Tensor, Tensor]] = []
        read = torch.ones(1, device=self.used.device)  # the network's input is everybody's
        for layer, used in zip(self.layers, self._by_layer(self.used), strict=True):
            made = layer.incoming
            shape = [-1] + [1] * (made.weight.dim() - 1)
            least = torch.minimum(used.view(shape), read.view([1, *shape[:-1]]))
            found.append((made.weight, (1 - least).expand_as(made.weight).clone()))
            alone = [made.bias, *(layer.norm.parameters() if layer.norm else ())]
            found += [(one, 1 - used) for one in alone if isinstance(one, nn.Parameter)]
            read = layer.spread(used)
        return found

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """The masks begin soft in each epoch."""
        self.batch, self.batches = 0, len(learner.batch_sizes)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """s = 1/s_max + (s_max − 1/s_max)·(b − 1)/(B − 1) in batch b of B."""
        done = self.batch / max(self.batches - 1, 1)
        self.s = 1 / self.s_max + (self.s_max - 1 / self.s_max) * done
        self.batch += 1

    def pass_begins(self, learner: Learner) -> None:
        """Put the batch's masks on the units; the first stage's statistics are everybody's."""
        for norm in self.norms:
            norm.eval()
        if not hasattr(learner.model, GATES):
            return
        embedding = _gates(learner)[learner.heads]
        self.masks = mask(embedding, self.s if learner.is_training else self.s_max, self.s_max)
        self.hooks = [
            layer.read.register_forward_hook(_multiplied(layer, one))
            for layer, one in zip(self.layers, self._by_layer(self.masks), strict=True)
        ]

    def pass_ends(self, learner: Learner) -> None:
        """And take them away: others run the network without."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """+ c·Σ a(1 − a_before)/Σ(1 − a_before), over units; the mean over samples where tasks are mixed."""
        free = 1 - self.used
        masks = self.masks if self.masks.dim() == 1 else self.masks.mean(0)
        learner.loss = learner.loss + self.c * (masks * free).sum() / free.sum().clamp_min(1e-6)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Keep the embeddings within bounds too."""
        super().after_update(learner, **kwargs)
        _gates(learner).clamp_(-FARTHEST, FARTHEST)

    @torch.no_grad()
    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """The stage's tasks use their units from now on."""
        hard = torch.sigmoid(self.s_max * _gates(learner)[_heads(learner)])
        self.used = torch.maximum(self.used, hard.amax(0))
        self.weights, self.shares, self.masks = [], [], torch.empty(0)

    def _by_layer(self, units: Tensor) -> list[Tensor]:
        """Values of all units [..., units], layer by layer."""
        return list(units.split([layer.units for layer in self.layers], dim=-1))


def mask(embedding: Tensor, s: float, s_max: float) -> Tensor:
    """a = σ(s·e), whose gradient is s_max·σ′(e) whatever s is.

    Eq. 5 multiplies the gradient with s_max·(cosh(s·e) + 1) / (s·(cosh(e) + 1)); with σ′(x) = 1/(2(cosh x + 1)) this
    is what is left of it, and nothing overflows.
    """
    soft = s_max * torch.sigmoid(embedding)
    return torch.sigmoid(s * embedding).detach() + (soft - soft.detach())


def _multiplied(layer: HiddenLayer, units: Tensor):  # type: ignore[no-untyped-def]
    """A hook that multiplies what the readers of a layer read: masks are at least 0, so pooling may come first."""

    def multiply(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        spread = units.to(output.dtype).repeat_interleave(output.shape[1] // layer.units, dim=-1)
        return output * spread.reshape([*spread.shape, *[1] * (output.dim() - 2)])

    return multiply


def _heads(learner: Learner) -> Tensor:
    """Those that the stage uses, on the device."""
    return sent(learner.data.told[1].unique(), learner.device)


def _gates(learner: Learner) -> nn.Parameter:
    found: nn.Parameter = getattr(learner.model, GATES)
    return found
