"""The plugin that measures: the network before training and after each stage, gradients before each later stage."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clbench.avalanche import SupervisedPlugin
from clbench.data.tensors import TaskData
from clbench.diagnostics import activity, gradients
from clbench.diagnostics.holding import holding
from clbench.diagnostics.similarity import cka
from clbench.strategy import Strategy, Weights, as_units, evaluating, grown, named_weights, values

SAMPLES = 1000
COMPARED = 300  # images of the first stage on which features are compared over stages
ACTIVATIONS = ("ReLU", "Tanh", "GELU", "ConcatenatedReLU", "DeepFourier")
Measured = dict[str, Any]


class Diagnostics(SupervisedPlugin):
    """Measures without touching: neither weights, nor statistics, nor the run's random numbers change.

    ``network`` has an entry before training and one after each stage: dead and dormant share of each activation's
    units, linear share of rectified ones, share of the backbone's weights that are 0 and of its groups (units, maps)
    that live, effective rank and srank of the features, norm of the weights and their distance from where they began.
    ``boundaries`` has one before each later stage, before any strategy acts: gradient norms on old, new and all data,
    and for each layer a histogram of cos(−∇L, w) over its groups of weights, with the share that DASH would clamp.
    ``held`` has, after each stage, how firmly the strategy held the weights in it (None: it did not), and ``cka`` how
    alike each layer's features of the first stage's images are to those that they had after that stage.
    Up to 1,000 images of each kind are looked at.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network: list[Measured] = []
        self.boundaries: list[Measured] = []
        self.held: list[Measured | None] = []
        self.cka: list[dict[str, float]] = []
        self._first: TaskData | None = None
        self._features: dict[str, Tensor] = {}
        self._begun: dict[str, Tensor] = {}
        self._old: TaskData | None = None
        self._before = 0  # images of the last stage
        self._rate = 0.0  # the stage's largest learning rate

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Measure what a strategy is about to meet."""
        for name, weight in learner.model.named_parameters():
            self._begun[name] = grown(self._begun.get(name), weight.detach().clone())
        self._rate = 0.0
        if learner.stage == 0:
            self.network.append(self._look(learner))
        else:
            self.boundaries.append(self._boundary(learner, named_weights(learner.model, include_head=True)))

    def before_update(self, learner: Any, **kwargs: Any) -> None:
        """Note the learning rate: a schedule ends at a small one, which says nothing about the stage."""
        self._rate = max(self._rate, learner.optimizer.param_groups[0]["lr"])

    def after_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Measure what the stage has made, before the strategy takes it in; keep a few of its images as old ones."""
        self.network.append(self._look(learner))
        self.held.append(self._holding(learner))
        self.cka.append(self._likeness(learner))
        self._before = len(learner.data)
        random = learner.random(f"diagnostics of stage {learner.stage}")
        stages = learner.stage + 1
        new = learner.data.drawn(max(SAMPLES // stages, 1), random)
        kept = None if self._old is None else self._old.drawn(SAMPLES - len(new), random)
        self._old = new if kept is None else TaskData.concat([kept, new])

    @property
    def found(self) -> Measured:
        """All that was measured, as it stands in a Result."""
        return {"network": self.network, "boundaries": self.boundaries, "held": self.held, "cka": self.cka}

    def _holding(self, learner: Any) -> Measured | None:
        """Of the first part of a composition that holds weights."""
        asked = [plugin.protection() for plugin in learner.plugins if isinstance(plugin, Strategy)]
        found = [protection for protection in asked if protection is not None]
        return holding(found[0], self._rate) if found else None

    def _likeness(self, learner: Any) -> dict[str, float]:
        """CKA of each activation with itself after the first stage; multi-head networks share all of them."""
        if self._first is None:
            self._first = learner.data.drawn(COMPARED, learner.random("compared over stages"))
        if len(self._first) <= 3:  # too few for the unbiased estimate
            return {}
        outputs = outputs_of(learner, self._first)[0]
        if not self._features:
            self._features = outputs
        return {name: float(cka(self._features[name], found)) for name, found in outputs.items()}

    def _look(self, learner: Any) -> Measured:
        data = learner.data.drawn(SAMPLES, learner.random(f"looked at in stage {learner.stage}"))
        found, features = outputs_of(learner, data)
        outputs = {name: as_units(output) for name, output in found.items()}
        features = features.nan_to_num().clamp(-1e15, 1e15)  # weights may be finite and their outputs not
        singular = torch.linalg.svdvals(features)
        named = dict(learner.model.named_parameters())
        wide = {name: weight for name, weight in named.items() if weight.dim() > 1}
        # A linear classifier has no layers before it.
        layers = [one for name, one in wide.items() if not name.startswith("classifier")] or list(wide.values())
        rectified = {name for name, module in learner.model.named_modules() if isinstance(module, nn.ReLU)}
        weights: Weights = values(list(named.values()))
        moved = [weight - self._begun[name] for name, weight in zip(named, weights, strict=True)]
        return {
            "dead": {name: float(activity.dead_share(found)) for name, found in outputs.items()},
            "linear": {
                name: float(activity.linear_share(units)) for name, units in outputs.items() if name in rectified
            },
            "zero_weights": float(torch.cat([layer.flatten() == 0 for layer in layers]).float().mean()),
            "live_groups": float(torch.stack([activity.live_groups(layer) for layer in layers]).mean()),
            "dormant": {name: float(activity.dormant_share(found)) for name, found in outputs.items()},
            "effective_rank": float(activity.effective_rank(singular)),
            "srank": int(activity.srank(singular)),
            "weight_norm": float(gradients.norm(weights)),
            "distance_from_init": float(gradients.norm(moved)),
        }

    def _boundary(self, learner: Any, weights: dict[str, nn.Parameter]) -> Measured:
        parts = dict(zip(("old", "new"), self._old_and_new(learner), strict=True))
        parameters = list(weights.values())
        with evaluating(learner.model), learner.rows.paused():
            found = {kind: gradients.mean_gradient(learner, part, parameters) for kind, part in parts.items()}
            both = gradients.mean_gradient(learner, TaskData.concat(list(parts.values())), parameters)
        norms = {kind: float(gradients.norm(gradient)) for kind, gradient in (found | {"all": both}).items()}
        aligned = {
            name: gradients.cosines(weight.detach(), gradient)
            for (name, weight), gradient in zip(weights.items(), both, strict=True)
            if gradient is not None and weight.dim() > 1
        }
        return {
            "gradient_norm": norms,
            "cosines": {name: gradients.histogram(values) for name, values in aligned.items()},
            "clamped": gradients.clamped_share(torch.cat(list(aligned.values()))),
        }

    def _old_and_new(self, learner: Any) -> tuple[TaskData, TaskData]:
        """Images of earlier stages, and those that are new: where data grow, the stage's own data hold both."""
        data: TaskData = learner.data
        random = learner.random(f"old and new data of stage {learner.stage}")
        assert self._old is not None
        if len(learner.experience.tasks) > 1 and len(data) > self._before:
            old, new = torch.arange(self._before), torch.arange(self._before, len(data))
            parts = [data.subset(index.to(data.labels.device)) for index in (old, new)]
            return parts[0].drawn(SAMPLES, random), parts[1].drawn(SAMPLES, random)
        return self._old, data.drawn(SAMPLES, random)


def outputs_of(learner: Any, data: TaskData) -> tuple[dict[str, Tensor], Tensor]:
    """What each activation makes of some images, by layer, and the features."""
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: outputs.__setitem__(name, output))
        for name, module in learner.model.named_modules()
        if type(module).__name__ in ACTIVATIONS
    ]
    with torch.no_grad(), evaluating(learner.model):
        features = learner.model.backbone(data.inputs(data.samples)).float()
    for hook in hooks:
        hook.remove()
    return outputs, features
