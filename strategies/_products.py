"""Inner products of single samples' gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from clbench.strategy import Learner, evaluating, named_weights
from clbench.strategy.closed_forms import of_samples
from clbench.strategy.per_sample import VMAP_CHUNK, LayerTape


def gradient_products(learner: Learner, x: Tensor, labels: Tensor, heads: Tensor) -> Tensor:
    """Inner products [n, n] of n samples' gradients of cross-entropy by all weights, the network in evaluation mode.

    One forward and one backward pass over all of them. A linear layer's gradients are δ_n a_nᵀ, whose products are
    (δ_n·δ_m)(a_n·a_m); other layers form each sample's (``closed_forms.py``), and what has no closed form goes through
    ``torch.func``.
    """
    named = named_weights(learner.model, include_head=True)
    wanted = {id(weight) for weight in named.values()}
    tape = LayerTape(learner.model, list(named.values()))
    with torch.enable_grad(), evaluating(learner.model):
        with tape.recording():
            loss = functional.cross_entropy(learner.logits(x, heads), labels, reduction="sum")
        found = iter(torch.autograd.grad(loss, [output for runs in tape.outputs.values() for output in runs]))
        products = x.new_zeros(len(x), len(x), dtype=torch.float32)
        for layer, inputs in tape.inputs.items():
            held = [isinstance(own, Tensor) and id(own) in wanted for own in (layer.weight, layer.bias)]
            products += _of_layer(layer, inputs, [next(found) for _ in inputs], held)
        others = {id(weight) for weight in tape.others}
        left = {name: weight.detach() for name, weight in named.items() if id(weight) in others}
        return products + _of_others(learner, left, x, labels, heads) if left else products


@torch.no_grad()
def _of_layer(layer: nn.Module, inputs: list[Tensor], errors: list[Tensor], held: list[bool]) -> Tensor:
    """The products by a layer's weight and bias, those that are held to learn."""
    if isinstance(layer, nn.Linear) and len(inputs) == 1 and inputs[0].dim() == 2:
        a, delta = inputs[0].float(), errors[0].float()
        return (delta @ delta.T) * (held[0] * (a @ a.T) + held[1])
    parts = zip(*of_samples(layer, inputs, errors), strict=True)
    flat = [torch.cat(part).flatten(1) for part, learns in zip(parts, held, strict=True) if learns]
    whole = torch.cat(flat, dim=1)
    return whole @ whole.T


def _of_others(learner: Learner, weights: dict[str, Tensor], x: Tensor, labels: Tensor, heads: Tensor) -> Tensor:
    """The same by weights without a closed form, such as what is added to tokens."""

    def loss(parameters: dict[str, Tensor], sample: Tensor, label: Tensor, head: Tensor) -> Tensor:
        return functional.cross_entropy(learner.logits(sample[None], head[None], parameters), label[None])

    per_sample = vmap(grad(loss), in_dims=(None, 0, 0, 0), chunk_size=VMAP_CHUNK)
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no batching rule
        found: dict[str, Tensor] = per_sample(weights, x, labels, heads)
    whole = torch.cat([one.flatten(1) for one in found.values()], dim=1)
    return whole @ whole.T
