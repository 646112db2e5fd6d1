"""LUCIR: a unified classifier by cosines, features that keep their direction, and a margin for exemplars."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from clbench.models.cosine import put_in
from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner

from ._budget import Budget
from ._exemplars import Choice
from ._passes import KeepsFeatures, features_by
from ._rehearsal import Classes, Rehearsal


@strategy("lucir", family="memory")
class UnifiedClassifier(Rehearsal, KeepsFeatures):
    """LUCIR: a cosine classifier, features that keep the old network's direction, a margin between exemplars and new.

    Hou et al. 2019 (doi:10.1109/CVPR.2019.00092), eq. 4, 6, 8 and the authors' code: the classifier of the network
    becomes η·cos(f, w), η learnt; CE + less_forget·√(old/new)·(1 − cos(f, f_old)) over the batch + Σ_k max(0, margin −
    cos(f, w_y) + cos(f, w_k)) over the ``hardest`` new classes k, the mean over the batch's samples of old classes.
    old/new are numbers of classes, so the factor is √t where stages are equally large. Weights of new classes are
    drawn; the authors set them from features, and take the last rectifier of their network out.
    memory, per_class, selection: as for 'icarl'.
    less_forget: strength of the features' loss; 5 in the paper for CIFAR-100, 10 for ImageNet. margin: by how much the
    right cosine is to be larger. hardest: how many new classes count.

    Cost: as for 'wa'.
    """

    method = "lucir"

    def __init__(
        self,
        *,
        memory: Budget = 500,
        per_class: Count | None = None,
        selection: Choice = "herding",
        less_forget: NonNegative = 5.0,
        margin: NonNegative = 0.5,
        hardest: Count = 2,
    ) -> None:
        super().__init__(memory, per_class, selection)
        self.less_forget = less_forget
        self.margin = margin
        self.hardest = hardest
        self.scale: Any = None
        self.old_features: Tensor | None = None

    def prepare(self, model: nn.Module) -> None:
        """Put the cosine classifier in."""
        put_in(model)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Divide the classes; look at features."""
        super().before_training_exp(learner, **kwargs)
        self.watch(learner.model)
        classifier: Any = learner.model.classifier
        self.scale = classifier.scale

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """The old network's features."""
        assert self.classes is not None
        if len(self.classes.old):
            self.old_features = features_by(learner, self.teacher)

    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """Cross-entropy, direction of features and margins."""
        loss = functional.cross_entropy(logits, targets)
        if self.old_features is None:
            return loss
        assert self.features is not None
        turned = 1 - functional.cosine_similarity(self.features.float(), self.old_features)
        strength = self.less_forget * math.sqrt(len(classes.old) / len(classes.new))
        ranked = margin_ranking(logits / self.scale, targets, classes.is_new, self.margin, self.hardest)
        return loss + strength * turned.mean() + ranked

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Choose exemplars; let go of features."""
        self.unwatch()
        super().after_training_exp(learner, **kwargs)
        self.old_features = self.scale = None


def margin_ranking(cosines: Tensor, targets: Tensor, is_new: Tensor, margin: float, hardest: int) -> Tensor:
    """Mean of max(0, margin − cos_y + cos_k) over samples of old classes and their hardest new classes k; 0 without.

    cosines: [n, classes]; is_new: of each class. eq. 8 of Hou et al. 2019.
    """
    right = cosines.gather(1, targets[:, None])
    highest = cosines.masked_fill(~is_new, float("-inf")).topk(min(hardest, len(is_new)), dim=1).values
    short = (margin - right + highest).clamp_min(0)  # of classes that there are not: 0
    old = ~is_new[targets]
    return (short * old[:, None]).sum() / (old.sum() * (highest[0] > float("-inf")).sum()).clamp_min(1)
