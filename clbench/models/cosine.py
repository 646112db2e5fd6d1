"""A classifier by angles: cosines of features and weights, times a scale that is learnt."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.avalanche import DynamicModule, IncrementalClassifier


class CosineClassifier(DynamicModule):
    """Logits η·cos(features, weight of a class), η learnt (Hou et al. 2019, doi:10.1109/CVPR.2019.00092, eq. 4).

    With several ``proxies`` a class is a mixture of weights: the cosines s_k of its proxies, weighted by their softmax,
    Σ_k softmax(s)_k·s_k (Douillard et al. 2020, arXiv:2004.13513, eq. 9). ``grows``: an output for each class up to the
    highest that was trained on, as of a growing classifier; new ones are drawn, old ones stay.
    """

    def __init__(self, features: int, outputs: int, proxies: int = 1, scale: float = 1.0, grows: bool = False) -> None:
        super().__init__()
        self.proxies = proxies
        self.grows = grows
        self.first = scale
        self.weight = nn.Parameter(torch.empty(outputs * proxies, features))
        self.scale = nn.Parameter(torch.tensor(scale))
        self.reset_parameters()

    @property
    def outputs(self) -> int:
        """How many classes it has."""
        return len(self.weight) // self.proxies

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the weights, uniformly as a linear layer's; put the scale back."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        self.weight.uniform_(-bound, bound)
        self.scale.fill_(self.first)

    @torch.no_grad()
    def adaptation(self, experience: Any) -> None:
        """Grow to the classes of a stage, if it grows."""
        wanted = max(experience.classes_in_this_experience) + 1
        if self.grows and wanted > self.outputs:
            features = self.weight.shape[1]
            more = CosineClassifier(features, wanted - self.outputs, self.proxies).weight.to(self.weight.device)
            self.weight = nn.Parameter(torch.cat([self.weight, more]))

    def cosines(self, features: Tensor) -> Tensor:
        """Cosines [n, outputs], of features [n, features]; where there are proxies, of a class's mixture."""
        found = functional.linear(functional.normalize(features), functional.normalize(self.weight))
        if self.proxies == 1:
            return found
        apart = found.unflatten(1, (self.outputs, self.proxies))
        mixed: Tensor = (apart.softmax(2) * apart).sum(2)
        return mixed

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [n, outputs] of features [n, features]."""
        return self.scale * self.cosines(features)


def put_in(model: Any, proxies: int = 1) -> None:
    """Put a cosine classifier in the place of a network's single or growing one, with as many outputs."""
    old = model.classifier
    grows = isinstance(old, IncrementalClassifier)
    linear = old.classifier if grows else old
    model.classifier = CosineClassifier(linear.in_features, linear.out_features, proxies, grows=grows)
