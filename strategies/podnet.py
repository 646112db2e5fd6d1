"""PODNet: pooled outputs distillation, on a cosine classifier with proxies."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.errors import UserError
from clbench.models.cosine import put_in
from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner

from ._budget import Budget
from ._exemplars import Choice
from ._passes import KeepsFeatures, features_by
from ._rehearsal import Classes, Rehearsal


@strategy("podnet", family="memory")
class PooledOutputs(Rehearsal, KeepsFeatures):
    """PODNet: the old network's maps, pooled along each side, and features are held; classes have several proxies.

    Douillard et al. 2020 (arXiv:2004.13513): the classifier becomes η·Σ_k softmax(s)_k·s_k of cosines s with a class's
    ``proxies``, η learnt (eq. 9), and has the NCA loss [−log(exp(z_y − δ) / Σ_{i≠y} exp(z_i))]_+ of its logits z. In
    eq. 10 η multiplies δ too, which makes η = 0 the best; in the authors' code δ is taken from all logits, and cancels.
    + √(all/new)·(flat·(1 − cos(f, f_old)) + spatial·mean over layers of ‖p(h) − p(h_old)‖), where p squares maps, sums
    them over each side, joins both and normalises (eq. 4; the authors' code). Layers: the last maps of each size.
    Proxies are drawn, where the paper's come from clusters; there is no balanced fine-tuning after a stage.
    memory, per_class, selection: as for 'icarl'.
    flat, spatial: strengths. proxies: how many of each class. margin: δ.

    Cost: as for 'wa', and of each layer's maps sums and a norm.
    """

    method = "podnet"

    def __init__(
        self,
        *,
        memory: Budget = 500,
        per_class: Count | None = None,
        selection: Choice = "herding",
        flat: NonNegative = 1.0,
        spatial: NonNegative = 5.0,
        proxies: Count = 10,
        margin: NonNegative = 0.6,
    ) -> None:
        super().__init__(memory, per_class, selection)
        self.flat = flat
        self.spatial = spatial
        self.proxies = proxies
        self.margin = margin
        self.old_features: Tensor | None = None
        self.maps: list[Tensor] = []
        self.old_maps: list[Tensor] = []
        self.hooks: list[Any] = []

    def check(self, model: nn.Module) -> None:
        """Convolutions, besides."""
        super().check(model)
        if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
            raise UserError(
                "strategy 'podnet' holds the maps of convolutions, and the network has none. Use a model such as "
                "resnet18, cnn6 or lenet on images, or strategy lucir."
            )

    def prepare(self, model: nn.Module) -> None:
        """Put the cosine classifier in."""
        put_in(model, self.proxies)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Divide the classes; look at features and maps."""
        super().before_training_exp(learner, **kwargs)
        self.watch(learner.model)
        self.hooks = [layer.register_forward_hook(self._note) for layer in layers_of(learner.model)]

    def _note(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if self.looking and output.dim() == 4:
            self.maps.append(output)

    def pass_begins(self, learner: Learner) -> None:
        """Begin with no maps."""
        super().pass_begins(learner)
        self.maps = []

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """The old network's maps and features."""
        assert self.classes is not None
        if not len(self.classes.old):
            return
        found: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda module, inputs, output: found.append(output))
            for layer in layers_of(self.teacher)
        ]
        self.old_features = features_by(learner, self.teacher)
        for hook in hooks:
            hook.remove()
        self.old_maps = [one for one in found if one.dim() == 4]

    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """NCA, and what the old network holds."""
        loss = margin_nca(logits, targets, self.margin)
        if self.old_features is None:
            return loss
        assert self.features is not None
        turned = (1 - functional.cosine_similarity(self.features.float(), self.old_features)).mean()
        maps, old_maps = last_of_each_size(self.maps), last_of_each_size(self.old_maps)
        held = self.flat * turned + self.spatial * pooled_distance(maps, old_maps)
        return loss + math.sqrt(len(classes.seen) / len(classes.new)) * held

    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of maps: a checkpoint need not hold them."""
        self.maps, self.old_maps = [], []

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Choose exemplars; let go of features and maps."""
        self.unwatch()
        for hook in self.hooks:
            hook.remove()
        super().after_training_exp(learner, **kwargs)
        self.old_features = None
        self.hooks = []


def layers_of(model: Any) -> list[nn.Module]:
    """The layers of a backbone, one after another."""
    layers = [*model.backbone.children()]
    while len(layers) == 1 and [*layers[0].children()]:
        layers = [*layers[0].children()]
    return layers


def last_of_each_size(maps: list[Tensor]) -> list[Tensor]:
    """The last maps of each height and width, larger than 1 × 1, in order."""
    found = {one.shape[2:]: one for one in maps if one.shape[2:] != (1, 1)}
    return list(found.values())


def pooled_distance(maps: list[Tensor], old: list[Tensor]) -> Tensor:
    """Mean over layers and samples of ‖p(h) − p(h_old)‖; maps [n, channels, height, width]."""
    found = [(pooled(one) - pooled(other)).norm(dim=1).mean() for one, other in zip(maps, old, strict=True)]
    return torch.stack(found).mean()


def pooled(maps: Tensor) -> Tensor:
    """Squared maps summed over width and over height, joined and L2-normalised [n, channels·(height + width)]."""
    squares = maps.float().square()
    return functional.normalize(torch.cat([squares.sum(3).flatten(1), squares.sum(2).flatten(1)], dim=1))


def margin_nca(logits: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Mean of [−log(exp(z_y − margin) / Σ_{i≠y} exp z_i)]_+; 0 where there is one class."""
    right = logits.gather(1, targets[:, None])[:, 0]
    others = logits.scatter(1, targets[:, None], float("-inf")).logsumexp(1)
    return (others - right + margin).clamp_min(0).mean()
