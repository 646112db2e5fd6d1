"""A linear classifier: no features are learnt."""

from __future__ import annotations

from torch import nn

from clbench.registry import Shape, model


@model("linear")
def linear(shape: Shape) -> nn.Module:
    """Logistic regression: the classifier stands on the input itself, and there is no other weight.

    PyTorch's default initialisation. For samples of any shape.
    """
    return nn.Flatten()
