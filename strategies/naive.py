"""Fine-tuning: the lower bound."""

from __future__ import annotations

from clbench.registry import strategy
from clbench.strategy import Strategy


@strategy("naive", family="bound", role="control")
class Naive(Strategy):
    """Fine-tuning: train on each task in turn and do nothing about forgetting.

    The lower bound of every comparison (Lomonaco et al. 2021, arXiv:2104.00405).

    Cost: none: the others' is said beside it.
    """
