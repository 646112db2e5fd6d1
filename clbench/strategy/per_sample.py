"""Sums over samples of squared or absolute per-sample gradients, in one backward pass.

For a linear layer with input a and backpropagated error δ, sample n's gradient is δ_n a_nᵀ, so that
Σ_n g_n² = (δ²)ᵀ(a²) and Σ_n |g_n| = |δ|ᵀ|a|: one matrix product (Goodfellow 2015, arXiv:1510.01799), and one for all
terms together, since they share a: Σ_c Σ_n g_nc² = (Σ_c δ_c²)ᵀ(a²). Other layers form each sample's gradient
(``closed_forms.py``). Weights without a closed form go through ``torch.func``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from clbench.data.tensors import TaskData
from clbench.strategy import Learner
from clbench.strategy.closed_forms import has_closed_form, of_samples

Moment = Callable[[Tensor], Tensor]  # torch.square or torch.abs
BATCH = 256
VMAP_CHUNK = 64


@dataclass(frozen=True)
class Term:
    """A per-sample function φ(logits [n, classes], extra [n, …]) → [n], and its extra argument."""

    phi: Callable[[Tensor, Tensor], Tensor]
    extra: Tensor


class LayerTape:
    """Records inputs and outputs of the layers that have a closed form, during one forward pass."""

    def __init__(self, model: nn.Module, weights: Sequence[nn.Parameter]) -> None:
        wanted = {id(weight) for weight in weights}
        self.layers = [
            module
            for module in model.modules()
            if has_closed_form(module) and any(id(p) in wanted for p in module.parameters(recurse=False))
        ]
        covered = {id(p) for layer in self.layers for p in layer.parameters(recurse=False)}
        self.others = [weight for weight in weights if id(weight) not in covered]
        self.inputs: dict[nn.Module, list[Tensor]] = {}  # of each time that a layer ran
        self.outputs: dict[nn.Module, list[Tensor]] = {}
        self.errors: dict[nn.Module, Tensor] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record while the model runs."""

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            self.inputs.setdefault(layer, []).append(inputs[0].detach())
            self.outputs.setdefault(layer, []).append(output)
            return output.clone()  # what follows may change its input in place

        self.inputs, self.outputs, self.errors = {}, {}, {}
        handles = [layer.register_forward_hook(note) for layer in self.layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def add_moments(self, objective: Tensor, moment: Moment, sums: dict[int, Tensor]) -> None:
        """Add Σ_n moment(∂objective_n/∂w) to ``sums[id(w)]``; ``objective`` is the sum over samples.

        What can wait for the batch's other terms is added by ``finish``.
        """
        outputs = [output for runs in self.outputs.values() for output in runs]  # heads of other tasks have not run
        found = iter(torch.autograd.grad(objective, outputs, retain_graph=True))
        for layer, inputs in self.inputs.items():
            errors = [next(found) for _ in inputs]
            if not isinstance(layer, nn.Linear) or len(inputs) > 1 or inputs[0].dim() > 2:
                for weight, bias in of_samples(layer, inputs, errors):
                    _add(sums, layer.weight, moment(weight).sum(0))
                    _add(sums, layer.bias, moment(bias).sum(0))
            elif layer in self.errors:
                self.errors[layer] += moment(errors[0].float())
            else:
                self.errors[layer] = moment(errors[0].float())

    def finish(self, moment: Moment, sums: dict[int, Tensor]) -> None:
        """Add what linear layers have gathered over a batch's terms."""
        for layer, error in self.errors.items():
            _add(sums, layer.weight, error.T @ moment(self.inputs[layer][0].float()))
            _add(sums, layer.bias, error.sum(0))


def _add(sums: dict[int, Tensor], weight: Tensor | nn.Module | None, value: Tensor) -> None:
    if isinstance(weight, Tensor) and id(weight) in sums:
        sums[id(weight)] += value.reshape(weight.shape)


def mean_moments(
    learner: Learner,
    weights: Sequence[nn.Parameter],
    data: TaskData,
    terms: Callable[[Tensor, Tensor], list[Term]],
    moment: Moment,
) -> list[Tensor]:
    """Mean over samples of Σ_terms moment(∂φ_n/∂w), the network in evaluation mode.

    ``terms(logits, labels)`` says which per-sample functions of the logits to differentiate.
    """
    model = learner.model
    tape = LayerTape(model, weights)
    names = {id(weight): name for name, weight in model.named_parameters()}
    others = {names[id(weight)]: weight.detach() for weight in tape.others}
    sums = {id(weight): torch.zeros_like(weight) for weight in weights}
    was_training = model.training
    model.eval()
    for x, labels, heads in data.batches(BATCH):
        shared = data.shared(heads)
        with torch.enable_grad(), tape.recording():
            logits = learner.logits(x, shared)
        for term in terms(logits.detach(), labels):
            with torch.enable_grad():
                objective = term.phi(logits, term.extra).sum()
            tape.add_moments(objective, moment, sums)
            if others:
                found = _other_moments(learner, others, term, x, shared, moment)
                for weight in tape.others:
                    sums[id(weight)] += found[names[id(weight)]]
        tape.finish(moment, sums)
    model.train(was_training)
    return [sums[id(weight)] / len(data) for weight in weights]


def _other_moments(
    learner: Learner, others: dict[str, Tensor], term: Term, x: Tensor, heads: Tensor | int, moment: Moment
) -> dict[str, Tensor]:
    """The same sums for weights without a closed form, such as what is added to tokens."""

    def phi(parameters: dict[str, Tensor], sample: Tensor, extra: Tensor, head: Tensor | int) -> Tensor:
        head = head if isinstance(head, int) else head[None]
        return term.phi(learner.logits(sample[None], head, parameters), extra[None])[0]

    heads_in = None if isinstance(heads, int) else 0
    per_sample = vmap(grad(phi), in_dims=(None, 0, 0, heads_in), chunk_size=VMAP_CHUNK)
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no batching rule
        found: dict[str, Tensor] = per_sample(others, x, term.extra, heads)
    return {name: moment(gradient).sum(0) for name, gradient in found.items()}
