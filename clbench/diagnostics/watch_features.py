"""The plugin that looks at features: what they are good for, what they know, and whether the network runs backwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clbench.avalanche import SupervisedPlugin
from clbench.data.tensors import TaskData
from clbench.diagnostics import features
from clbench.diagnostics.clones import Kind, clones
from clbench.diagnostics.pictures import as_pixels
from clbench.diagnostics.watch import SAMPLES, outputs_of
from clbench.models.reverse import IrreversibleError, Reversal
from clbench.strategy import Learner, evaluating
from clbench.strategy.per_sample import Term, mean_moments

SHOWN = 6
SENSED = 256  # images whose gradients are taken
KINDS: tuple[Kind, ...] = ("isotropic", "gaussian")
Measured = dict[str, Any]


class FeatureWatch(SupervisedPlugin):
    """Measures without touching, as ``Diagnostics`` does.

    ``probe`` has an entry before each stage: the accuracy of a linear classifier on the features that the stage finds,
    fitted and scored on up to 1,000 images each of its own training data (the first: of an untrained network).
    ``features`` has one after each stage: by layer the information about input and label, the mean squared norm of
    ∇_θ f(x), the error of the reverse pass relative to the images (None: cannot be gone back through), how much the
    first layer's singular vectors look like images, and accuracy on the stage's test images and on Gaussian clones of
    them. ``pictures``, after the last stage: inputs, what the reverse pass makes of them, and those vectors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.probe: list[float] = []
        self.features: list[Measured] = []
        self.pictures: Measured = {}
        self._due: list[int] = []  # tasks of the stage whose test images have not been met yet

    @property
    def found(self) -> Measured:
        """All that was measured, as it stands in a Result."""
        return {"probe": self.probe, "features": self.features, "pictures": self.pictures}

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Probe the features on what is to come."""
        data = learner.data.drawn(2 * SAMPLES, learner.random(f"probe of stage {learner.stage}"))
        rows = torch.arange(len(data), device=data.labels.device)
        if data is learner.data:  # in order, perhaps by class
            rows = torch.randperm(len(data), generator=learner.random("halves")).to(rows.device)
        halves = [data.subset(part) for part in rows.chunk(2)]
        if len(halves) == 2:
            (train, train_labels), (test, test_labels) = ((_features(learner, one), _classes(one)) for one in halves)
            self.probe.append(features.probe(train, train_labels, test, test_labels))

    def after_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Look at what the stage has made."""
        data = learner.data.drawn(SAMPLES, learner.random(f"features of stage {learner.stage}"))
        found = outputs_of(learner, data)[0]
        known = {name: features.information(output, _classes(data)) for name, output in found.items()}
        few = data.subset(torch.arange(min(SENSED, len(data)), device=data.labels.device))
        with learner.rows.paused():
            sensed = sensitivity(learner, few)
        self.features.append(
            {
                "input_information": {name: bits[0] for name, bits in known.items()},
                "label_information": {name: bits[1] for name, bits in known.items()},
                "squared_gradient": sensed,
            }
            | self._backwards(learner, data)
        )
        self._due = list(learner.experience.tasks)

    def after_eval_exp(self, learner: Any, **kwargs: Any) -> None:
        """Try clones of the test images of a task that has just been trained."""
        if learner.experience.tasks[0] in self._due:
            self._due = []
            random = learner.random(f"clones after stage {learner.stage}")
            data = learner.data.drawn(SAMPLES, random)
            made = {kind: clones(data.samples, data.labels, kind, random) for kind in KINDS}
            self.features[-1]["clones"] = {
                kind: _accuracy(learner, data, images) for kind, images in ({"real": data.samples} | made).items()
            }

    def _backwards(self, learner: Any, data: TaskData) -> Measured:
        """The reverse pass and the first layer, with their pictures."""
        shown = data.subset(torch.arange(min(SHOWN, len(data)), device=data.labels.device))
        first = next((m for m in learner.model.modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
        error, alike = None, None
        self.pictures = {}
        try:
            x, again = regenerated(learner, data)
            error = float(((x - again).square().sum() / x.square().sum()).nan_to_num(1e30, 1e30, 1e30).clamp_max(1e30))
            self.pictures = {"inputs": as_pixels(shown.samples.float()), "regenerated": as_pixels(again[: len(shown)])}
        except IrreversibleError:
            pass
        if first is not None and first.weight[0].numel() == data.samples[0].numel():
            vectors = features.right_vectors(first.weight.detach(), SHOWN).view(-1, *data.samples.shape[1:])
            alike = features.likeness(vectors[: features.VECTORS], data.inputs(data.samples))
            self.pictures["vectors"] = as_pixels(vectors)
        elif isinstance(first, nn.Conv2d):
            self.pictures["vectors"] = as_pixels(features.right_vectors(first.weight.detach(), SHOWN))
        return {"reconstruction": error, "likeness": alike}


@torch.no_grad()
def regenerated(learner: Any, data: TaskData) -> tuple[Tensor, Tensor]:
    """Inputs, and what the reverse pass makes of them; IrreversibleError where there is none."""
    reversal = Reversal(learner.model)
    x = data.inputs(data.samples)
    with evaluating(learner.model), reversal.remembering():
        learner.logits(x, data.shared(data.heads))
        return reversal.back().pairs[-1]


def sensitivity(learner: Learner, data: TaskData) -> float:
    """Mean over images of Σ_c ‖∇_θ f_c(x)‖², which label noise keeps small (Blanc et al. 2020, arXiv:1904.09080).

    By one random sign per image and class: E‖∇ Σ_c s_c f_c‖² is that sum.
    """
    weights = [weight for weight in learner.model.parameters() if weight.requires_grad]
    random = learner.random("signs of classes")

    def terms(logits: Tensor, labels: Tensor) -> list[Term]:
        signs = torch.randint(2, logits.shape, generator=random).to(logits) * 2 - 1
        return [Term(lambda z, s: (z * s).sum(1), signs)]

    total = torch.stack(
        [found.detach().sum() for found in mean_moments(learner, weights, data, terms, torch.square)]
    ).sum()
    return float(total.double().nan_to_num(1e30, 1e30, 1e30).clamp_max(1e30))


def _features(learner: Any, data: TaskData) -> Tensor:
    """Features [n, p] of some images."""
    return outputs_of(learner, data)[1].flatten(1).nan_to_num().clamp(-1e15, 1e15)


def _classes(data: TaskData) -> Tensor:
    """Labels that are different for different heads."""
    return data.labels + (int(data.labels.max()) + 1) * data.heads


@torch.no_grad()
def _accuracy(learner: Any, data: TaskData, images: Tensor) -> float:
    """Share of right answers to images that stand for those of some data."""
    with evaluating(learner.model):
        logits = learner.logits(data.inputs(images), data.shared(data.heads))
    return float((logits.argmax(1) == data.labels).float().mean())
